"""`sceau smime verify`: the JSON and the exit codes that programs rely on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.unit.cli_pki_house import Ran, sceau
from tests.unit.cms_forger import (
    ENTITY,
    clear_signed,
    issue,
    mail,
    mallory_key,
    with_key,
)
from tests.unit.smime_world import NOW, world


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    (tmp_path / "root.pem").write_bytes(world().root.public_bytes(Encoding.PEM))
    (tmp_path / "valid.eml").write_bytes(mail(clear_signed()))
    (tmp_path / "changed.eml").write_bytes(mail(clear_signed()).replace(b"Bonjour", b"Bonsoir"))
    (tmp_path / "plain.eml").write_bytes(mail(ENTITY))
    (tmp_path / "part.eml").write_bytes(mail(clear_signed() + b"a footer\r\n"))
    (tmp_path / "broken.eml").write_bytes(
        mail(b"Content-Type: application/pkcs7-mime\r\n\r\nnothing")
    )
    return tmp_path


def verify(*arguments: str) -> Ran:
    return sceau("smime", "verify", *arguments)


TRUST = ("--anchor", "root.pem", "--revocation", "off")


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        ("valid.eml", "valid", 0),
        ("changed.eml", "invalid", 1),
        ("plain.eml", "unsigned", 1),
        ("part.eml", "partly-signed", 1),
        ("broken.eml", "malformed", 2),
        ("absent.eml", "malformed", 2),
    ],
)
def test_status_and_exit_code(here: Path, file: str, status: str, code: int) -> None:
    ran = verify(*TRUST, "--json", file)

    (record,) = ran.json
    assert (record["file"], record["status"], ran.code) == (file, status, code)
    assert set(record) >= {"file", "status", "from", "signers", "layers", "problems"}
    assert verify(*TRUST, file).code == code


def test_no_anchor_is_cannot_tell(here: Path) -> None:
    ran = verify("--json", "valid.eml")

    assert (ran.code, ran.json[0]["status"]) == (3, "indeterminate")
    assert [one["code"] for one in ran.json[0]["problems"]] == ["path.anchor-missing"]


def test_a_crl_is_required_unless_it_is_not(here: Path) -> None:
    assert verify("--anchor", "root.pem", "--json", "valid.eml").code == 3
    assert verify("--anchor", "root.pem", "--revocation", "if-available", "valid.eml").code == 0


def test_the_record_of_a_valid_mail(here: Path) -> None:
    (record,) = verify(*TRUST, "--json", "valid.eml").json

    assert record["from"] == ["alice@example.org"]
    assert record["layers"] == [{"kind": "signed", "opened": True, "problems": []}]
    assert record["problems"] == []
    (signer,) = record["signers"]
    assert {key: signer[key] for key in ("status", "role", "emails", "from_matches")} == {
        "status": "valid",
        "role": "person",
        "emails": ["alice@example.org"],
        "from_matches": "exact",
    }
    assert (signer["digest"], signer["signature"]) == ("sha256", "rsa-pkcs1")
    assert len(signer["certificate_sha256"]) == 64


def test_several_files_and_the_worst_exit_code(here: Path) -> None:
    ran = verify(*TRUST, "--json", "valid.eml", "changed.eml", "broken.eml")

    assert [one["status"] for one in ran.json] == ["valid", "invalid", "malformed"]
    assert ran.code == 2
    assert verify(*TRUST, "valid.eml", "plain.eml").code == 1


def test_a_moment_after_the_end_of_the_certificate(here: Path) -> None:
    late = (NOW + timedelta(days=731)).strftime("%Y-%m-%dT%H:%M:%SZ")

    (record,) = verify(*TRUST, "--at", late, "--json", "valid.eml").json

    assert [one["code"] for one in record["problems"]] == ["path.expired"]


def test_the_domain_s_certificate(here: Path) -> None:
    seal = issue("domain-signing-authority@example.org", mallory_key().public_key())
    (here / "seal.der").write_bytes(seal)
    (here / "sealed.eml").write_bytes(mail(clear_signed(with_key(seal))))

    assert verify(*TRUST, "sealed.eml").code == 1
    ran = verify(*TRUST, "--domain-cert", "seal.der", "--json", "sealed.eml")
    assert ran.code == 0
    assert ran.json[0]["signers"][0]["role"] == "domain"
    assert ran.json[0]["signers"][0]["from_matches"] == "domain"
    shown = verify(*TRUST, "--domain-cert", "seal.der", "sealed.eml").out
    assert "signed by the domain, not the person" in shown


def test_what_a_person_sees(here: Path) -> None:
    shown = verify(*TRUST, "valid.eml").out.splitlines()

    assert shown[0] == "valid.eml: valid"
    assert "  from: alice@example.org" in shown
    assert "     signer alice@example.org: valid (rsa-pkcs1, sha256)" in shown
    assert any(line.startswith("     trusted through: ") for line in shown)


def test_in_french(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")

    assert "non valide" in verify(*TRUST, "changed.eml").out
    assert "le contenu n’est pas celui qui fut signé" in verify(*TRUST, "changed.eml").out


def test_an_anchor_that_cannot_be_read_ends_the_command(here: Path) -> None:
    (here / "junk").write_bytes(b"junk")

    ran = verify("--anchor", "junk", "valid.eml")

    assert ran.code == 2
    assert "junk" in ran.err


LINE = "\nvalid.eml: valid\n  from: boss@bank.example"


def test_a_stranger_writes_no_line_of_the_answer(here: Path) -> None:
    """A name with a line end in it began a line that says "valid", of whatever file he liked."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mallory" + LINE)])
    mallory = with_key(issue(None, mallory_key().public_key(), subject=name))
    (here / "forged.eml").write_bytes(mail(clear_signed(mallory)))
    digest = f'micalg="{LINE}"'.encode()
    (here / "digest.eml").write_bytes(mail(clear_signed().replace(b"micalg=sha-256", digest)))

    for ran in (
        verify(*TRUST, "forged.eml"),
        verify(*TRUST, "digest.eml"),
        sceau("smime", "inspect", "forged.eml"),
        sceau("smime", "inspect", "digest.eml"),
    ):
        lines = ran.out.split("\n")
        assert not any(line.startswith(("valid.eml", "  from: boss")) for line in lines)
    assert "Mallory\\nvalid.eml: valid" in verify(*TRUST, "forged.eml").out


def test_what_a_terminal_obeys_is_escaped_in_json(here: Path) -> None:
    subject = b"=?utf-8?q?=C2=9B31mred=E2=80=A8two=E2=80=AEnuf?="
    content = b'Content-Type: text/plain; hp="clear"\r\nSubject: ' + subject + b"\r\n\r\nx\r\n"
    (here / "odd.eml").write_bytes(mail(clear_signed(content=content)))

    ran = verify(*TRUST, "--json", "odd.eml")

    assert ran.out.rstrip("\n").isprintable()
    (record,) = ran.json
    (field,) = record["header_protection"]["fields"]
    assert field["value"] == "\u009b31mred\u2028two\u202enuf"
