"""Encoded words in header values (RFC 2047)."""

from __future__ import annotations

import binascii
import re

from gateway.mime import charsets
from gateway.mime.transfer import decode_base64

_WORD = re.compile(rb"=\?([!-<>@-~]{1,60})\?([bBqQ])\?([^?\x00-\x1f\x7f]*+)\?=")


def decode_words(value: bytes) -> str:
    """An unstructured value as text: words decoded, the rest as UTF-8, never raises.

    White space between two words is dropped (RFC 2047 §6.2); neighbours in the same charset are
    joined before decoding, because many senders cut characters in two.
    """
    if b"=?" not in value:
        return charsets.decode(value)
    out: list[str] = []
    pending: list[bytes] = []
    charset = ""
    end = 0

    def flush() -> None:
        if pending:
            out.append(charsets.decode(b"".join(pending), charset))
            pending.clear()

    for match in _WORD.finditer(value):
        between = value[end : match.start()]
        # RFC 2231 §5: a language may follow the charset after a star.
        named = match[1].decode("ascii").partition("*")[0].lower()
        if not pending or between.strip(b" \t\r\n") or named != charset:
            flush()
            if between.strip(b" \t\r\n") or end == 0:
                out.append(charsets.decode(between))
        charset = named
        pending.append(_octets(match[2], match[3]))
        end = match.end()
    flush()
    out.append(charsets.decode(value[end:]))
    return "".join(out)


def _octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"bB":
        return decode_base64(text)
    return binascii.a2b_qp(text, header=True)
