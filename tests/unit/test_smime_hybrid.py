"""Two envelopes, one in the other: who opens one alone has nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.mime.entity import content_entity, split
from gateway.mime.transfer import decode_base64
from gateway.policy import Crypto, Encryption, Partner, Policy, Sign
from gateway.policy import WithoutCertificate as Without
from gateway.policy.outcomes import CRYPTO_ORDER
from gateway.policytrial import Certificate, PastRecipient, _recipient
from gateway.queue.jobs import Recipient as Queued
from gateway.queue.states import State
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.choose import choose_outer
from gateway.smime.cms import content_info
from gateway.smime.decrypt import DecryptRefused, decrypt
from gateway.smime.encrypt import Recipient
from gateway.smime.nested import NotBoth, encrypt_hybrid
from pki.decrypter import KeyDecrypter
from pki.errors import Problem
from pki.models import Certified, CheckedCertificate, Finding, NoCertificate
from tests.unit.smime_world import MAIL, NOW, openssl_decrypt, openssl_verify, world
from tests.unit.test_outbound import NONE, RULES, Work, job, outbound, rule
from tests.unit.test_smime_ml_kem import (
    ENTITY,
    ISSUER,
    KEY,
    KEYS,
    by_kem,
    by_rsa,
    certificate,
    opened,
)

KEM = "2.16.840.1.101.3.4.4.2"


def kem_of(address: str, key: object = KEY) -> CheckedCertificate:
    """As the finder would give it."""
    return replace(certificate(key, "Kim", address), address=address, unchecked=False)


def open_one(entity: bytes, key: KeyDecrypter) -> bytes:
    info = content_info(decode_base64(bytes(split(entity).body)))
    return bytes(decrypt(info, [key], moment=NOW, secret=b"s").content)


def smime_type(entity: bytes) -> bytes:
    (field,) = split(entity).all("content-type")
    return field.value.partition(b"smime-type=")[2].partition(b";")[0].strip(b'"')


@pytest.mark.parametrize("kem", KEYS)
@pytest.mark.parametrize("size", [0, 3 << 20])
def test_both_must_be_opened(kem: str, size: int, tmp_path: Path) -> None:
    """The outer one by asn1crypto, `cryptography` and RFC 9629, the inner one by openssl: not by
    us.
    """
    bob, entity = world().bob, ENTITY + b"x" * size
    outer = by_kem(kem_of(bob.address, KEYS[kem]))
    inner = bob.recipient(KeyManagement.RSA_OAEP)
    sealed = encrypt_hybrid(entity, [inner], [outer], Cipher.AES_256_CBC)

    assert smime_type(sealed) == b"authEnveloped-data"
    within = opened(sealed, KEYS[kem], kem)
    assert smime_type(within) == b"enveloped-data"
    assert entity not in within
    assert openssl_decrypt(tmp_path, b"MIME-Version: 1.0\r\n" + within, bob) == entity


def test_neither_key_alone_opens_it() -> None:
    bob = world().bob
    sealed = encrypt_hybrid(
        ENTITY,
        [bob.recipient(KeyManagement.RSA_OAEP)],
        [by_kem(kem_of(bob.address))],
        Cipher.AES_256_GCM,
    )
    by_kem_alone, by_rsa_alone = KeyDecrypter(KEY), KeyDecrypter(bob.key, bob.der)
    with pytest.raises(DecryptRefused):
        open_one(sealed, by_rsa_alone)
    within = open_one(sealed, by_kem_alone)
    assert smime_type(within) == b"authEnveloped-data"
    with pytest.raises(DecryptRefused):
        open_one(within, by_kem_alone)
    assert open_one(within, by_rsa_alone) == ENTITY


def rsa_of(*names: str) -> Recipient:
    return by_rsa(certificate(ISSUER, *names))


@pytest.mark.parametrize(
    ("inner", "outer", "who"),
    [
        (["Kim", "kim@a.example"], [], "kim@a.example"),
        (["Kim", "kim@a.example"], ["Kim", "lou@a.example"], "kim@a.example"),
        (["Max"], ["Lou"], "CN=Max"),
        ([""], ["Lou"], "-"),
    ],
)
def test_who_has_one_key_alone_gets_no_mail(inner: list[str], outer: list[str], who: str) -> None:
    kim, lou = rsa_of("Kim", "kim@x.example"), by_kem(certificate(KEY, "Kim", "kim@x.example"))
    around = [by_kem(certificate(KEY, *outer))] if outer else []
    with pytest.raises(NotBoth) as refused:
        encrypt_hybrid(ENTITY, [kim, rsa_of(*inner)], [lou, *around], Cipher.AES_256_GCM)
    assert refused.value.who == who


def test_who_is_in_the_outer_one_alone_gets_none_either() -> None:
    kim, both = rsa_of("Kim", "kim@x.example"), by_kem(certificate(KEY, "Kim", "kim@x.example"))
    with pytest.raises(NotBoth, match=r"lou@x\.example"):
        encrypt_hybrid(
            ENTITY,
            [kim],
            [both, by_kem(certificate(KEY, "Lou", "lou@x.example"))],
            Cipher.AES_256_GCM,
        )


def test_two_envelopes_of_one_kind_are_no_hybrid() -> None:
    kim, kem = rsa_of("Kim", "kim@x.example"), by_kem(certificate(KEY, "Kim", "kim@x.example"))
    for inner, outer in (([kim], [kim]), ([kem], [kem]), ([kem], [kim])):
        with pytest.raises(ValueError, match="envelope is"):
            encrypt_hybrid(ENTITY, inner, outer, Cipher.AES_256_GCM)
    with pytest.raises(ValueError, match="ML-KEM"):
        choose_outer(kim.certificate)
    for key in KEYS.values():
        assert choose_outer(kem_of("kim@x.example", key)).transport is KeyManagement.ML_KEM


def test_a_level_below_may_ask_for_two_envelopes_and_not_undo_it() -> None:
    assert CRYPTO_ORDER[-1] is Crypto.HYBRID
    assert set(CRYPTO_ORDER) == set(Crypto)


# -- on the command line -------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    bob = world().bob
    bob.write(tmp_path, "bob")
    (tmp_path / "kem.crt").write_bytes(kem_of(bob.address).der)
    (tmp_path / "kem.key").write_bytes(key_pem())
    (tmp_path / "mail.eml").write_bytes(MAIL)
    return tmp_path


def key_pem() -> bytes:
    from cryptography.hazmat.primitives import serialization as s

    return KEY.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())


ENCRYPT = ["smime", "encrypt", "--experimental-hybrid", "--to", "kem.crt", "--to", "bob.pem"]


def test_one_command_makes_both_and_one_opens_both(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ENCRYPT, "--out", "sealed", "--json", "mail.eml"]) == 0
    (record,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert record["envelopes"] == 2
    assert [one["key_management"] for one in record["recipients"]] == ["rsa-oaep", "ml-kem"]
    assert main(["smime", "inspect", "sealed"]) == 0
    assert re.search(r"recipient .*: ml-kem-768\n", capsys.readouterr().out)
    assert b"Subject: " in (here / "sealed").read_bytes().partition(b"\r\n\r\n")[0]

    keys = ["--key", "kem.key", "--key", "bob.key"]
    assert main(["smime", "decrypt", *keys, "--out", "once", "sealed"]) == 0
    assert main(["smime", "decrypt", *keys, "--out", "mail", "once"]) == 0
    assert content_entity(split((here / "mail").read_bytes())) == ENTITY
    for one in keys[1::2]:
        assert main(["smime", "decrypt", "--key", one, "--all", "--out", one + ".out", "sealed"])
        assert not (here / (one + ".out")).exists()


@pytest.mark.parametrize("only", ["kem.crt", "bob.pem"])
def test_certificates_of_one_kind_alone_are_refused(
    only: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["smime", "encrypt", "--experimental-hybrid", "--to", only, "--out", "e", "mail.eml"]
    assert main(command) == 2
    err = capsys.readouterr().err
    assert f"{world().bob.address} has a key for one of the two envelopes alone" in err
    assert not (here / "e").exists()


# -- on the way out ------------------------------------------------------------------------------

POLICY = Policy(
    [
        rule("clear", "@clear.example", Encryption.IF_POSSIBLE, Without.SEND_SIGNED, Sign.SEAL),
        *RULES,
    ],
    [Partner(("example.net", "clear.example"), Crypto.HYBRID)],
)


def found(second: CheckedCertificate | Problem | None, address: str = "") -> Certified:
    checked = replace(world().bob.checked(), unchecked=False)
    if address:
        checked = replace(checked, address=address)
    return Certified(checked, ("store", "ministry"), (), second)


def _past(recipient: Queued) -> PastRecipient:
    """As `sceau policy try` reads it from the log."""
    return _recipient(recipient.address, json.loads(recipient.decision))


def seal(findings: Mapping[str, Finding], raw: bytes = MAIL) -> Work:
    gateway = replace(outbound(seal=world().alice), policy=POLICY)
    return gateway.seal(job(*findings), raw, findings, moment=NOW)


def test_a_partner_who_agreed_gets_two_envelopes(tmp_path: Path) -> None:
    bob = world().bob
    kem = kem_of(bob.address)
    kem = replace(kem, path=(b"an authority of the second one alone", kem.der))
    work = seal({bob.address: found(kem)})

    (group,) = work.groups
    assert group.treatment == "encrypted"
    within = open_one(group.emitted, KeyDecrypter(KEY))
    signed = open_one(within, KeyDecrypter(bob.key, bob.der))
    (tmp_path / "entity").write_bytes(ENTITY)
    openssl_verify(tmp_path, signed, "-binary", "-content", str(tmp_path / "entity"))
    assert {*kem.path, bob.der} <= work.certificates
    record = json.loads(work.job.recipients[0].decision)
    assert record["cipher"] == record["outer-envelope"]["cipher"] == "aes-256-gcm"
    assert (record["key-management"], record["outer-envelope"]["key-management"]) == (
        "rsa-oaep",
        "ml-kem",
    )
    assert record["certificate"]["sha256"] == world().bob.checked().sha256
    assert record["outer-envelope"]["certificate"]["sha256"] == kem.sha256
    assert record["algorithms-because"]["code"] == "crypto.domain-hybrid"
    assert (_past(work.job.recipients[0]).certificate, _past(work.job.recipients[0]).second) == (
        Certificate.FOUND,
        True,
    )


@pytest.mark.parametrize("address", ["bob@example.net", "bob@clear.example"])
def test_one_envelope_is_never_sent_instead(address: str) -> None:
    """Whatever a rule says of clear text: there is a certificate, so this is not that case."""
    work = seal({address: found(None, address)})
    assert (work.groups, work.failures) == ([], [])
    (recipient,) = work.job.recipients
    assert recipient.state is State.HELD
    reason = json.loads(recipient.reason)
    assert reason["code"] == "crypto.no-post-quantum"
    # The first one was there: the record says so, and it is kept as evidence.
    record = json.loads(recipient.decision)
    assert record["certificate"]["sha256"] == world().bob.checked().sha256
    assert world().bob.der in work.certificates
    assert (_past(recipient).certificate, _past(recipient).second) == (Certificate.FOUND, False)
    assert [draft.kind for draft in work.drafts] == ["held"]


@pytest.mark.parametrize("address", ["bob@example.net", "bob@clear.example"])
def test_what_nobody_can_tell_is_asked_again(address: str) -> None:
    stale = Problem("revocation.stale", "the CRL is out of date")
    work = seal({address: found(stale, address)})
    assert (work.groups, work.failures) == ([], [])
    (recipient,) = work.job.recipients
    assert recipient.state is State.QUEUED
    assert json.loads(recipient.reason)["code"] == "revocation.stale"
    assert (_past(recipient).certificate, _past(recipient).second) == (Certificate.FOUND, None)


def test_a_certificate_of_somebody_else_is_no_second_one() -> None:
    with pytest.raises(ValueError, match="checked for eve@"):
        seal({"bob@example.net": found(kem_of("eve@example.net"))})


def test_who_agreed_and_who_did_not_are_not_sealed_together() -> None:
    """Though both get the same cipher: what one announced, the other one's domain has agreed to."""
    addresses = ["bob@example.net", "bob@elsewhere.example"]
    findings = {one: found(kem_of(one), one) for one in addresses}
    for one, each in findings.items():
        able = replace(each.certificate, capabilities=(Cipher.AES_256_GCM.oid,))
        findings[one] = replace(each, certificate=able)
    to = f"To: {', '.join(addresses)}".encode()
    work = seal(findings, MAIL.replace(b"To: bob@example.net", to))
    assert len(work.groups) == 2
    records = [json.loads(one.decision) for one in work.job.recipients]
    assert [one["cipher"] for one in records] == ["aes-256-gcm"] * 2
    assert ["outer-envelope" in one for one in records] == [True, False]


@pytest.mark.parametrize(
    ("alone", "state", "code"),
    [
        (kem_of("bob@clear.example"), State.HELD, "algorithm.beside-only"),
        (Problem("revocation.missing", "no CRL"), State.QUEUED, "revocation.missing"),
    ],
    ids=["there", "unknown"],
)
def test_who_has_an_ml_kem_key_is_nobody_without_a_certificate(
    alone: CheckedCertificate | Problem, state: State, code: str
) -> None:
    """He can read encrypted mail: whoever takes his other entry away must not get clear text."""
    address = "bob@clear.example"
    nothing = NoCertificate(("store",), (), Problem("algorithm.beside-only", "alone"), alone)
    work = seal({address: nothing})
    assert (work.groups, work.failures) == ([], [])
    (recipient,) = work.job.recipients
    assert recipient.state is state
    assert json.loads(recipient.reason)["code"] == code


def test_without_any_certificate_the_rule_decides_as_ever() -> None:
    work = outbound(seal=world().alice)
    done = replace(work, policy=POLICY).seal(
        job("bob@clear.example"), MAIL, {"bob@clear.example": NONE}, moment=NOW
    )
    assert [group.treatment for group in done.groups] == ["signed"]
