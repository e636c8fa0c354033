"""`sceau pki` in the made-up world: keys of PKCS#12 files, a real slapd, CRLs over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.house import House
from gateway.demo.pki import Fault
from gateway.demo.process import free_port
from tests.flows.stages import stage

pytestmark = pytest.mark.flow


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with stage(tmp_path_factory.mktemp("stage")) as running:
        house = running.house().make()
        assert house.run("pki", "crl", "refresh").returncode == 0
        yield house


def test_the_peoples_keys_are_in_with_their_consents(house: House) -> None:
    keys = house.json("pki", "key", "list")

    assert {key["address"] for key in keys} == {
        person.address for person in house.world.interieur.people
    }
    names = {person.address: person.name for person in house.world.interieur.people}
    for key in keys:
        (consent,) = key["consents"]  # type: ignore[misc]
        assert consent["person"] == names[str(key["address"])]  # type: ignore[index]


def test_each_fault_in_the_directory_has_its_answer(house: House) -> None:
    expected = {
        Fault.NONE: ("found", ""),
        Fault.REVOKED: ("none", "revocation.revoked"),
        Fault.EXPIRED: ("none", "path.expired"),
        Fault.ABSENT: ("none", "directory.none"),
        Fault.OTHER_ADDRESS: ("none", "identity.address"),
        Fault.GARBAGE: ("none", "structure.certificate"),
    }
    people = house.world.justice.people
    found = house.json("pki", "cert", "find", *(each.address for each in people), check=False)

    for person, answer in zip(people, found, strict=True):
        status, code = expected[person.fault]
        problems = answer["problems"]
        assert isinstance(problems, list)
        assert answer["status"] == status, person
        assert [one["code"] for one in problems] == ([code] if code else []), person
        assert answer["looked_in"] == ["store", "justice"]


def test_directories_are_listed_and_each_server_is_tried(house: House) -> None:
    """The second server is not there: the directory answers, and the command says what is wrong."""
    config = house.config.read_text()
    second = f"ldap://127.0.0.1:{free_port()}"
    house.config.write_text(
        config.replace(f'url = "{house.ldap_url}"', f'url = ["{house.ldap_url}", "{second}"]')
    )
    person = house.world.justice.people[0]
    try:
        (listed,) = house.json("pki", "directory", "list")
        assert listed["servers"] == [house.ldap_url, second]
        (tried,) = house.json("pki", "directory", "test", "--address", person.address, check=False)
        assert [one["answers"] for one in tried["servers"]] == [True, False]  # type: ignore[attr-defined]
        assert (tried["status"], tried["server"]) == ("found", house.ldap_url)
        done = house.run("pki", "directory", "test", "justice", check=False)
        assert done.returncode == 3
        said = f"justice: {second} fails: the directory justice is not there"
        assert said in done.stdout.decode()
        # who writes to whom is nobody else's business, not in a test either
        done = house.run("pki", "directory", "test", "justice", "--address", "x@else.example",
                         check=False)  # fmt: skip
        assert "justice is not asked for x@else.example" in done.stderr.decode()
        assert house.run("pki", "directory", "test", "nobody", check=False).returncode == 1
        (found,) = house.json("pki", "cert", "find", person.address)
        assert f"justice ({house.ldap_url}): uid=" in str(found["certificate"])
    finally:
        house.config.write_text(config)


def test_validate_agrees_with_what_find_said(house: House, tmp_path: Path) -> None:
    justice = house.world.justice
    codes = {Fault.NONE: 0, Fault.REVOKED: 1, Fault.EXPIRED: 1, Fault.OTHER_ADDRESS: 1}
    for person in justice.people:
        if person.fault not in codes:
            continue
        assert person.credential is not None
        done = house.run(
            "pki", "validate", str(person.credential.certificate_file),
            "--anchor", str(justice.root.credential.certificate_file),
            "--cert", str(justice.issuing.credential.certificate_file),
            "--crl", str(house.world.crl_folder),
            "--purpose", "encrypt", "--email", person.address,
            config=False, check=False,
        )  # fmt: skip
        assert done.returncode == codes[person.fault], person
