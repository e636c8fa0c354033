"""Is the signer whom the mail says it is from? Sixty ways to get it wrong (threat S8)."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.mime.entity import split
from gateway.smime.identity import author_of
from gateway.smime.verdicts import Match, Role
from pki import der_writing as der
from pki.addresses import SMTP_UTF8_MAILBOX
from tests.unit.cms_forger import (
    alice,
    clear_signed,
    codes,
    issue,
    judged,
    mail,
    mallory_key,
    rules,
    status,
    with_key,
)

VICTIM = b"alice@example.org"

# What a certificate may say that looks like alice@example.org, and is not.
CERTIFICATES = [
    " alice@example.org", "alice@example.org ", "\talice@example.org", "alice @example.org",
    "alice@ example.org", "alice@example.org\n", "alice@example.org\r\n", "alice@example.org.",
    "alice.@example.org", ".alice@example.org", "al..ice@example.org", "alice@example.org\0",
    "alice@example.org\0.evil.example", "alice\0@example.org", "alice@example..org",
    "alice@.example.org", "alice@example.org@evil.example", "evil@evil.example@example.org",
    "<alice@example.org>", "Alice <alice@example.org>", "alice@example.org,mallory@evil.example",
    "alice@example.org;x", "mailto:alice@example.org", "(x)alice@example.org", "@example.org",
    "alice@", "alice", "example.org", "*@example.org", "alice@*.org", "al%69ce@example.org",
    "alice%example.org@evil.example", '"alice @example.org"@evil.example', '"alice"@evil.example',
    "al\\ice@example.org", "alice@EXAMPLE.ORG.evil.example", "alice+x@example.org",
    "alice@sub.example.org", "alice@org", "=?utf-8?q?alice?=@example.org",
]  # fmt: skip
# Look-alikes that are not ASCII, as SmtpUTF8Mailbox (RFC 9598).
UTF8 = [
    "аlice@example.org", "alicе@example.org", "alice@exаmple.org", "alice＠example.org",
    "alice@example。org", "ａlice@example.org", "alice\u200b@example.org",
    "alice@example.org\u202e",
    "\u00adalice@example.org", "alıce@example.org", "aliⅽe@example.org", "alice@example.oｒg",
]  # fmt: skip
# What From may say so that some reader sees alice@example.org. Mallory signs, rightly, as himself.
FROM = [
    b"alice@example.org, mallory@evil.example",
    b"mallory@evil.example, alice@example.org",
    b'"alice@example.org" <mallory@evil.example>',
    b"alice@example.org <mallory@evil.example>",
    b"=?utf-8?q?alice=40example=2Eorg?= <mallory@evil.example>",
    b"=?utf-8?b?YWxpY2VAZXhhbXBsZS5vcmc=?= <mallory@evil.example>",
    b"mallory@evil.example (alice@example.org)",
    b"(alice@example.org) mallory@evil.example",
    b"<@example.org:mallory@evil.example>",
    b'"alice@example.org"@evil.example',
    b"alice@example.org mallory@evil.example",
    b"Group: alice@example.org, mallory@evil.example;",
    b"alice\xef\xbc\xa0example.org <mallory@evil.example>",
    b"<alice@example.org> <mallory@evil.example>",
    b'"alice@example.org\x00" <mallory@evil.example>',
    b"mallory@evil.example\r\nFrom: alice@example.org",
    b"alice@example.org\r\nFrom: mallory@evil.example",
    b"alice@example.org\r\nSender: mallory@evil.example",
    b"alice@example.org\r\nReply-To: mallory@evil.example",
    b"alice@example.org\r\nResent-From: mallory@evil.example",
    b"mallory@evil.example\r\nfrom : alice@example.org",
    b"mallory@evil.example\r\nno field\r\nFrom: alice@example.org",
    b"=?utf-8?q?alice=40example.org=0D=0A?= <mallory@evil.example>",
    b"",
    b"undisclosed-senders:;",
    b"mallory@evil.example\r\nSubject: x\nFrom: alice@example.org",
    b"mallory@evil.example\r\nSubject: x\rFrom: alice@example.org",
    b"mallory@evil.example\nFrom: alice@example.org",
]


@pytest.mark.parametrize("text", CERTIFICATES, ids=repr)
def test_an_address_in_a_certificate_that_only_looks_like_it(text: str) -> None:
    who = with_key(issue(text, mallory_key().public_key()))

    found = judged(mail(clear_signed(who), sender=VICTIM))

    assert found.status.value == "invalid"
    assert found.signers[0].from_matches is Match.NO


@pytest.mark.parametrize("text", UTF8, ids=repr)
def test_look_alikes_beyond_ascii(text: str) -> None:
    name = x509.OtherName(SMTP_UTF8_MAILBOX, der.element(0x0C, text.encode()))
    who = with_key(issue(None, mallory_key().public_key(), names=[name]))

    assert status(mail(clear_signed(who), sender=VICTIM)) == "invalid"


@pytest.mark.parametrize("place", [NameOID.COMMON_NAME, NameOID.GIVEN_NAME, NameOID.USER_ID])
def test_an_address_elsewhere_in_the_name_is_none(place: x509.ObjectIdentifier) -> None:
    subject = x509.Name([x509.NameAttribute(place, VICTIM.decode())])
    who = with_key(issue(None, mallory_key().public_key(), subject=subject))

    assert codes(mail(clear_signed(who), sender=VICTIM)) == {"identity.no-address"}


@pytest.mark.parametrize("kind", [x509.DNSName, x509.UniformResourceIdentifier])
def test_names_of_other_kinds_are_no_addresses(kind: type[x509.GeneralName]) -> None:
    name = kind(VICTIM.decode())  # type: ignore[call-arg]
    who = with_key(issue(None, mallory_key().public_key(), names=[name]))

    assert codes(mail(clear_signed(who), sender=VICTIM)) == {"identity.no-address"}


@pytest.mark.parametrize("value", FROM)
def test_a_from_that_some_reader_takes_for_somebody_else(value: bytes) -> None:
    who = with_key(issue("mallory@evil.example", mallory_key().public_key()))
    entity = clear_signed(who)
    header = b"From: " + value + b"\r\n"

    assert status(header + b"MIME-Version: 1.0\r\n" + entity) in ("invalid", "malformed")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"team: a@ministere.test;", ("a@ministere.test",)),
        (b'"b@elsewhere.test" <a@ministere.test>', ("a@ministere.test",)),
        (b"a@ministere.test, b@ministere.test", ("a@ministere.test", "b@ministere.test")),
        (b"a@ministere.test b@ministere.test", ()),
    ],
)
def test_who_is_no_author_is_shown_as_far_as_he_can_be_read(
    value: bytes, shown: tuple[str, ...]
) -> None:
    author = author_of(split(b"From: " + value + b"\r\n\r\n"))

    assert (author.shown, author.canonical) == (shown, None)
    assert author.problem is not None


def test_there_are_enough_of_them() -> None:
    assert len(CERTIFICATES) + len(UTF8) + len(FROM) >= 60


@pytest.mark.parametrize(
    "value",
    [
        b"alice@example.org",
        b"ALICE@Example.ORG",
        b'"alice"@example.org',
        b"Alice Martin <alice@example.org>",
        b'"Martin, Alice" <Alice@example.org>',
        b"=?utf-8?q?Alice_=C3=A9?= <alice@example.org>",
        b"Alice (home) <alice@example.org>",
        b'"alice@example.org" <alice@example.org>',
        b"\r\n Alice <alice@example.org>",
        b"alice@example.org\r\nSender: office@example.org",
        b"alice@example.org\r\nReply-To: office@example.org",
    ],
)
def test_the_same_address_however_it_is_written(value: bytes) -> None:
    assert status(mail(clear_signed(), sender=value)) == "valid"


@pytest.mark.parametrize(
    ("sender", "in_certificate"),
    [
        ("alice@bücher.example", "alice@xn--bcher-kva.example"),
        ("alice@xn--bcher-kva.example", "alice@xn--bcher-kva.example"),
        ("Alice@BÜCHER.example", "alice@xn--bcher-kva.example"),
    ],
)
def test_international_domains(sender: str, in_certificate: str) -> None:
    who = with_key(issue(in_certificate, mallory_key().public_key()))

    assert status(mail(clear_signed(who), sender=sender.encode())) == "valid"


def test_an_international_address_in_a_certificate() -> None:
    name = x509.OtherName(SMTP_UTF8_MAILBOX, der.element(0x0C, "élise@example.org".encode()))
    who = with_key(issue(None, mallory_key().public_key(), names=[name]))

    assert status(mail(clear_signed(who), sender="élise@example.org".encode())) == "valid"
    assert status(mail(clear_signed(who), sender=b"elise@example.org")) == "invalid"


def test_one_of_several_addresses_in_a_certificate() -> None:
    names = [x509.RFC822Name("a@example.org"), x509.RFC822Name("b@example.org")]
    who = with_key(issue(None, mallory_key().public_key(), names=names))

    assert status(mail(clear_signed(who), sender=b"b@example.org")) == "valid"
    assert status(mail(clear_signed(who), sender=b"c@example.org")) == "invalid"


# -- RFC 3183: the domain signs ------------------------------------------------------------


def _seal(address: str = "domain-signing-authority@example.org") -> bytes:
    return issue(address, mallory_key().public_key())


def test_the_pinned_certificate_of_the_domain_signs_for_its_people() -> None:
    seal = _seal()

    found = judged(mail(clear_signed(with_key(seal))), rules(domain_certificates=[seal]))

    assert found.status.value == "valid"
    (signer,) = found.signers
    assert (signer.role, signer.from_matches) == (Role.DOMAIN, Match.DOMAIN)


def test_a_domain_s_certificate_that_nobody_pinned_is_nobody_s() -> None:
    seal = _seal()

    assert codes(mail(clear_signed(with_key(seal)))) == {"identity.domain-not-pinned"}
    other = _seal()  # of the same CA, with the same name
    pinned = rules(domain_certificates=[other])
    assert codes(mail(clear_signed(with_key(seal))), pinned) == {"identity.domain-not-pinned"}


@pytest.mark.parametrize(
    "sender",
    [b"alice@sub.example.org", b"alice@org", b"alice@evil.example", b"alice@xample.org"],
)
def test_a_domain_signs_for_no_other(sender: bytes) -> None:
    seal = _seal()

    found = judged(
        mail(clear_signed(with_key(seal)), sender=sender), rules(domain_certificates=[seal])
    )

    assert found.status.value == "invalid"
    assert found.signers[0].from_matches is Match.NO


def test_a_person_s_certificate_is_no_domain_s_though_it_is_pinned() -> None:
    pinned = rules(domain_certificates=[alice().certificate])

    assert codes(mail(clear_signed(), sender=b"boss@example.org"), pinned) == {
        "identity.from-mismatch"
    }


def test_a_pinned_domain_certificate_still_needs_a_path() -> None:
    key = mallory_key()
    own = issue("domain-signing-authority@example.org", key.public_key(), by=(rules_issuer(), key))

    assert status(mail(clear_signed(with_key(own))), rules(domain_certificates=[own])) == "invalid"


def rules_issuer() -> x509.Certificate:
    return x509.load_der_x509_certificate(alice().certificate)
