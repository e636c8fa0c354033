"""Content-Transfer-Encoding (RFC 2045 §6), written and read."""

from __future__ import annotations

import binascii
import io
import re
import struct
from collections.abc import Iterator
from contextlib import suppress

import pybase64

Octets = bytes | bytearray | memoryview

_ESCAPES = tuple(b"=%02X" % octet for octet in range(256))
_ESCAPED = re.compile(rb"[^\t\x20-\x3c\x3e-\x7e]")
_LINE = 76  # RFC 2045 §6.7 (5), §6.8
# What is larger is done in pieces: with copies of the whole, a mail of 50 MB would take 200.
_LARGE = 1 << 20
_PIECE = _LINE // 4 * 3 * 8192  # octets of whole lines
_LINES = struct.Struct(f"{_LINE}s" * 64)


def encode_base64(data: Octets) -> bytes:
    """Base64 in lines of 76 that each end in CRLF; empty for nothing."""
    if len(data) > _LARGE:
        out = io.BytesIO()
        with memoryview(data) as view:
            for at in range(0, len(view), _PIECE):
                out.write(encode_base64(view[at : at + _PIECE]))
        return out.getvalue()
    if len(data) < _LINES.size:
        return pybase64.encodebytes(data).replace(b"\n", b"\r\n")
    # Encoding is at its best without line ends, and `struct` cuts many lines in one call. Not all
    # at once: so many Python objects need memory that is asked of the system anew for each mail.
    text = pybase64.b64encode(data)
    whole = len(text) - len(text) % _LINES.size
    pieces = [b"\r\n".join(_LINES.unpack_from(text, at)) for at in range(0, whole, _LINES.size)]
    pieces += [text[at : at + _LINE] for at in range(whole, len(text), _LINE)]
    return b"\r\n".join((*pieces, b""))


def encode_quoted_printable(data: bytes) -> bytes:
    """Quoted-printable of a text whose lines end in CRLF, fit for signing.

    White space at the end of lines and "From " at the start are escaped, too: relays and mbox
    files change them (RFC 8551 §3.1.3).
    """
    return b"\r\n".join(map(_quoted_lines, _pieces(data)))


def _quoted_lines(data: bytes) -> bytes:
    lines: list[bytes] = []
    for line in data.split(b"\r\n"):
        text = _ESCAPED.sub(_escape, line)
        if text.endswith((b" ", b"\t")):
            text = text[:-1] + _ESCAPES[text[-1]]
        lines.extend(_soft_lines(text))
    return b"\r\n".join(lines)


def _pieces(data: bytes) -> Iterator[bytes]:
    """The data cut at line ends, which are left out; a piece is large only where one line is."""
    start = 0
    while len(data) - start > _LARGE:
        end = data.rfind(b"\r\n", start, start + _LARGE)
        if end < 0:
            end = data.find(b"\r\n", start)
            if end < 0:
                break
        yield data[start:end]
        start = end + 2
    yield data[start:]


def _escape(match: re.Match[bytes]) -> bytes:
    return _ESCAPES[match[0][0]]


def _soft_lines(text: bytes) -> list[bytes]:
    """One encoded line cut at 76 characters, never inside an escape."""
    lines = []
    start = 0
    while True:
        escape = text.startswith(b"From ", start)
        room = _LINE - 2 if escape else _LINE
        rest = len(text) - start
        if rest <= room:
            stop = len(text)
        else:
            stop = start + room - 1
            if text[stop - 1] == 0x3D:
                stop -= 1
            elif text[stop - 2] == 0x3D:
                stop -= 2
        piece = text[start:stop]
        if escape:
            piece = b"=46" + piece[1:]
        if stop == len(text):
            lines.append(piece)
            return lines
        lines.append(piece + b"=")
        start = stop


def decode(data: Octets, encoding: str) -> bytes:
    """The octets behind a transfer encoding; an unknown one is taken as none. Never raises."""
    if encoding == "base64":
        return decode_base64(data)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(bytes(data))
    return bytes(data)


def decode_base64(data: Octets) -> bytes:
    """Base64 as far as it goes: foreign characters skipped, a torn end left out. Never raises."""
    with suppress(binascii.Error):
        # Alike but for padding inside, where `binascii` stops; this one takes a third of the time.
        return (pybase64.b64decode if _padded_at_its_end(data) else binascii.a2b_base64)(data)
    text = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
    whole = len(text) & ~3
    tail = text[whole:]
    if len(tail) > 1:
        return binascii.a2b_base64(text[:whole] + tail + b"=" * (4 - len(tail)))
    return binascii.a2b_base64(text[:whole])


def _padded_at_its_end(data: Octets) -> bool:
    """Whether padding stands at the very end of base64, and nowhere else."""
    for at in range(0, len(data), _LARGE):
        piece = bytes(data[at : at + _LARGE])
        found = piece.find(b"=")
        if found >= 0:
            return (piece[found:] + data[at + _LARGE :]).rstrip(b"\r\n") in (b"=", b"==")
    return True
