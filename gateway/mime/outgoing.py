"""The mail that leaves: outer fields as they came, inside the entity that was made for it."""

from __future__ import annotations

from gateway.mime.entity import Message, closed

# Blind recipients would become visible, a Return-Path is written by the last server only
# (RFC 5321 §4.4), and nobody outside may speak in our name.
_DROPPED = frozenset({"bcc", "resent-bcc", "return-path"})
_OURS = "sceau-"


def assemble(message: Message, entity: bytes, *, received: bytes) -> bytes:
    """The mail `message` with `entity` in the place of its content (I6).

    entity: fields of its own, empty line, body (as `smime.sign` and `smime.encrypt` give it).
    received: a Received field with its CRLF (`received.received_field`), put in front.

    Bcc, Resent-Bcc, Return-Path and Sceau-* fields are removed; Content-* and MIME-Version are
    replaced by the entity's own and one `MIME-Version: 1.0`. All other fields keep their octets
    and their order.
    """
    return header(message, received=received) + entity


def header(message: Message, *, received: bytes) -> bytes:
    """What `assemble` puts before the entity."""
    parts = [received]
    parts += [
        closed(field.raw)
        for field in message.fields
        if _stays(field.name)
        and not field.name.startswith("content-")
        and field.name != "mime-version"
    ]
    parts.append(b"MIME-Version: 1.0\r\n")
    return b"".join(parts)


def forward(message: Message, *, received: bytes) -> bytes:
    """The mail as it came with the outer edits of `assemble`, its own content untouched.

    For mail that policy sends neither signed nor encrypted.
    """
    parts: list[bytes | memoryview] = [received]
    parts += [closed(field.raw) for field in message.fields if _stays(field.name)]
    parts += (b"\r\n", message.body)
    return b"".join(parts)


def _stays(name: str) -> bool:
    return name not in _DROPPED and not name.startswith(_OURS)
