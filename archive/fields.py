"""Payloads: named fields with a salt each, and the commitment that the log holds. Pure.

    d(name)    = SHA-256("sceau/field/1\\0" ‖ len32(name) ‖ name ‖ salt ‖ len64(value) ‖ value)
    commitment = RFC 9162 §2.1.1 tree hash over the digests d, in order of name

len32 and len64 are big-endian; name is UTF-8; "in order of name" is the order of these bytes. A
digest is one input of the tree, so it is hashed again as a leaf: SHA-256(0x00 ‖ d).

The salt makes the digest of a guessable value (an address, "yes") say nothing once value and salt
are gone; the lengths keep a byte from moving between name, salt and value.
"""

from __future__ import annotations

import json
import os
import re
from binascii import a2b_base64, b2a_base64, unhexlify
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any

from archive.errors import PayloadMalformed, Problem

SALT_SIZE = 32
NAMES = "names"

# What our writers may use. The digest is defined for any UTF-8 name; this keeps names free of
# anything JSON escapes and of letters that look alike.
_NAME = re.compile(r"(?=.{1,100}\Z)[a-z0-9]+(?:[._-][a-z0-9]+)*")
_PREFIX = b"sceau/field/1\x00"


@dataclass(frozen=True, slots=True)
class Open:
    """A field whose value is there."""

    salt: bytes = field(repr=False)
    value: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Withheld:
    """A field whose value was erased, sealed or kept back: the digest stands for it."""

    digest: bytes


Field = Open | Withheld
Payload = Mapping[str, Field]


def _refuse(code: str, template: str, **facts: str) -> PayloadMalformed:
    return PayloadMalformed(Problem(f"payload.{code}", template, facts))


@lru_cache(maxsize=1024)  # the same few names stand in every payload
def check_name(name: str) -> None:
    """Raise PayloadMalformed unless `name` can name a field."""
    if not _NAME.fullmatch(name):
        raise _refuse("name", "{name} cannot be the name of a field", name=repr(name)[:80])


def field_digest(name: str, salt: bytes, value: bytes) -> bytes:
    """d(name), 32 bytes. salt: 32 bytes."""
    return sha256(_begin(name) + salt + len(value).to_bytes(8, "big") + value).digest()


@lru_cache(maxsize=1024)
def _begin(name: str) -> bytes:
    encoded = name.encode()
    return _PREFIX + len(encoded).to_bytes(4, "big") + encoded


def salted(values: Mapping[str, bytes]) -> dict[str, Open]:
    """The same fields, each with a fresh random salt. Raises PayloadMalformed for a bad name."""
    for name in values:
        check_name(name)
    pool = os.urandom(SALT_SIZE * len(values))
    return {
        name: Open(pool[i * SALT_SIZE : (i + 1) * SALT_SIZE], value)
        for i, (name, value) in enumerate(values.items())
    }


def digest_of(name: str, one: Field) -> bytes:
    """The digest of a field, open or not."""
    return one.digest if isinstance(one, Withheld) else field_digest(name, one.salt, one.value)


def withhold(payload: Payload, names: Iterable[str]) -> dict[str, Field]:
    """The payload with these fields replaced by their digests; the commitment stays the same."""
    gone = set(names)
    return {
        name: Withheld(digest_of(name, one)) if name in gone else one
        for name, one in payload.items()
    }


def tree_hash(inputs: Sequence[bytes]) -> bytes:
    """RFC 9162 §2.1.1: MTH over the inputs, 32 bytes."""
    if not inputs:
        return sha256(b"").digest()
    level = [sha256(b"\x00" + one).digest() for one in inputs]
    # Joining neighbours level by level and carrying an odd last node up gives the same tree as
    # the RFC's split at the largest power of two below n.
    while len(level) > 1:
        above = [
            sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def commitment(payload: Payload) -> str:
    """What the log entry commits to, lower-case hex."""
    return tree_hash([digest_of(name, payload[name]) for name in sorted(payload)]).hex()


def commit(values: Mapping[str, bytes], withheld: Mapping[str, Withheld]) -> tuple[str, bytes]:
    """Salt the values: (commitment, encoded payload) of these fields and those withheld.

    The same as `commitment` and `encode_payload` over `salted`, in one pass: every mail comes
    through here three times. Raises PayloadMalformed for a bad name.
    """
    for name in values:
        check_name(name)
    pool = os.urandom(SALT_SIZE * len(values))
    at = 0
    level: list[bytes] = []
    parts: list[str] = []
    for name in sorted([*values, *withheld]):
        value = values.get(name)
        if value is None:
            digest = withheld[name].digest
            parts.append(_withheld(name, digest))
        else:
            salt = pool[at : at + SALT_SIZE]
            at += SALT_SIZE
            digest = field_digest(name, salt, value)
            parts.append(_open(name, salt, value))
        level.append(digest)
    return tree_hash(level).hex(), _object(parts)


def list_names(names: Iterable[str]) -> bytes:
    """Value of the field `names`: all names but `names`, in order, joined by LF.

    Without it the name of a withheld field would be bound by nothing but its place in the order.
    """
    return "\n".join(sorted(name for name in names if name != NAMES)).encode()


def names_agree(payload: Payload) -> bool:
    """False if the payload says which fields it has (`names`, open) and has others."""
    listed = payload.get(NAMES)
    return not isinstance(listed, Open) or listed.value == list_names(payload)


def encode_payload(payload: Payload) -> bytes:
    """Canonical JSON (RFC 8785): name → {"salt": hex, "value": base64} or {"digest": hex}."""
    return _object(
        _withheld(name, one.digest)
        if isinstance(one := payload[name], Withheld)
        else _open(name, one.salt, one.value)
        for name in sorted(payload)
    )


def _open(name: str, salt: bytes, value: bytes) -> str:
    text = b2a_base64(value, newline=False).decode("ascii")
    return f'"{name}":{{"salt":"{salt.hex()}","value":"{text}"}}'


def _withheld(name: str, digest: bytes) -> str:
    return f'"{name}":{{"digest":"{digest.hex()}"}}'


def _object(members: Iterable[str]) -> bytes:
    return f"{{{','.join(members)}}}".encode("ascii")


def decode_payload(data: bytes) -> dict[str, Field]:
    """The opposite of `encode_payload`; anything but the canonical form is PayloadMalformed."""
    try:
        found: Any = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError):
        raise _refuse("not-canonical", "the payload is not JSON in ASCII") from None
    if not isinstance(found, dict):
        raise _refuse("not-canonical", "the payload is not a JSON object")
    payload: dict[str, Field] = {}
    for name, one in found.items():
        check_name(name)
        payload[name] = _decode_field(name, one)
    # One comparison refuses doubled keys, other orders, blanks, escapes, and hex or base64 that
    # decodes to the same bytes.
    if encode_payload(payload) != data:
        raise _refuse("not-canonical", "the payload is not in its canonical form")
    return payload


def unsafe_stated(data: bytes, names: Sequence[str]) -> dict[str, bytes] | None:
    """Values of open fields as stored bytes state them, compared with nothing; None if unreadable.

    For who compares them with something else, or to whom a lie does no harm: `decode_payload` and
    the commitment cost thirty times as much.
    """
    try:
        found = json.loads(data)
        return {
            name: a2b_base64(found[name]["value"])
            for name in names
            if name in found and "value" in found[name]
        }
    except (ValueError, TypeError, RecursionError):
        return None


def _decode_field(name: str, one: Any) -> Field:
    if isinstance(one, dict) and all(isinstance(part, str) for part in one.values()):
        try:
            if one.keys() == {"salt", "value"}:
                opened = Open(unhexlify(one["salt"]), a2b_base64(one["value"], strict_mode=True))
                if len(opened.salt) == SALT_SIZE:
                    return opened
            elif one.keys() == {"digest"}:
                withheld = Withheld(unhexlify(one["digest"]))
                if len(withheld.digest) == sha256().digest_size:
                    return withheld
        except ValueError:
            pass
    raise _refuse("field", "field {name} is neither open nor withheld in the known form", name=name)
