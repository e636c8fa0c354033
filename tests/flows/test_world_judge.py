"""The judge is judged: it accepts what openssl sealed, and nothing that is wrong in one thing."""

from __future__ import annotations

import resource
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.demo.judge import (
    Case,
    Check,
    NotProvedError,
    expected_entity,
    judge,
    open_mail,
    table,
    write_trust,
)
from gateway.demo.mails import samples
from gateway.demo.pki import Credential, Fault, Keys, World, make_world

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    return make_world(folder, "http://127.0.0.1:1", moment=datetime.now(UTC), keys=Keys())


@pytest.fixture(scope="module")
def trust(world: World) -> Path:
    return write_trust([world.interieur, world.justice], world.folder / "trust.pem")


def credential_of(world: World, *, kind: str = "rsa") -> Credential:
    found = world.justice.person(kind=kind).credential
    assert found is not None
    return found


def seal(
    world: World,
    entity: bytes,
    folder: Path,
    signer: Credential,
    reader: Credential | None,
    issuer: Credential | None = None,
    opaque: bool = False,
) -> Path:
    """Signed and encrypted with openssl alone; multipart/signed is put together by hand.

    (Its boundary is longer than one character: openssl 3.0 does not find a shorter quoted one.)
    """
    (folder / "entity").write_bytes(entity)
    chain = issuer or world.interieur.issuing.credential
    sign = ["openssl", "cms", "-sign", "-binary", "-md", "sha256", "-in", folder / "entity"]
    sign += ["-signer", signer.certificate_file, "-inkey", signer.key_file]
    sign += ["-certfile", chain.certificate_file]
    inner = folder / "inner"
    if opaque:
        subprocess.run([*sign, "-nodetach", "-out", inner], check=True)
    else:
        signature = subprocess.run([*sign, "-outform", "PEM"], check=True, capture_output=True)
        base64 = b"\r\n".join(signature.stdout.split(b"\n")[1:-2])
        inner.write_bytes(
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n'
            b' micalg=sha-256; boundary="=_part"\r\n\r\n--=_part\r\n' + entity + b"\r\n--=_part\r\n"
            b"Content-Type: application/pkcs7-signature\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n" + base64 + b"\r\n--=_part--\r\n"
        )
    if reader is None:
        return inner
    out = folder / "sealed.eml"
    encrypt = ["openssl", "cms", "-encrypt", "-binary", "-aes-256-cbc", "-in", inner]
    subprocess.run([*encrypt, "-out", out, reader.certificate_file], check=True)
    return out


@pytest.fixture
def good(world: World, tmp_path: Path) -> Case:
    mail = next(mail for mail in samples() if mail.name == "accents")
    signer = world.interieur.seal
    assert signer is not None
    reader = credential_of(world)
    sealed = seal(world, expected_entity(mail.content), tmp_path, signer, reader)
    return Case("accents", sealed, mail.content, reader, signer)


def problem(case: Case, trust: Path) -> str:
    (verdict,) = judge([case], trust)
    assert verdict.case is case
    return verdict.problem


def test_what_openssl_sealed_is_accepted(good: Case, trust: Path) -> None:
    assert problem(good, trust) == ""
    opened = open_mail(good.delivered, good.reader, trust)
    assert opened.signer_addresses == ("domain-signing-authority@interieur.example",)


def test_every_sample_for_every_kind_of_key(world: World, trust: Path, tmp_path: Path) -> None:
    cases = []
    for signer_kind in ("rsa", "ec"):
        signer = world.interieur.person(kind=signer_kind).credential
        assert signer is not None
        for number, mail in enumerate(samples()):
            folder = tmp_path / f"{signer_kind}{number}"
            folder.mkdir()
            reader = credential_of(world, kind=("rsa", "ec")[number % 2])
            entity = expected_entity(mail.content)
            sealed = seal(world, entity, folder, signer, reader, opaque=number % 3 == 0)
            cases.append(Case(mail.name, sealed, mail.content, reader, signer))
    assert [(one.case.name, one.problem) for one in judge(cases, trust)] == [
        (case.name, "") for case in cases
    ]


def test_one_octet_more_or_less_is_named(good: Case, trust: Path) -> None:
    changed = good.original[:-3] + b"!" + good.original[-2:]
    assert "first difference at" in problem(replace(good, original=changed), trust)
    assert "octets" in problem(replace(good, original=good.original + b"\r\n"), trust)
    folded = good.original.replace(b"multipart/mixed;", b"multipart/mixed; ")
    assert problem(replace(good, original=folded), trust)


def test_another_signer_is_named(good: Case, trust: Path, world: World) -> None:
    person = world.interieur.person().credential
    assert person is not None
    found = problem(replace(good, signer=person), trust)
    assert found == "signed by domain-signing-authority@interieur.example"


def test_another_reader_cannot_open(good: Case, trust: Path, world: World) -> None:
    other = credential_of(world, kind="ec")
    assert "openssl cms -decrypt" in problem(replace(good, reader=other), trust)


def test_plain_text_is_not_taken_for_sealed(good: Case, trust: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.eml"
    plain.write_bytes(good.original)
    assert "openssl cms -decrypt" in problem(replace(good, delivered=plain), trust)
    assert "openssl cms -verify" in problem(replace(good, delivered=plain, reader=None), trust)


def test_a_changed_text_breaks_the_signature(good: Case, trust: Path, tmp_path: Path) -> None:
    inner = open_mail(good.delivered, good.reader, trust).inner
    changed = tmp_path / "changed.eml"
    changed.write_bytes(inner.replace(b"Jeanne Moreau", b"Jeanne Moreav"))
    with pytest.raises(NotProvedError, match="verif"):
        open_mail(changed, None, trust)
    changed.write_bytes(inner)
    open_mail(changed, None, trust)


def test_a_revoked_signer_is_refused(world: World, trust: Path, tmp_path: Path) -> None:
    revoked = world.justice.person(Fault.REVOKED).credential
    assert revoked is not None
    issuer = world.justice.issuing.credential
    sealed = seal(world, b"\r\nbody\r\n", tmp_path, revoked, None, issuer)
    with pytest.raises(NotProvedError, match="revoked"):
        open_mail(sealed, None, trust)


def test_forty_mails_take_seconds(good: Case, trust: Path) -> None:
    start = _worked()
    verdicts = judge([good] * 40, trust)
    assert [verdict.problem for verdict in verdicts] == [""] * 40
    # 200 in 15 s when nobody else is at work. Of processors: who else uses them is not its fault.
    assert _worked() - start < 12


def _worked() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def test_the_table_says_what_failed() -> None:
    text = table([Check("one", True, "3 of 3"), Check("the other", False)])
    assert text == "  ok    one        3 of 3\n  FAIL  the other"
