"""`sceau pki key import --from`: hundreds in one run, what is refused and why, going on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric import ec

from archive.fsck import verify
from gateway import key_import
from gateway.cli.password_list import read_list
from gateway.errors import SceauError
from gateway.wiring import Wiring
from pki.tables import person_keys
from tests.pki_maker import DAY, key, root, usage
from tests.unit.cli_pki_house import House, Ran
from tests.unit.p12_folder import P12Folder


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def folder(house: House) -> P12Folder:
    return P12Folder(house)


def bring(folder: P12Folder, *more: str | Path) -> Ran:
    return folder.house.run(
        "key", "import", "--from", folder.path, "--passwords", folder.write_list(), *more
    )


def outcome(ran: Ran) -> dict[str, tuple[str, str]]:
    """File name → status and code of the problem."""
    return {
        Path(one["file"]).name: (
            one["status"],
            one["problems"][0]["code"] if one["problems"] else "",
        )
        for one in ran.json
    }


def stored(house: House) -> int:
    return len(house.run("key", "list", "--json").json)


def test_three_hundred_by_two_processes(folder: P12Folder, tmp_path: Path) -> None:
    """Bad ones in between; a report in order; again, and nothing is done twice."""
    for number in range(300):
        agreed = {"consent_of": f"Person {number}", "basis": "agreement 7"} if number % 3 else {}
        folder.add(f"p{number:03}", row=agreed)
    folder.rows[7]["password"] = "wrong"
    folder.put("p150a.p12", b"nonsense")

    before = sum(os.times()[:4])
    done = bring(folder, "--processes", "2", "--json", "--report", tmp_path / "report.jsonl")
    speed = 301 / (sum(os.times()[:4]) - before)  # of ours and of the two processes

    assert done.code == 2
    assert [Path(one["file"]).name for one in done.json] == sorted(
        row["file"] for row in folder.rows
    )
    found = outcome(done)
    assert {name: one for name, one in found.items() if one[0] != "imported"} == {
        "p007.p12": ("refused", "decrypt.password"),
        "p150a.p12": ("refused", "structure.key"),
    }
    assert done.err.startswith("299 imported, 0 stored already, 2 refused, of 301 files; ")
    assert (tmp_path / "report.jsonl").read_text("utf-8") == done.out
    assert (tmp_path / "report.jsonl").stat().st_mode & 0o777 == 0o600
    assert speed > 10, f"{speed:.0f} files in a second of processor time"
    with_consent = folder.house.run("key", "list", "--consent", "given", "--json").json
    assert len(with_consent) == 199 + (1 if 7 % 3 == 0 else 0)
    assert {one["consents"][0]["basis"] for one in with_consent} == {"agreement 7"}

    folder.rows[7]["password"] = "secret"
    again = bring(folder, "--processes", "2", "--json")

    assert again.err.startswith("1 imported, 299 stored already, 1 refused, of 301 files; ")
    assert stored(folder.house) == 300
    wiring = Wiring.from_file(folder.house.config)
    with wiring.database.read() as conn:
        report = verify(conn)
    wiring.close()
    assert (report.status, report.entries) == ("valid", 200)  # one for each consent


def test_what_is_refused(folder: P12Folder) -> None:
    house = folder.house
    stranger = root("Stranger Root", end=house.now + 900 * DAY)
    folder.add("good")
    folder.add("foreign", "anna@justice.example")
    folder.add("none", row={"address": "somebody@interior.example"})
    folder.add("ended", start=house.now - 9 * DAY, end=house.now - DAY)
    folder.add("early", start=house.now + DAY)
    folder.add("encrypts", key_usage=usage("key_agreement"))
    folder.add("curve", subject_key=ec.generate_private_key(ec.SECP256K1()))
    weak = house.issue("weak", "weak@interior.example", subject_key=key("weak", "rsa1024"))
    folder.put("weak.p12", weak.p12(b"secret"))
    revoked = folder.add("revoked")
    house.ca.revoke(revoked, when=house.now - DAY)
    house.publish(2)
    assert house.run("crl", "import", house.folder / "ca.crl").code == 0
    unknown = house.issue("unknown", "unknown@interior.example", authority=stranger)
    folder.put("unknown.p12", unknown.p12(b"secret"))
    same = ec.generate_private_key(ec.SECP256R1())
    folder.add("twin-a", subject_key=same)
    folder.add("twin-b", subject_key=same)
    folder.rows.append({"file": "missing.p12", "password": "x"})

    found = outcome(bring(folder, "--json", "--path", "require", "--processes", "1"))

    assert found == {
        "curve.p12": ("refused", "algorithm.key"),
        "early.p12": ("refused", "path.expired"),
        "encrypts.p12": ("refused", "path.key-usage"),
        "ended.p12": ("refused", "path.expired"),
        "foreign.p12": ("refused", "identity.foreign-domain"),
        "good.p12": ("imported", ""),
        "missing.p12": ("refused", "structure.file"),
        "none.p12": ("refused", "identity.address"),
        "revoked.p12": ("refused", "revocation.revoked"),
        "twin-a.p12": ("imported", ""),
        "twin-b.p12": ("refused", "identity.key-shared"),
        "unknown.p12": ("refused", "path.no-anchor"),
        "weak.p12": ("refused", "algorithm.key"),
    }
    # Without an anchor it is a remark by default: others may trust what we do not list.
    lenient = bring(folder, "--json", "--processes", "1")
    (one,) = [each for each in lenient.json if each["file"].endswith("unknown.p12")]
    assert (one["status"], one["remarks"][0]["code"]) == ("imported", "path.no-anchor")
    assert outcome(lenient)["revoked.p12"] == ("refused", "revocation.revoked")
    assert "unknown@interior.example" in bring_text(folder)


def bring_text(folder: P12Folder) -> str:
    return folder.house.run("key", "list").out


def test_a_renewed_certificate_may_keep_its_key(folder: P12Folder) -> None:
    same = ec.generate_private_key(ec.SECP256R1())
    folder.add("old", "marie@interior.example", subject_key=same)
    folder.add("new", "marie@interior.example", subject_key=same)

    assert set(outcome(bring(folder, "--json")).values()) == {("imported", "")}


def test_one_certificate_two_addresses_of_ours(folder: P12Folder) -> None:
    issued = folder.house.issue(
        "Marie", "marie@interior.example", "m.curie@interior.example", "marie@private.example",
        kind="ec", subject_key=ec.generate_private_key(ec.SECP256R1()),
    )  # fmt: skip
    folder.put("marie.p12", issued.p12(b"secret"), row={"consent_of": "Marie Curie"})

    (one,) = bring(folder, "--json").json

    assert one["addresses"] == ["marie@interior.example", "m.curie@interior.example"]
    assert len(one["consents"]) == 2


def test_a_second_run_does_not_give_a_withdrawn_consent_again(folder: P12Folder) -> None:
    folder.add("marie", row={"consent_of": "Marie Curie"})
    bring(folder)
    assert folder.house.run("key", "withdraw", "marie@interior.example").code == 0

    again = bring(folder, "--json")

    assert outcome(again) == {"marie.p12": ("skipped", "")}
    assert again.json[0]["consents"] == []
    assert len(folder.house.run("key", "list", "--consent", "withdrawn", "--json").json) == 1


def test_consents_may_follow_with_a_second_list(folder: P12Folder) -> None:
    folder.add("marie")
    bring(folder)
    folder.rows[0]["consent_of"] = "Marie Curie"

    (one,) = bring(folder, "--json").json

    assert one["status"] == "skipped"
    assert len(one["consents"]) == 1
    assert len(folder.house.run("key", "list", "--consent", "given", "--json").json) == 1


def test_an_interrupted_run_leaves_whole_batches(
    folder: P12Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill: what was said to be imported is there, the rest comes with the next run."""
    monkeypatch.setattr(key_import, "_AT_ONCE", 5)
    for number in range(12):
        folder.add(f"p{number:02}", row={"consent_of": "X"})
    store = key_import._store
    calls = []

    def breaks(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(key_import, "_store", breaks)
    stopped = bring(folder, "--processes", "1")
    assert stopped.code == 130
    assert stopped.out.startswith("5 imported, 0 stored already, 0 refused, of 12 files")
    assert stored(folder.house) == 5

    monkeypatch.setattr(key_import, "_store", store)
    again = bring(folder, "--processes", "1")
    assert again.out.startswith("7 imported, 5 stored already, 0 refused, of 12 files")


def test_a_process_that_dies_is_no_refusal(
    folder: P12Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(14):
        folder.add(f"p{number:02}")
    # The configuration vanishes under the processes: they end before their first file.
    read = key_import._read

    def removes(*arguments: object) -> object:
        folder.house.config.rename(folder.house.config.with_suffix(".gone"))
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(key_import, "_read", removes)
    done = bring(folder, "--processes", "2")
    folder.house.config.with_suffix(".gone").rename(folder.house.config)

    assert done.code == 2
    assert "a process that checks keys has died; start the import again" in done.err
    assert stored(folder.house) == 0


def test_passwords_and_keys_stand_nowhere(folder: P12Folder, tmp_path: Path) -> None:
    secret = "Xq-hunter2-never-shown"
    issued = folder.add("marie", password=secret)
    folder.put("broken.p12", b"nonsense", password=secret)
    folder.add("paul", password=secret)
    folder.rows[-1]["password"] = secret + "!"

    done = bring(folder, "--json", "--report", tmp_path / "report")

    numbers = issued.key.private_numbers()  # type: ignore[union-attr]
    octets = numbers.private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    said = (done.out + done.err).encode() + (tmp_path / "report").read_bytes()
    kept = b"".join(file.read_bytes() for file in (folder.house.base / "data").glob("sceau.db*"))
    assert issued.der in kept
    for where in (said, kept):
        assert secret.encode() not in where
        assert octets not in where
        assert octets.hex().encode() not in where


# -- the list -------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_list_as_a_spreadsheet_writes_it(tmp_path: Path, separator: str) -> None:
    text = separator.join(["File", "password", "consent_of"]) + "\r\n"
    text += separator.join(["a.p12", '"; ""quoted"", é\t "', "Marie  Curie"]) + "\r\n\r\n"
    file = tmp_path / "list.csv"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())

    (job,) = read_list(file, Path("p12")).values()

    assert job.file == Path("p12/a.p12")
    assert job.password == '; "quoted", é\t '.encode()
    assert job.consent_of == "Marie Curie"
    assert "quoted" not in repr(job)


def test_all_faults_of_a_list_at_once(folder: P12Folder) -> None:
    folder.list.write_text(
        "file,password,address\na.p12,secret-1\n,secret-2,\nb.p12,x,marie\nc.p12,,\nc.p12,,\n"
    )
    folder.list.chmod(0o600)
    (folder.path / "a.p12").write_bytes(b"x")

    done = folder.house.run("key", "import", "--from", folder.path, "--passwords", folder.list)

    lines = done.err.splitlines()
    assert done.code == 2
    assert [line.removeprefix(f"{folder.list}: ") for line in lines[:4]] == [
        "line 2: 2 cells, where the first line has 3",
        "line 3: there is no file",
        "line 4: marie cannot be used as a mail address: it is not of the form local@domain",
        "line 6: c.p12 stands there twice",
    ]
    assert lines[4].endswith(f"{folder.list} cannot be used: 4 faults, nothing was imported")
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "the first line must name the columns, it says: "),
        (b"a.p12,secret\n", "the first line must name the columns, it says: a.p12, secret"),
        (b"file,password\n", "names no file"),
        (b'file,password\na.p12,"x"y\n', "line 2: this is not CSV"),
        (b"file,password\na.p12,\xe9\n", "line 2: this is not UTF-8"),
    ],
)
def test_a_list_that_is_none(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(text)

    with pytest.raises(SceauError) as refused:
        read_list(file, tmp_path)

    assert said in str(refused.value)


def test_an_empty_folder_and_an_open_list(folder: P12Folder) -> None:
    empty = folder.house.run("key", "import", "--from", folder.path)
    assert empty.code == 2
    assert f"there is no PKCS#12 file in {folder.path}; their names end in .p12" in empty.err
    folder.add("marie")
    folder.write_list().chmod(0o644)
    done = folder.house.run("key", "import", "--from", folder.path, "--passwords", folder.list)
    assert done.code == 0
    assert "can be read by others" in done.err


def test_one_password_for_all_and_none(folder: P12Folder) -> None:
    folder.add("marie")
    secret = folder.house.write("secret", b"secret\n")

    without = folder.house.run("key", "import", "--from", folder.path, "--json")
    assert outcome(without) == {"marie.p12": ("refused", "structure.key")}
    done = folder.house.run(
        "key", "import", "--from", folder.path, "--password-file", secret, "--json"
    )
    assert outcome(done) == {"marie.p12": ("imported", "")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name one FILE, or a folder by --from"),
        (("x.p12", "--from", "y"), "name one FILE, or a folder by --from"),
        (("x.p12",), "--address is missing"),
        (("x.p12", "--address", "a@b.example", "--report", "r"), "--report is for --from"),
        (("--from", "y", "--consent-of", "X"), "--consent-of is for a single FILE"),
        (("x.p12", "--address", "a@b.example", "--basis", "X"), "are for a consent"),
    ],
)
def test_options_that_do_not_go_together(
    house: House, arguments: tuple[str, ...], said: str
) -> None:
    done = house.run("key", "import", *arguments)

    assert done.code == 2
    assert said in done.err


def test_a_report_is_never_written_over(folder: P12Folder, tmp_path: Path) -> None:
    folder.add("marie")
    (tmp_path / "report").write_text("yesterday")

    done = bring(folder, "--report", tmp_path / "report")

    assert done.code == 2
    assert "exists already and is not overwritten" in done.err
    assert stored(folder.house) == 0


def test_the_rows_say_what_later_work_needs(folder: P12Folder) -> None:
    issued = folder.add("marie")
    bring(folder)
    wiring = Wiring.from_file(folder.house.config)
    with wiring.database.read() as conn:
        row = conn.execute(sa.select(person_keys)).one()
    kek = wiring.keks.current.name
    wiring.close()

    assert row.not_after == issued.cert.not_valid_after_utc
    assert row.kek == kek
    assert len(row.key_sha256) == len(row.source_sha256) == 64
    assert json.dumps(row.address) == '"marie@interior.example"'
