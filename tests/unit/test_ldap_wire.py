"""LDAP messages: what is sent is what was meant, and no octets from outside do more than fail."""

from __future__ import annotations

import contextlib
import random

import pytest
from asn1crypto import parser

from pki.ldap import wire
from pki.ldap.octets import TooMuch, WireFault
from tests.flows.hostile_ldap import entry, number, text, tlv

GOOD = tlv(0x30, number(7), entry("uid=marie", {"mail": [b"a@b"], "x;binary": [b"1", b"2"]}))


def test_an_entry() -> None:
    message = wire.read_message(GOOD)
    assert message is not None
    assert message.id == 7
    assert isinstance(message.body, wire.Entry)
    assert message.body.dn == "uid=marie"
    assert message.body.values("MAIL") == [b"a@b"]
    assert message.body.values("X") == [b"1", b"2"]


def parts(data: bytes) -> list[tuple[int, bytes]]:
    """Tag numbers and contents of the elements in `data`, as asn1crypto reads them."""
    found = []
    while data:
        _, _, tag, header, content, _ = parser.parse(data)
        found.append((tag, content))
        data = data[len(header) + len(content) :]
    return found


@pytest.mark.parametrize("value", ["*", "*)(mail=*", "a\0b", "(|(a=b)", "\\2a", "ü"])
def test_a_value_is_octets_whatever_stands_in_it(value: str) -> None:
    """There is no text to escape: it is one equality with two octet strings."""
    ((tag, content),) = parts(wire.equal("mail", value))
    assert tag == 3
    assert parts(content) == [(4, b"mail"), (4, value.encode())]


def test_a_search_as_another_library_reads_it() -> None:
    request = wire.search(
        5, "dc=a", 2, wire.equal("mail", "a@b"), ["mail"], size_limit=300, time_limit=4,
        page=(200, b"cookie"),
    )  # fmt: skip
    ((_, message),) = parts(request)
    number_, search, controls = parts(message)
    assert (number_, search[0]) == ((2, b"\5"), 3)
    base, scope, aliases, size, seconds, types_only, filter_, attributes = parts(search[1])
    assert base == (4, b"dc=a")
    assert (scope[1], aliases[1]) == (b"\2", b"\0")  # below it; aliases never
    assert (size[1], seconds[1], types_only[1]) == (b"\x01\x2c", b"\4", b"\0")
    assert parts(filter_[1]) == [(4, b"mail"), (4, b"a@b")]
    assert parts(attributes[1]) == [(4, b"mail")]
    ((_, control),) = parts(controls[1])
    name, value = parts(control)
    assert name[1] == wire.PAGED_RESULTS.encode()
    assert parts(parts(value[1])[0][1]) == [(2, b"\0\xc8"), (4, b"cookie")]


@pytest.mark.parametrize(
    ("received", "length"),
    [(b"", None), (b"\x30", None), (b"\x30\x82\x01", None), (b"\x30\x05", 7),
     (b"\x30\x82\x01\x00", 260)],
)  # fmt: skip
def test_where_a_message_ends(received: bytes, length: int | None) -> None:
    assert wire.message_length(received, 1000) == length


@pytest.mark.parametrize(
    ("received", "too_much"),
    [(b"HTTP/1.1", False), (b"\x30\x80", False), (b"\x30\x85\1\1\1\1\1", False),
     (b"\x30\x84\x05\xf5\xe1\x00", True), (b"\x30\x82\x03\xe9", True)],
)  # fmt: skip
def test_what_is_refused_by_its_first_octets(received: bytes, too_much: bool) -> None:
    with pytest.raises(TooMuch if too_much else WireFault):
        wire.message_length(received, 1000)


def test_no_mutation_is_more_than_a_fault() -> None:
    chance = random.Random(4511)
    value = text(tlv(0x30, number(0), text("more")))
    control = tlv(0xA0, tlv(0x30, text(wire.PAGED_RESULTS), b"\x01\x01\xff", value))
    done = tlv(0x30, number(7), tlv(0x65, number(0, 0x0A), text(""), text("ok")), control)
    message = wire.read_message(done)
    assert message is not None
    assert (message.body, message.cookie) == (wire.Result(0, "ok"), b"more")
    for _ in range(5000):
        changed = bytearray(chance.choice((GOOD, done)))
        for _ in range(chance.randint(1, 5)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        cut = changed[: chance.randint(0, len(changed))]
        for data in (bytes(changed), bytes(cut)):
            with contextlib.suppress(WireFault, TooMuch):
                wire.read_message(data)
