"""What goes between a worker and whoever asks it: length, JSON, and octets as they are.

No pickle, in neither direction: a worker that hostile octets have taken over must not be able to
say anything but data.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from io import BufferedReader
from typing import Any

HEADER = struct.Struct(">IQ")  # octets of JSON, further octets

# Room of the socket: large messages are moved in steps of it.
_ROOM = 1 << 20


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection; no process that is started later inherits them."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
    return ours, theirs


def head(value: Mapping[str, Any], octets: int) -> bytes:
    """Beginning of a frame, up to the `octets` that follow. Raises TypeError, ValueError."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )
    return HEADER.pack(len(text), octets) + text


def parse(text: bytes | bytearray) -> dict[str, Any]:
    """The JSON of a frame: an object. Raises ValueError, RecursionError."""
    value = json.loads(text.decode("utf-8", "surrogatepass"))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def read_header(stream: BufferedReader) -> tuple[dict[str, Any], int] | None:
    """The JSON of the next frame and how many octets follow it; None: the other end is gone.

    For a worker, which trusts whoever asks it.
    """
    header = stream.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    length, octets = HEADER.unpack(header)
    text = stream.read(length)
    return (parse(text), octets) if len(text) == length else None
