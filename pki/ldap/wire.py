"""LDAP messages as octets: the few that are sent, and those that may come back (RFC 4511). Pure.

Filters are put together from parts and never from text, so there is nothing to escape and nothing
to inject. What comes is read with limits: what is no message is a WireFault, more than is taken
TooMuch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pki.der_writing import element, integer
from pki.ldap.octets import Reader, TooMuch, WireFault

VERSION = 3
PAGED_RESULTS = "1.2.840.113556.1.4.319"  # RFC 2696

# What one answer may hold, whatever its octets: each element costs time.
MAX_VALUES = 10_000
_MAX_HEADER = 6

# Result codes (RFC 4511 Appendix A) that mean something here.
SUCCESS = 0
TIME_LIMIT_EXCEEDED = 3
SIZE_LIMIT_EXCEEDED = 4
AUTH_METHOD_NOT_SUPPORTED = 7
STRONGER_AUTH_REQUIRED = 8
REFERRAL = 10
ADMIN_LIMIT_EXCEEDED = 11
CONFIDENTIALITY_REQUIRED = 13
NO_SUCH_OBJECT = 32
INAPPROPRIATE_AUTHENTICATION = 48
INVALID_CREDENTIALS = 49
INSUFFICIENT_ACCESS_RIGHTS = 50
BUSY = 51
UNAVAILABLE = 52

BASE_SCOPE, SUBTREE_SCOPE = 0, 2


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry: its name, and attributes as the server names them."""

    dn: str
    attributes: tuple[tuple[str, tuple[bytes, ...]], ...]

    def values(self, name: str) -> list[bytes]:
        """Values of an attribute, with whatever options (";binary", ";lang-fr")."""
        wanted = name.partition(";")[0].lower()
        return [
            value
            for found, values in self.attributes
            if found.partition(";")[0].lower() == wanted
            for value in values
        ]

    def is_partial(self, name: str) -> bool:
        """Whether the server kept values back: "memberOf;range=0-1499" (Active Directory)."""
        wanted = name.partition(";")[0].lower() + ";range="
        return any(
            found.lower().startswith(wanted) and not found.endswith("-*")
            for found, _ in self.attributes
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """A search reference (RFC 4511 §4.5.3): part of the answer lies elsewhere."""


@dataclass(frozen=True, slots=True)
class Result:
    """The end of an operation. code: as above. text: the server's own words."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message. cookie: of paged results, b"" behind the last page, None without paging."""

    id: int
    body: Entry | Reference | Result
    cookie: bytes | None = None


# -- what is sent ----------------------------------------------------------------------------------


def bind(number: int, dn: str, password: str) -> bytes:
    """Simple bind; both empty: anonymous (RFC 4513 §5.1)."""
    return _message(number, _bind(dn, element(0x80, password.encode())))


def bind_external(number: int) -> bytes:
    """SASL EXTERNAL (RFC 4513 §5.2.3): as whoever the connection has proved to be.

    The credentials are empty, not absent: without them a server would ask for them.
    """
    return _message(number, _bind("", element(0xA3, _text("EXTERNAL"), _text(""))))


def _bind(dn: str, how: bytes) -> bytes:
    return element(0x60, integer(VERSION), _text(dn), how)


def unbind(number: int) -> bytes:
    """The end of a session; nothing answers it."""
    return _message(number, element(0x42))


def search(
    number: int,
    base: str,
    scope: int,
    filter_: bytes,
    attributes: Iterable[str],
    *,
    size_limit: int,
    time_limit: int,
    page: tuple[int, bytes] | None = None,
) -> bytes:
    """A search. Aliases are never followed: they may lead out of the base.

    time_limit: seconds. page: entries a page, and the cookie of the page before.
    """
    operation = element(
        0x63,
        _text(base),
        element(0x0A, bytes((scope,))),
        element(0x0A, b"\0"),  # neverDerefAliases
        integer(size_limit),
        integer(time_limit),
        element(0x01, b"\0"),  # typesOnly FALSE
        filter_,
        element(0x30, *map(_text, attributes)),
    )
    if page is None:
        return _message(number, operation)
    size, cookie = page
    value = element(0x30, integer(size), element(0x04, cookie))
    control = element(0x30, _text(PAGED_RESULTS), element(0x04, value))  # criticality FALSE
    return _message(number, operation, element(0xA0, control))


def equal(attribute: str, value: str | bytes) -> bytes:
    """Filter: the attribute has this value, by the server's rule for it."""
    return element(0xA3, _text(attribute), _text(value))


def present(attribute: str) -> bytes:
    """Filter: the attribute is there."""
    return element(0x87, attribute.encode())


def both(*filters: bytes) -> bytes:
    """Filter: all of them."""
    return element(0xA0, *filters)


def either(*filters: bytes) -> bytes:
    """Filter: one of them at least."""
    return filters[0] if len(filters) == 1 else element(0xA1, *filters)


def _message(number: int, *parts: bytes) -> bytes:
    return element(0x30, integer(number), *parts)


def _text(value: str | bytes) -> bytes:
    return element(0x04, value.encode() if isinstance(value, str) else value)


# -- what comes ------------------------------------------------------------------------------------


def message_length(received: bytes | bytearray, limit: int) -> int | None:
    """How long the message at the beginning is; None: that is not known yet.

    Raises WireFault; TooMuch, before anything of it is kept, if it is longer than `limit` octets.
    """
    if received[:1] not in (b"", b"\x30"):
        raise WireFault("it does not speak LDAP")
    if len(received) < 2:
        return None
    count = received[1] & 0x7F if received[1] & 0x80 else 0
    if received[1] == 0x80 or count > _MAX_HEADER - 2:
        raise WireFault("it does not speak LDAP")
    if len(received) < 2 + count:
        return None
    length = int.from_bytes(received[2 : 2 + count], "big") if count else received[1]
    if length > limit:
        raise TooMuch("the directory {directory} gave an answer of more than {limit} octets", limit)
    return 2 + count + length


def read_message(data: bytes) -> Message | None:
    """One whole message; None for one that may be passed over. Raises WireFault, TooMuch."""
    reader = Reader(data).inside(0x30)
    number = reader.integer(0x02)
    tag = reader.peek()
    if tag == 0x64:
        return Message(number, _entry(reader.inside(0x64)))
    if tag == 0x73:
        return Message(number, Reference())
    if tag == 0x79:  # IntermediateResponse: nothing here asked for one
        return None
    if tag not in (0x61, 0x65, 0x78):
        raise WireFault("it does not speak LDAP")
    operation = reader.inside(tag)
    code = operation.integer(0x0A)
    operation.octets(0x04)  # matchedDN
    text = operation.octets(0x04).decode("utf-8", "replace")
    return Message(number, Result(code, text), _cookie(reader))


def _entry(reader: Reader) -> Entry:
    try:
        dn = reader.octets(0x04).decode("utf-8")
        attributes = []
        count = 0
        listed = reader.inside(0x30)
        while listed.more():
            attribute = listed.inside(0x30)
            name = attribute.octets(0x04).decode("ascii")
            values = []
            held = attribute.inside(0x31)
            while held.more():
                values.append(held.octets(0x04))
                count += 1
                if count > MAX_VALUES:
                    break
            attributes.append((name, tuple(values)))
            count += 1
            if count > MAX_VALUES:
                raise TooMuch(
                    "the directory {directory} gave an entry of more than {limit} values",
                    MAX_VALUES,
                )
    except UnicodeDecodeError:
        raise WireFault("it names an entry in octets that are no text", entry=True) from None
    return Entry(dn, tuple(attributes))


def _cookie(reader: Reader) -> bytes | None:
    if not reader.more():
        return None
    controls = reader.inside(0xA0)
    while controls.more():
        control = controls.inside(0x30)
        name = control.octets(0x04)
        if not control.more():
            continue
        if control.peek() == 0x01:
            control.octets(0x01)
        if name == PAGED_RESULTS.encode() and control.more():
            value = Reader(control.octets(0x04)).inside(0x30)
            value.integer(0x02)
            return value.octets(0x04)
    return None
