"""Mail for partners with whom protected header fields were agreed (docs/decisions/0020)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.dsn import About, Event, Languages, Report, notice
from gateway.mime.entity import content_entity, split
from gateway.mime.parameters import content_type
from gateway.outbound.steps import Outbound
from gateway.outbound.work import Work
from gateway.policy import (
    Crypto,
    Encryption,
    HeaderProtection,
    Partner,
    Pattern,
    Policy,
    Rule,
    Sign,
    WithoutCertificate,
)
from gateway.smime.sign import sign
from pki.models import Finding
from tests.unit.smime_world import NOW, Identity, openssl_decrypt, openssl_verify, world
from tests.unit.test_outbound import AUTHOR, NONE, found, job, outbound

# With a hyphen, which base64 has not: four letters alone stand in that of some mail by chance.
MOLE = "the-mole@secret.example"
MAIL = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@secret.example, carol@signed.example, dave@off.example\r\n"
    b"Bcc: " + MOLE.encode() + b"\r\n"
    b"Subject: the\r\n merger\r\n"
    b"Thread-Topic: the merger\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n" + "à demain\r\n".encode()
)
BOB, CAROL, DAVE = "bob@secret.example", "carol@signed.example", "dave@off.example"


@pytest.fixture(scope="module")
def sealer() -> Outbound:
    rule = Rule(
        "all", (Pattern("*"),), (Pattern("*"),), Encryption.IF_POSSIBLE,
        WithoutCertificate.SEND_SIGNED, Sign.SEAL,
    )  # fmt: skip
    partners = [
        Partner(("secret.example",), Crypto.READABLE, HeaderProtection.CONFIDENTIAL),
        Partner(("signed.example",), Crypto.READABLE, HeaderProtection.SIGNED),
        Partner(("old.example",), Crypto.READABLE, HeaderProtection.LEGACY_DISPLAY),
    ]
    return replace(outbound(seal=world().alice), policy=Policy([rule], partners))


def person(address: str) -> Identity:
    """He has Bob's key: one is enough to open all that is encrypted here."""
    bob = world().bob
    return Identity(address, bob.key, bob.certificate, bob.chain)


def certified(*addresses: str) -> Mapping[str, Finding]:
    return {address: found(person(address)) for address in addresses}


def by_recipient(work: Work) -> dict[str, bytes]:
    groups = {group.id: group.emitted for group in work.groups}
    return {r.address: groups[r.group_id] for r in work.job.recipients if r.group_id}


def records(work: Work) -> dict[str, dict[str, Any]]:
    return {r.address: json.loads(r.decision) for r in work.job.recipients}


def sealed_fields(work: Work) -> list[Mapping[str, bytes]]:
    return [draft.fields for draft in work.drafts if draft.kind == "sealed"]


def head(mail: bytes) -> bytes:
    return mail.partition(b"\r\n\r\n")[0] + b"\r\n"


def test_each_partner_gets_what_was_agreed(sealer: Outbound, tmp_path: Path) -> None:
    work = sealer.seal(job(BOB, CAROL, DAVE), MAIL, certified(BOB, CAROL, DAVE), moment=NOW)
    emitted = by_recipient(work)
    opened = {
        who: openssl_verify(tmp_path, openssl_decrypt(tmp_path, mail, world().bob))
        for who, mail in emitted.items()
    }

    assert b"\r\nSubject: [...]\r\n" in head(emitted[BOB])
    for mail in (emitted[CAROL], emitted[DAVE]):
        assert b"\r\nSubject: the\r\n merger\r\nThread-Topic: the merger\r\n" in head(mail)
    for who in (BOB, CAROL):
        inner = split(opened[who])
        assert [field.value for field in inner.all("subject")] == [b"the merger"]
        assert b'hp="cipher"' in inner.all("content-type")[0].raw
        assert inner.body == split(MAIL).body
    assert opened[DAVE] == content_entity(split(MAIL))


def test_the_subject_leaks_nowhere(sealer: Outbound, tmp_path: Path) -> None:
    """Not on the wire, not in what is written of it, not by another recipient's group."""
    work = sealer.seal(job(BOB), MAIL, certified(BOB), moment=NOW)

    assert b"merger" not in by_recipient(work)[BOB]
    assert all(
        b"merger" not in value for fields in sealed_fields(work) for value in fields.values()
    )
    inner = openssl_decrypt(tmp_path, by_recipient(work)[BOB], world().bob)
    assert b"the-mole" not in inner
    assert b"the-mole" not in by_recipient(work)[BOB]


def test_a_blind_recipient_is_in_no_header(sealer: Outbound, tmp_path: Path) -> None:
    work = sealer.seal(job(BOB, MOLE), MAIL, certified(BOB, MOLE), moment=NOW)
    emitted = by_recipient(work)

    assert emitted[BOB] != emitted[MOLE]
    for mail in emitted.values():
        assert b"the-mole" not in mail + openssl_decrypt(tmp_path, mail, world().bob)


def test_the_log_has_the_hashes_of_what_was_signed_and_of_what_it_was(
    sealer: Outbound, tmp_path: Path
) -> None:
    work = sealer.seal(job(BOB), MAIL, certified(BOB), moment=NOW)
    (fields,) = sealed_fields(work)
    inner = openssl_decrypt(tmp_path, by_recipient(work)[BOB], world().bob)
    signed = openssl_verify(tmp_path, inner)
    came = hashlib.sha256(content_entity(split(MAIL))).hexdigest()

    assert fields["entity.sha256"].decode() == hashlib.sha256(signed).hexdigest()
    assert fields["transformation.000000"].decode() == (
        f"root content->hp=cipher {came} {hashlib.sha256(signed).hexdigest()}"
    )
    assert records(work)[BOB]["header-protection"] == {
        "agreed": "confidential",
        "hp": "cipher",
        "hidden": ["subject", "thread-topic"],
    }


@pytest.mark.parametrize("address", [BOB, CAROL])
def test_without_a_certificate_the_signature_covers_the_header(
    sealer: Outbound, address: str, tmp_path: Path
) -> None:
    """Signed in clear: the 8-bit body is encoded, the fields beside it keep their octets."""
    work = sealer.seal(job(address), MAIL, {address: NONE}, moment=NOW)
    mail = by_recipient(work)[address]
    content = openssl_verify(tmp_path, mail)
    inner = split(content)

    assert b"\r\nSubject: the\r\n merger\r\n" in head(mail)
    assert inner.all("subject")[0].raw == b"Subject: the\r\n merger\r\n"
    assert inner.all("content-type")[0].raw.startswith(b'Content-Type: text/plain;\r\n hp="clear"')
    assert not inner.all("hp-outer")
    assert content.isascii()
    (fields,) = sealed_fields(work)
    first, second = (fields[f"transformation.{n:06d}"].decode().split() for n in range(2))
    assert (first[1], second[1]) == ("content->hp=clear", "8bit->base64")
    assert first[3] == second[2]
    assert second[3] == fields["entity.sha256"].decode()


def test_who_agreed_to_nothing_gets_what_he_always_got(sealer: Outbound) -> None:
    work = sealer.seal(job(DAVE), MAIL, {DAVE: NONE}, moment=NOW)

    assert b"hp=" not in by_recipient(work)[DAVE]
    assert "header-protection" not in records(work)[DAVE]


def test_readers_of_old_programs_find_the_subject_in_the_text(
    sealer: Outbound, tmp_path: Path
) -> None:
    emma = "emma@old.example"
    work = sealer.seal(job(emma), MAIL, certified(emma), moment=NOW)
    mail = by_recipient(work)[emma]
    inner = split(openssl_verify(tmp_path, openssl_decrypt(tmp_path, mail, world().bob)))

    assert b"\r\nSubject: [...]\r\n" in head(mail)
    assert bytes(inner.body) == "Subject: the merger\r\n\r\nà demain\r\n".encode()
    kind = content_type(inner.fields)
    assert (kind.parameters["hp"], kind.parameters["hp-legacy-display"]) == (b"cipher", b"1")
    (fields,) = sealed_fields(work)
    steps = [fields[f"transformation.{n:06d}"].decode().split() for n in range(2)]
    came = hashlib.sha256(content_entity(split(MAIL))).hexdigest()
    assert [step[1] for step in steps] == ["text->hp-legacy-display", "content->hp=cipher"]
    assert (steps[0][2], steps[0][3], steps[1][3]) == (
        came, steps[1][2], fields["entity.sha256"].decode(),
    )  # fmt: skip
    assert records(work)[emma]["header-protection"]["legacy-display"] == ["root"]
    # In clear text nothing is hidden, so nothing is repeated.
    clear = by_recipient(sealer.seal(job(emma), MAIL, {emma: NONE}, moment=NOW))[emma]
    assert b"hp-legacy-display" not in clear


def signed_by_a_client() -> bytes:
    return head(MAIL.replace(b"Content-Type: text/plain; charset=utf-8\r\n"
                             b"Content-Transfer-Encoding: 8bit\r\n", b"")) + sign(
        b"Content-Type: text/plain\r\n\r\nhello\r\n", world().erin.signer
    ).entity  # fmt: skip


def test_a_subject_that_cannot_be_hidden_does_not_leave(sealer: Outbound) -> None:
    """A client that signs by itself: nothing can be put under its signature any more."""
    mail = signed_by_a_client()
    work = sealer.seal(job(BOB, CAROL), mail, certified(BOB, CAROL), moment=NOW)

    (failure,) = work.failures
    assert failure.recipient.address == BOB
    assert failure.encrypted
    assert failure.problem.code == "structure.header-protection"
    assert failure.problem.text == (
        "its subject cannot be kept from servers on the way, as was agreed for this recipient: "
        "it is signed or encrypted already"
    )
    assert list(by_recipient(work)) == [CAROL]
    assert records(work)[CAROL]["header-protection"] == {
        "agreed": "signed",
        "not-because": "it is signed or encrypted already",
    }


@pytest.mark.parametrize("event", list(Event))
def test_no_notice_quotes_a_hidden_subject(event: Event) -> None:
    """Threat S15. What must be encrypted is secret to a notice, its subject included."""
    written = notice(
        event,
        About("a" * 32, MAIL, AUTHOR, NOW, secret=True),
        [Report(BOB, "5.7.5")],
        reporting_mta="sceau.example.org",
        postmaster="postmaster@example.org",
        languages=Languages(),
        moment=NOW,
    )

    assert b"merger" not in written
