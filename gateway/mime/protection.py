"""Header fields that are protected together with the content (RFC 9788), read. Pure.

Two header sections of one mail speak here: the inner one, which lies in the cryptographic payload
and was signed or encrypted with it, and the outer one, which every server on the way could write.
Only fields of the payload's root count: a part further inside may be anybody's forwarded mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from gateway.mime.entity import Field, Message, split
from gateway.mime.legacy_display import legacy_displays
from gateway.mime.parameters import ContentType, content_type, transfer_encoding
from gateway.mime.words import decode_words
from pki.errors import Problem, problem

# What mail programs show (RFC 9787 §1.1.2), and what they sort into threads by. Resent-… is left
# out: who resends a mail adds them, as he should.
SHOWN = frozenset(
    {"subject", "from", "to", "cc", "date", "reply-to", "followup-to", "mail-followup-to",
     "sender", "in-reply-to", "references"}
)  # fmt: skip
_HP_OUTER = "hp-outer"
_LAYERS = frozenset(
    {("application", "pkcs7-mime"), ("application", "x-pkcs7-mime"),
     ("multipart", "signed"), ("multipart", "encrypted")}
)  # fmt: skip
_PLAIN = ("7bit", "8bit", "binary")


class Scheme(Enum):
    """How fields are protected. The value is the name in records."""

    RFC9788 = "rfc9788"  # hp= in the Content-Type of the payload
    V1 = "protected-headers"  # its predecessor, draft-autocrypt-lamps-protected-headers
    WRAPPED = "message-rfc822"  # RFC 8551 §3.1: the whole mail as payload


class Intent(Enum):
    """What the composer says he did: the parameter `hp` of Content-Type (RFC 9788 §2.1)."""

    CLEAR = "clear"  # signed only: outside stands what stands inside
    CIPHER = "cipher"  # encrypted: HP-Outer says what he left outside


class Kind(Enum):
    """In what way outer and inner fields of one name differ."""

    HIDDEN = "hidden"  # as the composer meant it: other or no words outside
    CHANGED = "changed"  # outside stands something that he did not write there
    ADDED = "added"  # he wrote no such field; servers or attackers did
    DIFFERS = "differs"  # an older scheme, which cannot tell hidden from changed


@dataclass(frozen=True, slots=True)
class Difference:
    """Fields of one name (lower case), where not the same stands inside and outside.

    inner, outer: their values in order, unfolded.
    """

    name: str
    kind: Kind
    inner: tuple[bytes, ...]
    outer: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Protection:
    """What a cryptographic payload says of the header of its mail.

    scheme: None where it protects no fields; all else is empty then, but for problems.
    stated: whether the composer marked it as header protection. A signed message/rfc822 without
        forwarded="no" may as well be a mail that somebody forwards: its From is then not the one
        who signed, and must never be shown as if it were.
    intent: None in the older schemes.
    fields: the protected ones as they came, without Content-…, MIME-Version and HP-Outer.
    outer_as_sent: name (lower case) and value of what the composer left outside, from HP-Outer;
        only with intent CIPHER.
    differences: in order of the inner fields, then what was added.
    legacy_display: numbers of the parts that repeat protected fields for older programs ("1.2" is
        the second part inside the first one inside the root; "" is the root).
    """

    scheme: Scheme | None = None
    stated: bool = False
    intent: Intent | None = None
    fields: tuple[Field, ...] = ()
    outer_as_sent: tuple[tuple[str, bytes], ...] = ()
    differences: tuple[Difference, ...] = ()
    legacy_display: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def header(self) -> Message:
        """The protected fields as a mail without body, for `headers.from_addresses` and others."""
        return Message(b"".join(field.raw for field in self.fields), self.fields, memoryview(b""))

    @property
    def confidential(self) -> tuple[str, ...]:
        """Names of fields that the composer did not show outside (RFC 9788 §4.3.1).

        They must not come to stand outside in an answer or a notice either (threat S15). For a
        scheme that does not say it: those that stand outside in other words or not at all.
        """
        if self.intent is Intent.CLEAR:
            return ()
        outside = _values(self.outer_as_sent)
        if self.intent is None:
            return tuple(one.name for one in self.differences if one.kind is Kind.DIFFERS)
        inside = _values(_pairs(self.fields))
        return tuple(name for name, values in inside.items() if values != outside.get(name))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON; values decoded for people (RFC 2047)."""
        return {
            "scheme": None if self.scheme is None else self.scheme.value,
            "stated": self.stated,
            "intent": None if self.intent is None else self.intent.value,
            "fields": [
                {"name": field.name, "value": decode_words(field.value)} for field in self.fields
            ],
            "confidential": list(self.confidential),
            "differences": [
                {
                    "name": one.name,
                    "kind": one.kind.value,
                    "inner": [decode_words(value) for value in one.inner],
                    "outer": [decode_words(value) for value in one.outer],
                }
                for one in self.differences
            ],
            "legacy_display": list(self.legacy_display),
            "problems": [{"code": one.code, "text": one.text} for one in self.problems],
        }


def read_protection(payload: bytes, outer: Sequence[Field]) -> Protection:
    """What the payload protects, compared with the outer fields. Never raises.

    payload: the MIME entity inside all cryptographic layers, as it came out of them.
    outer: the fields of the mail around them.
    Whether the payload was signed, by whom, and encrypted, is for the caller to know: fields that
    nobody signed are whoever's who encrypted them. An intent that does not fit the layers found
    (cipher where nothing was encrypted) means that a layer was stripped or put around on the way.
    """
    return protection_of(split(payload), outer)


def protection_of(
    message: Message, outer: Sequence[Field], kind: ContentType | None = None
) -> Protection:
    """As `read_protection`, of a payload that was split before. kind: its media type, if known."""
    kinds = message.all("content-type")
    if len(kinds) > 1:
        # Readers take the first or the last one: nobody could say which fields they show.
        return Protection(
            problems=(
                problem(
                    "structure.header-protection",
                    "the content has {count} Content-Type fields: its header is not believed",
                    count=str(len(kinds)),
                ),
            )
        )
    kind = kind or content_type(message.fields)
    stated = kind.parameters.get("hp")
    if stated is not None:
        return _rfc9788(message, kind, stated, outer)
    if kind.parameters.get("protected-headers", b"").lower() == b"v1":
        fields = _protected(message.fields)
        return Protection(
            Scheme.V1,
            True,
            fields=fields,
            differences=tuple(_differences(fields, None, outer)),
            # The root bears the parameter itself and is no part that repeats anything.
            legacy_display=tuple(
                filter(None, legacy_displays(message, "protected-headers", b"v1"))
            ),
        )
    return _wrapped(message, kind, outer)


def _rfc9788(
    message: Message, kind: ContentType, stated: bytes, outer: Sequence[Field]
) -> Protection:
    text = stated.decode("ascii", "replace").lower()
    if text not in (Intent.CLEAR.value, Intent.CIPHER.value):
        return Protection(
            problems=(
                problem(
                    "structure.header-protection",
                    "the content has hp={value}, which nothing defines: its header is not believed",
                    value=text[:40],
                ),
            )
        )
    intent = Intent(text)
    fields = _protected(message.fields)
    as_sent: tuple[tuple[str, bytes], ...] = ()
    expected = list(_pairs(fields))
    if intent is Intent.CIPHER:
        # §2.2: in signed-only mail HP-Outer says nothing.
        as_sent = tuple(_outer_as_sent(message.all(_HP_OUTER)))
        expected = list(as_sent)
    return Protection(
        Scheme.RFC9788,
        True,
        intent,
        fields,
        as_sent,
        tuple(_differences(fields, expected, outer)),
        legacy_displays(message, "hp-legacy-display", b"1"),
    )


def _wrapped(message: Message, kind: ContentType, outer: Sequence[Field]) -> Protection:
    """RFC 8551 §3.1, told from other things by the conditions of RFC 9788 §4.10."""
    forwarded = kind.parameters.get("forwarded", b"").lower()
    if (
        (kind.main, kind.sub) not in (("message", "rfc822"), ("message", "global"))
        or transfer_encoding(message.fields) not in _PLAIN
        or forwarded not in (b"", b"no")
    ):
        return Protection()
    inner = split(bytes(message.body))
    inside = content_type(inner.fields)
    if "hp" in inside.parameters or (inside.main, inside.sub) in _LAYERS:
        return Protection()
    fields = _protected(inner.fields)
    return Protection(
        Scheme.WRAPPED,
        forwarded == b"no",
        fields=fields,
        differences=tuple(_differences(fields, None, outer)),
    )


def _protected(fields: Iterable[Field]) -> tuple[Field, ...]:
    """Non-structural fields (RFC 9787 §1.1.1); lines that are none stay, for strict readers."""
    return tuple(
        field
        for field in fields
        if not field.name.startswith("content-") and field.name not in ("mime-version", _HP_OUTER)
    )


def _outer_as_sent(fields: Iterable[Field]) -> Iterator[tuple[str, bytes]]:
    """`HP-Outer: Name: value` (RFC 9788 §2.2); what is written otherwise says nothing."""
    for field in fields:
        inner = split(field.value + b"\r\n").fields
        if len(inner) == 1 and inner[0].name:
            yield inner[0].name, _flat(inner[0].value)


def _differences(
    inner: Sequence[Field], expected: Iterable[tuple[str, bytes]] | None, outer: Sequence[Field]
) -> Iterator[Difference]:
    """Names whose outer values are not the inner ones, or not those that were sent.

    expected: what the composer left outside; None where the scheme does not say it.
    """
    inside, outside = _values(_pairs(inner)), _values(_pairs(outer))
    sent = None if expected is None else _values(expected)
    names = [*inside, *(sent or ()), *(name for name in outside if name in SHOWN)]
    for name in dict.fromkeys(names):
        ours, theirs = inside.get(name, ()), outside.get(name, ())
        if sent is None:
            same, kind = ours == theirs, Kind.DIFFERS
        elif theirs != sent.get(name, ()):
            same, kind = False, Kind.CHANGED
        else:
            same, kind = ours == theirs, Kind.HIDDEN
        if not ours and not (sent and name in sent):
            kind = Kind.ADDED
        if not same:
            yield Difference(name, kind, ours, theirs)


def _pairs(fields: Iterable[Field]) -> Iterator[tuple[str, bytes]]:
    return ((field.name, _flat(field.value)) for field in fields if field.name)


def _values(pairs: Iterable[tuple[str, bytes]]) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, list[bytes]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in found.items()}


def _flat(value: bytes) -> bytes:
    """White space as one blank: servers fold lines anew."""
    return b" ".join(value.split())
