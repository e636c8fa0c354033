"""`sceau check`: it complains of what is wrong now, and of nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import check as checks
from gateway.check import Grade, run_checks
from gateway.wiring import Wiring
from pki.errors import problem
from pki.health import ServerTrial
from tests.pki_maker import NOW
from tests.unit.cli_pki_house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def check(house: House, subject: str) -> list[tuple[Grade, str]]:
    """Grade and text of all findings on a subject."""
    wiring = Wiring.from_file(house.config)
    try:
        found = list(run_checks(wiring, moment=house.now))
    finally:
        wiring.database.close()
    return [(each.grade, each.text) for each in found if each.subject == subject]


def test_every_authority_whose_crl_was_forgotten_is_named(house: House) -> None:
    house.run("crl", "import", house.folder / "root.crl")

    (missing, good) = check(house, "crls")

    name = house.ca.cert.subject.rfc4514_string()
    assert missing[0] is Grade.BAD
    assert missing[1].startswith(f"no CRL of {name} is known: ")
    assert good[0] is Grade.GOOD


def test_a_crl_that_was_replaced_is_nobodys_trouble_any_more(house: House) -> None:
    for number in (1, 2):
        house.publish(number)
        house.run("crl", "refresh")

    found = check(house, "crls")

    assert [grade for grade, _ in found] == [Grade.GOOD, Grade.GOOD]
    assert all(text.startswith("CRL no. 2 of ") for _, text in found)


def test_private_keys_of_the_archive_that_were_left_here_are_named(house: House) -> None:
    (text,) = [text for grade, text in check(house, "archive") if grade is Grade.WARNING]
    assert str(house.base / "authority" / "escrow.key") in text

    for key in (house.base / "authority").iterdir():
        key.unlink()

    assert [grade for grade, _ in check(house, "archive")] == [Grade.GOOD]


def test_each_server_of_a_directory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    away = problem("directory.timeout", "the directory {directory} is away", directory="justice")
    trials = (ServerTrial("ldaps://one", away, 5.0), ServerTrial("ldaps://two", None, 0.1))
    client = SimpleNamespace(directory=SimpleNamespace(name="justice"), try_servers=lambda: trials)
    only = [one for one in checks._CHECKS if one[0] == "directories"]
    monkeypatch.setattr(checks, "_CHECKS", only)
    wiring: Any = SimpleNamespace(directories=[client])
    found = list(run_checks(wiring, moment=NOW))
    assert [one.grade for one in found] == [Grade.UNKNOWN, Grade.GOOD]
    assert found[1].text == "ldaps://two answers"
