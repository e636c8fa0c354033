"""Files that are not what a command wants: garbage, nothing, a folder, none at all, far too much.

Whoever typed the wrong name is told which file it is and what is wrong with it, with exit code 2
(`docs/pki.md`), and never sees a stack trace.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from tests.unit.cli_pki_house import Ran, sceau
from tests.unit.test_cli_decisions import Office

_JEANNE = "jeanne@interior.example"
_LARGE = 100_000_000

# A command line for each place where `sceau pki` and `sceau person` take a file; BAD is that file.
BAD = "BAD"
COMMANDS: dict[str, tuple[str, ...]] = {
    "anchor propose": (
        "pki", "anchor", "propose", BAD, "--fingerprint", "ab" * 32, "--name", "x",
        "--purpose", "encrypt", "--domain", "x.example", "--as", "anna.crt", "--key", "anna.key",
    ),
    "anchor propose --as": (
        "pki", "anchor", "propose", "partner.pem", "--fingerprint", "PARTNER", "--name", "x",
        "--purpose", "encrypt", "--domain", "x.example", "--as", BAD, "--key", "anna.key",
    ),
    "anchor propose --key": (
        "pki", "anchor", "propose", "partner.pem", "--fingerprint", "PARTNER", "--name", "x",
        "--purpose", "encrypt", "--domain", "x.example", "--as", "anna.crt", "--key", BAD,
    ),
    "anchor import": ("pki", "anchor", "import", BAD),
    "cert show": ("pki", "cert", "show", BAD),
    "cert import": ("pki", "cert", "import", BAD),
    "cert import --domain": ("pki", "cert", "import", BAD, "--domain", "justice.example"),
    "cert harvest": ("pki", "cert", "harvest", BAD),
    "crl show": ("pki", "crl", "show", BAD),
    "crl import": ("pki", "crl", "import", BAD),
    "ocsp show": ("pki", "ocsp", "show", BAD),
    "validate": ("pki", "validate", BAD, "--anchor", "root.pem"),
    "validate --anchor": ("pki", "validate", "anna.crt", "--anchor", BAD),
    "validate --cert": ("pki", "validate", "anna.crt", "--anchor", "root.pem", "--cert", BAD),
    "validate --crl": ("pki", "validate", "anna.crt", "--anchor", "root.pem", "--crl", BAD),
    "validate --ocsp": ("pki", "validate", "anna.crt", "--anchor", "root.pem", "--ocsp", BAD),
    "key csr": ("pki", "key", "csr", BAD, "--email", _JEANNE),
    "key install": ("pki", "key", "install", BAD, "--key", "anna.key", "--address", _JEANNE),
    "key install --key": ("pki", "key", "install", "anna.crt", "--key", BAD, "--address", _JEANNE),
    "key import": ("pki", "key", "import", BAD, "--address", _JEANNE),
    "key import --from": ("pki", "key", "import", "--from", "p12", "--passwords", BAD),
    "person enrol": (
        "person", "enrol", BAD, "--name", "Carla Roux", "--verified", "badge",
        "--as", "anna.crt", "--key", "anna.key",
    ),
    "person bring": ("person", "bring", BAD, "request.sig"),
    "person bring, signature": ("person", "bring", "request.json", BAD),
}  # fmt: skip
_WITHOUT_CONFIGURATION = ("validate", "key csr")


@cache
def _office(folder: Path) -> Office:
    office = Office(folder).enrolled()
    office.propose("--write", folder / "request.json")
    office.write("request.sig", b"not looked at")
    (folder / "p12").mkdir()
    office.write("p12/one.p12", b"not looked at")
    bad = folder / "bad"
    bad.mkdir()
    (bad / "garbage").write_bytes(os.urandom(4000))
    (bad / "words").write_text("Bonjour,\n\nvoici le fichier.\n", "utf-8")
    (bad / "empty").touch()
    (bad / "folder").mkdir()
    with (bad / "large").open("wb") as file:
        file.truncate(_LARGE)
    return office


@pytest.fixture
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    return _office(tmp_path_factory.getbasetemp() / "bad-files")


def run(office: Office, name: str, bad: Path) -> Ran:
    line: list[str | Path] = []
    for word in COMMANDS[name]:
        if word == BAD:
            line.append(bad)
        elif word == "PARTNER":
            line.append(office.partner.sha256)
        elif (office.folder / word).exists():
            line.append(office.folder / word)
        else:
            line.append(word)
    if not name.startswith(_WITHOUT_CONFIGURATION):
        line += ["--config", office.config]
    return sceau(*line)


@pytest.mark.parametrize("kind", ["garbage", "words", "empty", "folder", "missing", "large"])
@pytest.mark.parametrize("name", COMMANDS)
def test_the_file_is_named_with_the_reason(office: Office, name: str, kind: str) -> None:
    bad = office.folder / "bad" / kind

    ran = run(office, name, bad)

    said = ran.out + ran.err
    assert ran.code == 2, said
    assert "Traceback" not in said
    assert "internal fault" not in said
    assert str(bad) in said
