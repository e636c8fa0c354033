"""When two mail addresses are the same (threats S8)."""

from __future__ import annotations

import pytest
from asn1crypto import core
from cryptography import x509
from hypothesis import example, given
from hypothesis import strategies as st

from pki.addresses import (
    SMTP_UTF8_MAILBOX,
    canonical,
    certificate_addresses,
    domain_of,
    in_domain,
    read_addresses,
)
from pki.errors import AddressError
from tests.pki_maker import dn, root

SAME = [
    ("Marie.Curie@Example.ORG", "marie.curie@example.org"),
    ('"marie.curie"@example.org', "marie.curie@example.org"),
    ('"mar\\ie"@example.org', "marie@example.org"),
    ('"Two..Dots"@example.org', '"two..dots"@example.org'),
    ('"a@b"@example.org', '"a@b"@example.org'),
    ('"a\\"b"@example.org', '"a\\"b"@example.org'),
    ("élodie@example.org", "élodie@example.org"),
    ("e\u0301lodie@example.org", "élodie@example.org"),
    ("marie@Bücher.example", "marie@xn--bcher-kva.example"),
    ("marie@bu\u0308cher.example", "marie@xn--bcher-kva.example"),
    ("marie@XN--BCHER-KVA.example", "marie@xn--bcher-kva.example"),
    ("marie@ÉTAT.fr", "marie@xn--tat-9la.fr"),
    ("o'neil+tag@example.org", "o'neil+tag@example.org"),
    ("root@localhost", "root@localhost"),
]

REFUSED = [
    "",
    "marie",
    "@example.org",
    "marie@",
    "marie@example.org.",
    "marie@.example.org",
    "marie@example..org",
    " marie@example.org",
    "marie@example.org ",
    "marie @example.org",
    "marie@example.org\n",
    "marie@example.org\x00.evil.example",
    "marie\x00@example.org",
    "marie\t@example.org",
    "ma\u00a0rie@example.org",
    "ma\u200brie@example.org",
    "marie\u202e@example.org",
    "marie@exam\u00adple.org",
    "marie@example。org",
    "marie@ｅxample.org",
    "marie@straße.example",
    "marie@ςigma.example",
    "marie@exa\u200dmple.org",
    "\u212aelvin@example.org",
    "<marie@example.org>",
    "Marie <marie@example.org>",
    "team: marie@example.org;",
    "marie@example.org, paul@example.org",
    '"marie@example.org',
    '"ma"rie"@example.org',
    '""@example.org',
    '"john doe"@example.org',
    "marie.@example.org",
    ".marie@example.org",
    "ma..rie@example.org",
    "marie@[192.0.2.1]",
    "marie@-example.org",
    "marie@example_x.org",
    "marie@" + "a" * 64 + ".example",
    "m" * 400 + "@example.org",
    "*)(mail=*@example.org",
]

DIFFERENT = [
    ("marie@example.org", "marie@example.com"),
    ("marie@example.org", "marie@sub.example.org"),
    ("marie@example.org", "mariе@example.org"),  # Cyrillic е
    ("élodie@example.org", "Élodie@example.org"),  # ASCII alone is folded
    ("marie@bücher.example", "marie@bucher.example"),
    ("a.b@example.org", "ab@example.org"),
    ("a+b@example.org", "a@example.org"),
]


@pytest.mark.parametrize(("address", "form"), SAME)
def test_one_form(address: str, form: str) -> None:
    assert canonical(address) == form
    assert canonical(form) == form


@pytest.mark.parametrize("address", REFUSED)
def test_no_form(address: str) -> None:
    with pytest.raises(AddressError) as refused:
        canonical(address)
    assert str(refused.value).isascii()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one: str, other: str) -> None:
    assert canonical(one) != canonical(other)


@given(st.text(max_size=20), st.text(max_size=20))
@example("T\u0308", "example.org")
@example('"\\\\"', "example.org")
def test_form_is_stable(local: str, domain: str) -> None:
    try:
        form = canonical(f"{local}@{domain}")
    except AddressError:
        return
    assert canonical(form) == form
    assert not any(character <= " " for character in form)


def test_domains() -> None:
    assert domain_of("Marie@EXAMPLE.org") == "example.org"
    assert in_domain("marie@example.org", "Example.org")
    assert not in_domain("marie@sub.example.org", "example.org")
    assert in_domain("marie@sub.example.org", ".example.org")
    assert not in_domain("marie@example.org", ".example.org")
    assert not in_domain("marie@notexample.org", ".example.org")
    assert in_domain("marie@bücher.example", "xn--bcher-kva.example")
    assert not in_domain("no address", "example.org")


def test_addresses_of_a_certificate() -> None:
    utf8 = x509.OtherName(SMTP_UTF8_MAILBOX, core.UTF8String("élodie@example.org").dump())
    issued = root().issue(
        dn("Marie", email="Marie@Example.org"),
        emails=(
            "marie.curie@example.org",
            "marie@example.org ",
            "marie@example.org.",
            "marie@example.org\x00.evil.example",
        ),
        other_names=(utf8, x509.DNSName("example.org")),
    )
    assert certificate_addresses(issued.cert) == (
        "marie.curie@example.org",
        "élodie@example.org",
        "marie@example.org",
    )
    assert len(read_addresses(issued.cert).malformed) == 3


def test_garbage_in_smtp_utf8_mailbox_is_reported() -> None:
    bad = x509.OtherName(SMTP_UTF8_MAILBOX, core.Integer(5).dump())
    issued = root().issue("Marie", other_names=(bad,))
    found = read_addresses(issued.cert)
    assert found.usable == ()
    assert len(found.malformed) == 1
