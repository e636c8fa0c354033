"""The key-encryption key: changed while keys are in use, found wanting by check, kept in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.check import Level
from gateway.check.persons import findings
from gateway.cli import pki_kek
from gateway.wiring import Wiring
from pki import rewrap
from pki.errors import KekTrouble
from pki.kek import KekRing, create_kek, load_kek, prove
from pki.person_signers import ConsentedSigner, PersonSigners
from pki.tables import person_keys
from tests.pki_maker import DAY
from tests.unit.cli_pki_house import House
from tests.unit.p12_folder import P12Folder


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    assert made.run("crl", "refresh").code == 0
    return made


@pytest.fixture
def folder(house: House) -> P12Folder:
    return P12Folder(house)


def bring(folder: P12Folder, count: int) -> None:
    for number in range(count):
        folder.add(f"p{number:02}", row={"consent_of": f"P {number}"})
    done = folder.house.run(
        "key", "import", "--from", folder.path, "--passwords", folder.write_list(),
        "--processes", "1",
    )  # fmt: skip
    assert done.code == 0, done.err


def new_key(house: House) -> None:
    """A new key in force, the old one as the former."""
    create_kek(house.base / "keys" / "new")
    text = house.config.read_text("utf-8").replace(
        'key_encryption_key = "keys/kek"\n',
        'key_encryption_key = "keys/new"\nformer_key_encryption_key = "keys/kek"\n',
    )
    house.config.write_text(text, "utf-8")


def signing(house: House, count: int) -> int:
    """How many of the people a mail can be signed for."""
    wiring = Wiring.from_file(house.config)
    found = [
        wiring.signers.persons.signer_for(f"p{n:02}@interior.example", datetime.now(UTC))
        for n in range(count)
    ]
    wiring.close()
    return sum(isinstance(one, ConsentedSigner) for one in found)


def told(house: House, moment: datetime | None = None) -> dict[str, Level]:
    wiring = Wiring.from_file(house.config)
    found = {one.text: one.level for one in findings(wiring, moment or datetime.now(UTC))}
    wiring.close()
    return found


def test_rotation_can_be_stopped_and_everybody_signs_all_the_time(
    folder: P12Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = folder.house
    bring(folder, 12)
    new_key(house)
    assert signing(house, 12) == 12
    monkeypatch.setattr(pki_kek, "_AT_ONCE", 5)
    write = rewrap.write_rewrapped
    calls: list[int] = []

    def breaks(conn: sa.Connection, table: sa.Table, wraps: list[rewrap.Rewrapped]) -> int:
        calls.append(len(wraps))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(conn, table, wraps)

    monkeypatch.setattr(rewrap, "write_rewrapped", breaks)
    assert house.run("kek", "rotate").code == 130
    assert [one["keys"] for one in house.run("kek", "show", "--json").json] == [5, 7]
    assert signing(house, 12) == 12

    done = house.run("kek", "rotate")

    assert done.code == 0, done.err
    assert done.out.startswith("7 keys are wrapped by ")
    assert "Take former_key_encryption_key out" in done.out
    assert [one["keys"] for one in house.run("kek", "show", "--json").json] == [12, 0]
    text = house.config.read_text("utf-8").replace('former_key_encryption_key = "keys/kek"\n', "")
    house.config.write_text(text, "utf-8")
    (house.base / "keys" / "kek").unlink()
    assert signing(house, 12) == 12


def test_a_changed_row_is_named_and_left(folder: P12Folder) -> None:
    bring(folder, 3)
    new_key(folder.house)
    wiring = Wiring.from_file(folder.house.config)
    with wiring.database.write() as conn:
        conn.execute(
            sa.update(person_keys)
            .where(person_keys.c.address == "p01@interior.example")
            .values(nonce=bytes(12))
        )
    wiring.close()

    done = folder.house.run("kek", "rotate", "--json")

    assert done.code == 1
    assert done.json[0] == {"kek": done.json[0]["kek"], "rewrapped": 2, "failed": 1}
    assert "the stored key of p01@interior.example cannot be opened" in done.err


def test_keys_under_a_key_that_is_not_configured(folder: P12Folder) -> None:
    bring(folder, 2)
    new_key(folder.house)
    text = folder.house.config.read_text("utf-8")
    text = text.replace('former_key_encryption_key = "keys/kek"\n', "")
    folder.house.config.write_text(text, "utf-8")

    shown = folder.house.run("kek", "show", "--json")

    assert shown.code == 1
    assert [(one["use"], one["keys"]) for one in shown.json] == [("current", 0), ("unknown", 2)]
    (bad,) = [text for text, grade in told(folder.house).items() if grade is Level.ERROR]
    assert bad.startswith("2 keys are wrapped by ")
    assert bad.endswith("which is not configured: they sign nothing")


def test_what_check_says_of_persons(folder: P12Folder) -> None:
    bring(folder, 4)
    house, now = folder.house, datetime.now(UTC)
    kek = house.base / "keys" / "kek"
    assert told(house) == {
        f"{kek} wraps and opens": Level.OK,
        "4 keys are stored": Level.OK,
    }
    ends = f"{house.now + 100 * DAY:%Y-%m-%d}"
    names = ", ".join(f"p{n:02}@interior.example ({ends})" for n in range(3))
    assert told(house, now + 80 * DAY)[
        f"4 certificates that sign for people end within 30 days: {names}, …"
    ] is Level.WARNING  # fmt: skip
    later = told(house, now + 101 * DAY)
    gone = "p00@interior.example, p01@interior.example, p02@interior.example, …"
    assert later[
        f"4 people agreed to be signed for and have no valid certificate: {gone}"
    ] is Level.WARNING  # fmt: skip
    for number in range(4):
        house.run("key", "withdraw", f"p{number:02}@interior.example")
    assert told(house, now + 101 * DAY) == told(house)

    new_key(house)
    assert told(house)["4 keys are still wrapped by the former key-encryption key"] is Level.WARNING
    house.run("kek", "rotate")
    assert (
        told(house)["no key is wrapped by the former key-encryption key any more"] is Level.WARNING
    )


def test_a_new_key_file_is_private_and_never_written_over(house: House) -> None:
    file = house.base / "keys" / "another"
    from tests.unit.cli_pki_house import sceau

    made = sceau("pki", "kek", "create", file, "--json")
    again = sceau("pki", "kek", "create", file)

    assert made.json == [{"file": str(file), "kek": load_kek(file).name}]
    assert file.stat().st_mode & 0o777 == 0o600
    assert again.code == 2
    assert "File exists" in again.err
    assert file.read_bytes().hex() not in json.dumps(made.json)


class Counting:
    """A key-encryption key that counts, and may be away."""

    def __init__(self, path: Path) -> None:
        self._kek = load_kek(path)
        self.name = self._kek.name
        self.unwraps = 0

    def wrap(self, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        return self._kek.wrap(plain, bound_to)

    def unwrap(self, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        self.unwraps += 1
        return self._kek.unwrap(nonce, wrapped, bound_to)


@pytest.fixture
def stored(folder: P12Folder) -> Iterator[tuple[Wiring, Counting]]:
    bring(folder, 3)
    wiring = Wiring.from_file(folder.house.config)
    yield wiring, Counting(folder.house.base / "keys" / "kek")
    wiring.close()


def test_an_unwrapped_key_is_kept_for_a_while(stored: tuple[Wiring, Counting]) -> None:
    wiring, kek = stored
    clock = [0.0]
    signers = PersonSigners(
        wiring.database.read,
        KekRing(kek),
        wiring.trust.current,
        keep=2,
        ttl=timedelta(hours=1),
        seconds=lambda: clock[0],
    )

    def sign(number: int) -> int:
        found = signers.signer_for(f"p{number:02}@interior.example", datetime.now(UTC))
        assert isinstance(found, ConsentedSigner)
        return kek.unwraps

    assert [sign(0), sign(0), sign(1), sign(0)] == [1, 1, 2, 2]
    assert [sign(2), sign(0), sign(1)] == [3, 3, 4]  # 1 was used least, and had to go
    clock[0] = 3599
    assert sign(1) == 4
    clock[0] = 3600
    assert [sign(1), sign(1)] == [5, 5]
    assert len(signers._kept) == 1  # those that were too old are gone, used or not


def test_nothing_is_kept_where_nothing_may_be(stored: tuple[Wiring, Counting]) -> None:
    wiring, kek = stored
    signers = PersonSigners(wiring.database.read, KekRing(kek), wiring.trust.current, keep=0)
    for _ in range(3):
        found = signers.signer_for("p00@interior.example", datetime.now(UTC))
        assert isinstance(found, ConsentedSigner)
    assert kek.unwraps == 3
    assert not signers._kept


def test_a_key_that_lies_is_found_out(stored: tuple[Wiring, Counting]) -> None:
    _, kek = stored
    kek.unwrap = lambda *_: b"something else"  # type: ignore[method-assign]
    with pytest.raises(KekTrouble, match="does not give back what it wrapped"):
        prove(kek)
