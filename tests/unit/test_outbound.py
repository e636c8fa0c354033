"""Who is sealed together, what leaves, and what is written down of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.clock import to_micros
from gateway.demo.judge import signed_part
from gateway.mime.entity import content_entity, split
from gateway.outbound.steps import Outbound
from gateway.outbound.work import Work
from gateway.policy import Crypto, Encryption, Partner, Pattern, Policy, Rule, Sign
from gateway.policy import WithoutCertificate as Without
from gateway.queue.jobs import Job, Recipient, SealedGroup
from gateway.queue.states import State
from gateway.routes import Route, Routes
from gateway.signers import Signers
from gateway.smime.algorithms import Cipher
from gateway.smime.encrypt import Recipient as Envelope
from gateway.smime.encrypt import encrypt
from gateway.smtp.nexthop import NextHop, TlsDemand
from pki.errors import Problem, TokenTrouble
from pki.models import CannotTell, Certified, Finding, NoCertificate
from pki.person_signers import ConsentedSigner
from tests.unit.signing import FIT, any_seal
from tests.unit.smime_world import NOW, Identity, openssl_decrypt, openssl_verify, world

AUTHOR = "alice@example.org"
RAW = (
    b"From: Alice <alice@example.org>\r\nTo: %s\r\nBcc: hidden@example.net\r\n"
    b"Return-Path: <x@y>\r\nSceau-Note: forged\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "é secret\r\n".encode()
)


class NoPersons:
    def signer_for(self, _address: str, _moment: datetime) -> None:
        return None


def rule(name: str, recipient: str, encryption: Encryption, without: Without, sign: Sign) -> Rule:
    return Rule(name, (Pattern("*"),), (Pattern(recipient),), encryption, without, sign)


RULES = [
    rule("clear", "@clear.example", Encryption.IF_POSSIBLE, Without.SEND_SIGNED, Sign.SEAL),
    rule("refuse", "@refuse.example", Encryption.REQUIRED, Without.REFUSE, Sign.SEAL),
    rule("plain", "@plain.example", Encryption.NEVER, Without.HOLD, Sign.NONE),
    rule("must", "*", Encryption.REQUIRED, Without.HOLD, Sign.SEAL),
]


def outbound(*, seal: Identity | None) -> Outbound:
    hop = NextHop("127.0.0.1", 25, tls=TlsDemand.NONE)
    return Outbound(
        hostname="sceau.example.org",
        policy=Policy(RULES, [Partner(("modern.example",), Crypto.MODERN)]),
        routes=Routes([Route("all", hop, (), default=True)]),
        signers=Signers(
            {} if seal is None else {"example.org": seal.signer}, NoPersons(), any_seal
        ),
    )


def job(*addresses: str, expired: bool = False) -> Job:
    now = to_micros(NOW)
    return Job(
        archive_id="a" * 32,
        org="o",
        kind="mail",
        sender=AUTHOR,
        author=AUTHOR,
        parameters={"helo": "h", "peer": "127.0.0.1", "tls": ""},
        sha256="",
        size=1,
        accepted_at=now,
        suspect=False,
        recipients=[
            Recipient(n, a, State.QUEUED, None, 1, now + 1, now - 1 if expired else now + 10**16,
                      "", "", due=True)
            for n, a in enumerate(addresses)
        ],
    )  # fmt: skip


def found(identity: Identity) -> Certified:
    return Certified(replace(identity.checked(), unchecked=False), ("store",))


NONE = NoCertificate(("store",), (), Problem("directory.none", "none"))
UNSURE = CannotTell(("ldap",), (), Problem("directory.down", "the directory is down"))


def to_seal(
    addresses: list[str], findings: Mapping[str, Finding], *, to: str = "", **options: bool
) -> Work:
    raw = RAW.replace(b"%s", to.encode() or ", ".join(addresses).encode())
    waiting = job(*addresses, expired=options.get("expired", False))
    return outbound(seal=world().alice).seal(waiting, raw, findings, moment=NOW)


@pytest.fixture(scope="module")
def bob() -> Identity:
    return world().bob


def test_recipients_treated_alike_share_an_envelope(bob: Identity) -> None:
    carol = Identity("carol@example.net", bob.key, bob.certificate, bob.chain)
    work = to_seal(
        [bob.address, carol.address], {bob.address: found(bob), carol.address: found(carol)}
    )
    (group,) = work.groups
    assert {r.group_id for r in work.job.recipients} == {group.id}
    assert group.treatment == "encrypted"


def test_a_blind_recipient_is_alone(bob: Identity) -> None:
    hidden = Identity("hidden@example.net", bob.key, bob.certificate, bob.chain)
    findings = {bob.address: found(bob), hidden.address: found(hidden)}
    work = to_seal([bob.address, hidden.address], findings, to=bob.address)
    first, second = (r.group_id for r in work.job.recipients)
    assert first != second
    assert all(b"hidden@example.net" not in group.emitted for group in work.groups)


def test_groups_are_counted_once_however_many_there_are() -> None:
    """Mails side by side find them in no cache of the processor: what is looked at is read anew."""
    looked = 0

    class Counting(list[SealedGroup]):
        def __iter__(self) -> Iterator[SealedGroup]:
            nonlocal looked
            for one in super().__iter__():
                looked += 1
                yield one

    blind = [f"n{n}@plain.example" for n in range(100)]
    work = Work(job(*blind), Counting())
    list(outbound(seal=None).sealing(work, RAW.replace(b"%s", b"x@y.example"), {}, moment=NOW))
    assert len(work.groups) == 100
    assert looked <= 200


def test_an_unreadable_header_makes_everyone_blind(bob: Identity) -> None:
    carol = Identity("carol@example.net", bob.key, bob.certificate, bob.chain)
    findings = {bob.address: found(bob), carol.address: found(carol)}
    work = to_seal([bob.address, carol.address], findings, to="<<broken, (")
    assert len(work.groups) == 2


def test_what_leaves_opens_and_is_what_came(bob: Identity, tmp_path: Path) -> None:
    work = to_seal([bob.address], {bob.address: found(bob)})
    (group,) = work.groups
    head = group.emitted.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"Received: from h ([127.0.0.1])\r\n\tby sceau.example.org with ESMTP")
    for gone in (b"Bcc:", b"Return-Path:", b"Sceau-Note", b"text/plain"):
        assert gone not in head
    assert b"secret" not in group.emitted
    inner = openssl_decrypt(tmp_path, group.emitted, bob)
    entity = content_entity(split(RAW))
    assert signed_part(inner) == entity
    (tmp_path / "entity").write_bytes(entity)
    openssl_verify(tmp_path, inner, "-binary", "-content", str(tmp_path / "entity"))


@pytest.mark.parametrize("name", ["must.example", "clear.example", "refuse.example"])
def test_cannot_tell_is_never_sent(name: str) -> None:
    address = f"x@{name}"
    work = to_seal([address], {address: UNSURE})
    assert work.groups == []
    assert work.failures == []
    assert work.job.recipients[0].state is State.QUEUED
    assert [draft.kind for draft in work.drafts] == ["deferred"]


def test_a_finding_that_is_missing_is_never_taken_for_none() -> None:
    with pytest.raises(ValueError, match=r".+"):
        to_seal(["x@clear.example"], {})


def test_without_a_certificate_each_rule_has_its_way(bob: Identity) -> None:
    addresses = ["a@must.example", "b@clear.example", "c@refuse.example", "d@plain.example"]
    work = to_seal(addresses, dict.fromkeys(addresses[:3], NONE))
    held, clear, refused, plain = work.job.recipients
    assert held.state is State.HELD
    assert [failure.recipient for failure in work.failures] == [refused]
    treatments = {group.id: group for group in work.groups}
    signed = treatments[clear.group_id or ""]
    assert signed.treatment == "signed"
    assert b"multipart/signed" in signed.emitted
    assert signed.emitted.isascii()  # 8-bit would not survive every relay under a signature
    unsigned = treatments[plain.group_id or ""]
    assert unsigned.treatment == "plain"
    assert unsigned.emitted.endswith("é secret\r\n".encode())
    assert b"Bcc:" not in unsigned.emitted


def test_the_same_reason_is_logged_once(bob: Identity) -> None:
    address = "x@must.example"
    work = to_seal([address], {address: UNSURE})
    (recipient,) = work.job.recipients
    maker = outbound(seal=world().alice)
    again = job(address)
    again.recipients[0].reason = recipient.reason
    assert maker.seal(again, RAW, {address: UNSURE}, moment=NOW).drafts == []


def test_waiting_ends_with_a_notice_when_the_mail_expires() -> None:
    address = "x@must.example"
    work = to_seal([address], {address: UNSURE}, expired=True)
    assert [failure.status for failure in work.failures] == ["4.4.3"]


def test_without_a_seal_nothing_leaves(bob: Identity) -> None:
    maker = outbound(seal=None)
    work = maker.seal(job(bob.address), RAW, {bob.address: found(bob)}, moment=NOW)
    assert work.groups == []
    assert json.loads(work.job.recipients[0].reason)["code"] == "identity.no-seal"


def test_a_seal_past_its_time_is_not_used(bob: Identity) -> None:
    later = datetime(2199, 1, 1, tzinfo=UTC)
    maker = outbound(seal=world().alice)
    work = maker.seal(job(bob.address), RAW, {bob.address: found(bob)}, moment=later)
    assert work.groups == []
    assert json.loads(work.job.recipients[0].reason)["code"] == "identity.seal-expired"


def test_the_record_explains_the_recipient_info(bob: Identity) -> None:
    work = to_seal([bob.address], {bob.address: found(bob)})
    (draft,) = work.drafts
    assert draft.kind == "sealed"
    record = json.loads(draft.fields["decision.000000"])
    assert record["rule"] == "must"
    assert record["certificate"]["sha256"] == bob.checked().sha256
    assert record["cipher"] == "aes-256-cbc"
    assert record["signer"]["role"] == "domain"
    assert draft.fields["emitted.sha256"].decode() == work.groups[0].sha256
    assert bob.der in work.certificates


def test_a_fault_in_one_group_is_not_that_of_the_others(
    bob: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = Identity("hidden@example.net", bob.key, bob.certificate, bob.chain)
    findings = {bob.address: found(bob), hidden.address: found(hidden)}

    def fails_for_the_hidden(
        entity: bytes, recipients: Sequence[Envelope], cipher: Cipher, *, before: bytes
    ) -> bytes:
        if recipients[0].certificate.address == hidden.address:
            raise RuntimeError("nobody foresaw this")
        return encrypt(entity, recipients, cipher, before=before)

    monkeypatch.setattr("gateway.outbound.group.encrypt", fails_for_the_hidden)
    work = to_seal([bob.address, hidden.address], findings, to=bob.address)
    first, second = work.job.recipients
    assert [group.id for group in work.groups] == [first.group_id]
    assert second.group_id is None
    assert second.state is State.QUEUED
    assert json.loads(second.reason)["code"] == "limits.internal"
    assert len(work.drafts) == 1


def test_a_token_that_is_away_keeps_the_mail_and_is_named(
    bob: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_arguments: object, **_more: object) -> None:
        raise TokenTrouble(Problem("token.unusable", "there is no token {token}", {"token": "t"}))

    monkeypatch.setattr("gateway.outbound.inside.sign", away)
    work = to_seal([bob.address], {bob.address: found(bob)}, to=bob.address)
    (recipient,) = work.job.recipients
    assert recipient.state is State.QUEUED
    assert json.loads(recipient.reason)["code"] == "token.unusable"
    assert not work.groups


def test_the_hash_in_the_log_is_sha256_whatever_the_signature_uses(bob: Identity) -> None:
    """Ed25519 goes with SHA-512."""
    seal = outbound(seal=world().yves)
    work = seal.seal(job(bob.address), RAW, {bob.address: found(bob)}, moment=NOW)

    (draft,) = work.drafts
    expected = hashlib.sha256(content_entity(split(RAW))).hexdigest()
    assert draft.fields["entity.sha256"].decode() == expected


def test_a_person_signs_and_the_log_says_by_which_consent() -> None:
    alice = world().alice

    class Persons:
        def signer_for(self, _address: str, _moment: datetime) -> ConsentedSigner:
            return ConsentedSigner(alice.signer, "c" * 32, FIT)

    by_person = replace(
        outbound(seal=None),
        signers=Signers({}, Persons(), any_seal),
        policy=Policy(
            [rule("me", "*", Encryption.IF_POSSIBLE, Without.SEND_SIGNED, Sign.PERSON)], ()
        ),
    )
    work = by_person.seal(job("bob@clear.example"), RAW, {"bob@clear.example": NONE}, moment=NOW)

    (draft,) = work.drafts
    signer = json.loads(draft.fields["decision.000000"])["signer"]
    assert (signer["role"], signer["consent"]) == ("person", "c" * 32)
    assert work.groups[0].treatment == "signed"
