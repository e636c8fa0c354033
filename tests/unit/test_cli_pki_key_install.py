"""A new key until it signs: created, asked for, answered, installed, rolled over."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.policy import Sign
from gateway.signers import Chosen
from gateway.succession import Succession
from gateway.wiring import Wiring
from pki.keys import KeySigner
from tests.pki_maker import DAY, Issued, key
from tests.unit.cli_pki_house import House, sceau

MARIE = "marie@interior.example"
SEAL = "mail@interior.example"


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    assert made.run("crl", "refresh").code == 0
    return made


def created(house: House, name: str, kind: str = "p-256") -> Path:
    path = house.folder / name
    assert sceau("pki", "key", "create", path, "--kind", kind).code == 0
    return path


def answered(house: House, path: Path, email: str, **more: Any) -> tuple[Path, Issued]:
    """The CA's answer to the request of a key."""
    asked = sceau("pki", "key", "csr", path, "--email", email)
    request = x509.load_pem_x509_csr(asked.out.encode())
    assert request.is_signature_valid
    private = load_pem_private_key(path.read_bytes(), None)
    issued = house.issue(path.name, email, kind="ec", subject_key=private, **more)
    assert issued.cert.public_key() == request.public_key()
    return house.write(f"{path.name}.crt", issued.pem), issued


def test_a_persons_new_key(house: House) -> None:
    path = created(house, "marie")
    certificate, issued = answered(house, path, MARIE)
    done = house.run("key", "install", certificate, "--key", path, "--address", MARIE, "--json")
    assert done.code == 0, done.err
    assert done.json[0]["certificate_sha256"] == issued.sha256
    history = sceau("archive", "history", done.json[0]["id"], "--config", house.config, "--json")
    assert "key-installed" in history.out
    assert house.run("key", "consent", MARIE, "--person", "Marie").code == 0
    wiring = Wiring.from_file(house.config)
    chosen = wiring.signers.choose(MARIE, Sign.PERSON_ONLY, datetime.now(UTC))
    wiring.close()
    assert isinstance(chosen, Chosen)
    assert chosen.certificate_sha256 == issued.sha256
    again = house.run("key", "install", certificate, "--key", path, "--address", MARIE)
    assert (again.code, "stored already" in again.err) == (2, True)


def test_what_does_not_fit_is_refused(house: House) -> None:
    path, other = created(house, "marie"), created(house, "other")
    certificate, _ = answered(house, path, MARIE)
    stranger, _ = answered(house, other, "x@justice.example")
    cases: tuple[tuple[Path, Path, tuple[str, ...], int, str], ...] = (
        (certificate, other, ("--address", MARIE), 2, "does not belong to the certificate"),
        (certificate, path, ("--address", "paul@interior.example"), 1, "not for paul@"),
        (stranger, other, ("--domain", "interior.example", "--out", "x"), 1, "for no address of"),
        (certificate, path, ("--domain", "justice.example", "--out", "x"), 2, "not one of our"),
        (certificate, path, (), 2, "name a person by --address, or a domain by --domain"),
    )
    for cert, held, options, code, words in cases:
        ran = house.run("key", "install", cert, "--key", held, *options)
        assert (ran.code, words in ran.err) == (code, True), ran.err
    selfmade = house.write("self.crt", house.root.pem)
    ran = house.run("key", "install", selfmade, "--key", path, "--address", MARIE)
    assert ran.code == 2


def test_a_seal_takes_over_when_its_time_has_come(house: House) -> None:
    path = created(house, "seal-2027")
    certificate, issued = answered(house, path, SEAL)
    begins = house.now + timedelta(hours=1)
    done = house.run(
        "key", "install", certificate, "--key", path, "--domain", "interior.example",
        "--out", house.folder / "seal.pem", "--from", begins.isoformat(), "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    text = done.json[0]["configuration"]
    assert tomllib.loads(text)["seals"][0]["domains"] == ["interior.example"]
    config = house.config.read_text("utf-8").replace("[[seals]]", f"{text}\n\n[[seals]]", 1)
    house.config.write_text(config, "utf-8")
    wiring = Wiring.from_file(house.config)
    wiring.try_out()

    def seals(moment: datetime) -> str:
        found = wiring.signers.choose(MARIE, Sign.SEAL, moment)
        assert isinstance(found, Chosen)
        return found.certificate_sha256

    now, then = seals(house.now), seals(begins + timedelta(minutes=1))
    wiring.close()
    assert now != issued.sha256
    assert then == issued.sha256
    checked = sceau("check", "--config", house.config, "--json")
    assert '"level": "error", "code": "seal' not in checked.out


def signer(house: House, start: timedelta, end: timedelta) -> KeySigner:
    held = key("seal succession", "ec")
    issued = house.issue("s", SEAL, kind="ec", subject_key=held, start=house.now + start,
                         end=house.now + end)  # fmt: skip
    return KeySigner(held, issued.der)


def test_the_old_one_signs_while_the_new_one_is_not_valid(house: House) -> None:
    old = signer(house, -100 * DAY, 20 * DAY)
    new = signer(house, 5 * DAY, 300 * DAY)
    late = signer(house, -DAY, 400 * DAY)
    succession = Succession(
        ((house.now - DAY, old), (house.now + 2 * DAY, new), (house.now + 30 * DAY, late))
    )
    assert succession.at(house.now) is old
    assert succession.at(house.now + 3 * DAY) is old  # its time has come, it is not valid yet
    assert succession.at(house.now + 6 * DAY) is new
    assert succession.at(house.now + 40 * DAY) is late
    assert succession.at(house.now - 50 * DAY) is old  # before any time: the first
    assert succession.needed == (late,)  # nobody is warned of ends that stop no mail
    assert Succession(((house.now, old), (house.now + 30 * DAY, late))).needed == (old, late)
