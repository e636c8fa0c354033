"""Header fields that are protected together with the content (RFC 9788), written. Pure.

The payload gets the fields of the mail in front of its body, octet for octet, and says so in its
Content-Type. What is signed or encrypted is then the payload: whoever changes Subject, Date or To
on the way changes something that the signature covers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.errors import SceauError
from gateway.mime.entity import Field, Message, closed
from gateway.mime.mark import marked
from gateway.mime.parameters import content_type

_LINE_LIMIT = 998  # RFC 5322 §2.1.1, without CRLF

# Around a payload like this lies a layer already: the payload is further inside (RFC 9787 §4.4),
# under somebody else's signature, and not one octet of it may be changed.
_LAYERS = frozenset(
    {("application", "pkcs7-mime"), ("application", "x-pkcs7-mime"),
     ("multipart", "signed"), ("multipart", "encrypted")}
)  # fmt: skip

# Not the composer's words: blind recipients, which a reader must never see; what servers write or
# have written; signatures over the outer header, which the inner one would not fit.
_NEVER = frozenset(
    {"bcc", "resent-bcc", "return-path", "received", "x-received", "delivered-to", "x-original-to",
     "envelope-to", "x-envelope-to", "x-envelope-from", "received-spf", "authentication-results",
     "x-authentication-results", "hp-outer"}
)  # fmt: skip
_NEVER_PREFIXES = ("sceau-", "dkim-", "domainkey-", "arc-")

# hcp_baseline (RFC 9788 §3.2.1), and Thread-Topic and Original-Subject, in which mail programs
# repeat the subject in clear words.
_OBSCURED = {"subject": b"Subject: [...]\r\n"}
_REMOVED = frozenset({"comments", "keywords", "thread-topic", "original-subject"})


class CannotProtect(SceauError):
    """The header of this mail cannot be protected, or not so that all readers agree about it."""


@dataclass(frozen=True, slots=True)
class Protected:
    """What is signed or encrypted, and what stands around it.

    entity: Content-… and protected fields in the order of the mail, HP-Outer, CRLF, the body.
    outer: the mail with the fields that stay outside, in the place of those it came with.
    intent: "clear" or "cipher" (RFC 9788 §2.1), as the Content-Type says.
    hidden: names (lower case) of fields that stand outside in other words or not at all.
    """

    entity: bytes
    outer: Message
    intent: str
    hidden: tuple[str, ...]


def protect(message: Message, *, encrypted: bool, confidential: bool = False) -> Protected:
    """The payload of a mail with its header fields protected (RFC 9788 §5.2.1).

    encrypted: whether the payload will be; if not, it is signed only. The caller must keep to it.
    confidential: of encrypted mail, outside the subject becomes "[...]", and other fields that say
    what it is about are left out. Without it all fields stand outside, too.

    All fields go inside but structural ones (Content-…, MIME-Version: RFC 9787 §1.1.1), Bcc, and
    what servers write. Their octets stay as they came; of Content-Type, too, all but one parameter,
    which comes first, where nothing that follows can swallow it. A mail without one gets the
    text/plain that it is (RFC 2045 §5.2).

    Raises CannotProtect: the mail is signed or encrypted already; two Content-Type fields, one that
    cannot be read, one with `hp`; for signed-only mail, fields that not every relay lets through.
    """
    intent = "cipher" if encrypted else "clear"
    kind = _kind(message, intent)
    inside: list[bytes | memoryview] = [] if kind.name else [kind.raw]
    outside: list[Field] = []
    told: list[bytes] = []  # HP-Outer
    hidden: dict[str, None] = {}
    for field in message.fields:
        if field.name.startswith("content-"):
            inside.append(kind.raw if field.name == "content-type" else closed(field.raw))
        elif _is_protected(field.name):
            inside.append(_inner(field, encrypted))
            left = _left_outside(field) if encrypted and confidential else field
            if left is not field:
                hidden[field.name] = None
            if left is not None:
                outside.append(left)
                told.append(b"HP-Outer: " + closed(left.raw))
            continue
        outside.append(field)
    if encrypted:  # §2.2: in signed-only mail it would say nothing
        inside += told
    inside += (b"\r\n", message.body)
    outer = replace(message, fields=tuple(outside))
    return Protected(b"".join(inside), outer, intent, tuple(hidden))


def _is_protected(name: str) -> bool:
    """Whether a field goes inside. Lines that are no field ("") stay outside, as always."""
    return bool(
        name
        and name not in _NEVER
        and name != "mime-version"
        and not name.startswith(("content-", *_NEVER_PREFIXES))
    )


def _left_outside(field: Field) -> Field | None:
    """What the header confidentiality policy makes of a field."""
    if field.name in _REMOVED:
        return None
    obscured = _OBSCURED.get(field.name)
    return field if obscured is None else Field(obscured, field.name)


def _inner(field: Field, encrypted: bool) -> bytes:
    raw = closed(field.raw)
    if not encrypted and (
        not raw.isascii() or b"\0" in raw or any(len(x) > _LINE_LIMIT for x in raw.split(b"\r\n"))
    ):
        # In the header of a part nothing can be given a transfer encoding (RFC 8551 §3.1).
        raise CannotProtect(
            "its field {field} has 8-bit octets or long lines, which relays change",
            facts={"field": field.name},
        )
    return raw


def _kind(message: Message, intent: str) -> Field:
    """The Content-Type with `hp`; its name is "" where the mail has none.

    A reader that finds other parameters than we do would see another payload, or none.
    """
    kinds = message.all("content-type")
    if not kinds:
        return Field(b'Content-Type: text/plain; hp="%b"\r\n' % intent.encode(), "")
    if len(kinds) > 1:
        raise CannotProtect("it has more than one Content-Type")
    before = content_type(kinds)
    if (before.main, before.sub) in _LAYERS:
        raise CannotProtect("it is signed or encrypted already")
    if any(name == "hp" or name.startswith("hp*") for name in before.parameters):
        raise CannotProtect("its content claims protected header fields already")
    field = marked(kinds[0], "hp", intent)
    if field is None:
        raise CannotProtect("its Content-Type cannot be read")
    return field
