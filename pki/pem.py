"""One structure in PEM's clothes (RFC 7468). Pure."""

from __future__ import annotations

import base64

_HEAD = 4096  # octets in which PEM begins, if it is PEM: DER of a hundred megabytes is not searched


def der_of(data: bytes, label: str) -> bytes:
    """The octets of the first block with this label; data itself where it is no PEM.

    What is in the block is not looked at, and nothing behind it: a million entries that nobody
    signed shall cost nothing. White space may stand before the block and between its lines
    (RFC 7468 §3, lax parsing). Raises ValueError: there is no such block, it is not closed, or not
    base64.
    """
    if data[:_HEAD].lstrip()[:11] != b"-----BEGIN ":
        return data
    head, tail = f"-----BEGIN {label}-----".encode(), f"-----END {label}-----".encode()
    begin = data.find(head)
    end = data.find(tail, max(begin, 0))
    if begin < 0 or end < 0:
        raise ValueError(f"there is no {label} in this PEM")
    lines = data[begin + len(head) : end].split()
    return base64.b64decode(b"".join(lines), validate=True)
