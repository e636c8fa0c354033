"""Consents: each in the log, none that comes back by itself, every signature names its own."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from archive import store
from archive.fields import NAMES
from gateway.consents import log_old_consents
from gateway.policy import Sign
from gateway.policy.mails import Mail
from gateway.signers import Chosen
from gateway.wiring import Wiring
from pki.tables import consents
from tests.pki_maker import DAY, Issued
from tests.unit.cli_pki_house import House, Ran

MARIE = "marie@interior.example"
ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    assert made.run("crl", "refresh").code == 0
    return made


def bring(house: House, *more: str | Path) -> Issued:
    file, issued = house.p12("Marie", MARIE)
    done = house.run(
        "key", "import", file, "--address", MARIE, "--password-file", house.password_file, *more
    )
    assert done.code == 0, done.err
    return issued


def history(house: House, entry: str) -> list[dict[str, str]]:
    """The entries with that id, opened and compared with what the log committed to."""
    wiring = Wiring.from_file(house.config)
    with wiring.database.read() as conn:
        found = store.history(conn, entry)
    wiring.close()
    return [
        {"kind": record.entry.kind, "org": record.entry.org}
        | {
            name: (record.value(name) or b"").decode()
            for name in record.payload or {}
            if name != NAMES
        }
        for record in found
    ]


def chosen(house: House) -> Chosen:
    """Who would sign a mail of Marie's."""
    wiring = Wiring.from_file(house.config)
    found = wiring.signers.choose(MARIE, Sign.PERSON, datetime.now(UTC))
    wiring.close()
    assert isinstance(found, Chosen)
    return found


def shown(house: House) -> Ran:
    return house.run("key", "show", MARIE)


def test_giving_and_withdrawing_stand_in_the_log(house: House) -> None:
    form = house.write("form.pdf", b"%PDF signed by hand")
    issued = bring(house)
    given = house.run(
        "key", "consent", MARIE, "--person", "Marie Curie", "--basis", "form of 2 March",
        "--form", form, "--json",
    ).json[0]  # fmt: skip
    ended = house.run("key", "withdraw", MARIE, "--basis", "left the ministry", "--json").json[0]

    common = {
        "org": "interior",
        "address": MARIE,
        "certificate.sha256": issued.sha256,
        "person": "Marie Curie",
        "given.at": given["given"],
    }
    first, second = history(house, given["id"])
    assert first == {
        "kind": "consent",
        **common,
        "given.by": ME,
        "basis": "form of 2 March",
        "form.sha256": hashlib.sha256(form.read_bytes()).hexdigest(),
    }
    assert second == {
        "kind": "consent-withdrawn",
        **common,
        "withdrawn.at": ended["consents"][0]["withdrawn"],
        "withdrawn.by": ME,
        "basis": "left the ministry",
    }


def test_a_decision_names_the_consent_it_rests_on(house: House) -> None:
    from gateway.policy import Policy
    from gateway.record import decision_record

    issued = bring(house, "--consent-of", "Marie Curie")
    (listed,) = house.run("key", "list", "--json").json

    found = chosen(house)
    decision = Policy((), ()).decide(Mail(MARIE), "paul@justice.example")
    record = json.loads(decision_record(decision, "signed", signer=found.record))

    assert len(record["signer"].pop("crls-sha256")) == 2  # of the root and of the issuing CA
    assert record["signer"] == {
        "role": "person",
        "certificate-sha256": issued.sha256,
        "consent": listed["consents"][0]["id"],
    }
    house.run("key", "withdraw", MARIE)
    seal = chosen(house)
    assert seal.role == "domain"
    record = json.loads(decision_record(decision, "signed", signer=seal.record))
    assert "consent" not in record["signer"]
    assert record["signer"]["instead-of-person"]["code"] == "identity.no-consent"


def test_no_clock_revives_a_withdrawn_consent(house: House) -> None:
    bring(house, "--consent-of", "Marie Curie")
    house.run("key", "withdraw", MARIE)

    wiring = Wiring.from_file(house.config)
    persons = wiring.signers.persons
    for moved in (-300 * DAY, -DAY, timedelta(seconds=-1), timedelta(0), DAY):
        assert persons.signer_for(MARIE, datetime.now(UTC) + moved) is None
    wiring.close()

    again = house.run("key", "consent", MARIE, "--person", "Marie Curie", "--json").json[0]
    assert chosen(house).consent == again["id"]
    (listed,) = house.run("key", "list", "--json").json
    assert [one["withdrawn"] is None for one in listed["consents"]] == [False, True]
    assert listed["consents"][0]["id"] != again["id"]


def test_what_cannot_be_logged_is_not_recorded(house: House) -> None:
    """The log's head is gone: neither the consent nor the key stays behind."""
    file, _ = house.p12("Marie", MARIE)
    wiring = Wiring.from_file(house.config)
    with wiring.database.write() as conn:
        conn.exec_driver_sql("DELETE FROM log_head")
    wiring.close()

    done = house.run(
        "key", "import", file, "--address", MARIE, "--password-file", house.password_file,
        "--consent-of", "Marie Curie",
    )  # fmt: skip

    assert done.code == 3
    assert house.run("key", "list", "--json").out == ""


def test_a_withdrawal_for_one_of_two_keys(house: House) -> None:
    first = bring(house, "--consent-of", "Marie Curie")
    file, second = house.p12("Marie renewed", MARIE)
    house.run(
        "key", "import", file, "--address", MARIE, "--password-file", house.password_file,
        "--consent-of", "Marie Curie",
    )  # fmt: skip
    assert chosen(house).certificate_sha256 == second.sha256

    done = house.run("key", "withdraw", MARIE, "--certificate", second.sha256)

    assert done.out == (
        f"The consent of {MARIE} for {second.sha256} is withdrawn: "
        "that key signs nothing from now on.\n"
    )
    assert chosen(house).certificate_sha256 == first.sha256


def test_the_filters_of_the_list(house: House) -> None:
    for name, options in (
        ("given", ["--consent-of", "X"]),
        ("gone", ["--consent-of", "X"]),
        ("new", []),
    ):
        file, _ = house.p12(name, f"{name}@interior.example", end=house.now + 20 * DAY)
        done = house.run(
            "key", "import", file, "--address", f"{name}@interior.example", "--password-file",
            house.password_file, *options,
        )  # fmt: skip
        assert done.code == 0, done.err
    house.run("key", "withdraw", "gone@interior.example")

    def names(*options: str) -> list[str]:
        found = house.run("key", "list", "--json", *options)
        assert found.code == 0, found.err
        return [one["address"].partition("@")[0] for one in found.json]

    assert names() == ["given", "gone", "new"]
    assert names("--consent", "given") == ["given"]
    assert names("--consent", "withdrawn") == ["gone"]
    assert names("--consent", "none") == ["new"]
    assert names("--ends-within", "21") == ["given", "gone", "new"]
    assert names("--ends-within", "19") == []
    assert names("--domain", "Interior.example") == ["given", "gone", "new"]
    assert names("--domain", "nterior.example") == []
    assert names("gone@interior.example", "--consent", "given") == []


def test_one_person(house: House) -> None:
    issued = bring(house)
    house.run("key", "consent", MARIE, "--person", "Marie Curie", "--basis", "form of 2 March")
    house.run("key", "withdraw", MARIE, "--basis", "left")

    lines = shown(house).out.splitlines()

    assert lines[0] == "CN=Marie,O=Sceau Tests"
    assert issued.sha256 in lines[1]
    assert "may sign" in lines[6]  # as far as its CA goes
    assert "withdrawn: it signs nothing" in lines[7]
    assert lines[8].endswith(f"Marie Curie agreed, recorded by {ME}: form of 2 March")
    assert lines[9].endswith(f"withdrawn, recorded by {ME}: left")
    assert lines[10].startswith("    in the log: sceau archive history ")
    nobody = house.run("key", "show", "paul@interior.example")
    assert (nobody.code, nobody.err) == (
        1,
        "sceau pki: no key of paul@interior.example is stored\n",
    )


def test_consents_of_an_older_version_come_into_the_log(house: House) -> None:
    """Until then nobody signs by them; afterwards the log says that it did not witness them."""
    bring(house, "--consent-of", "Marie Curie")
    wiring = Wiring.from_file(house.config)
    with wiring.database.write() as conn:
        conn.execute(sa.update(consents).values(entry_id=None))
        old = dict(conn.execute(sa.select(consents)).mappings().one())
        old.update(id=None, person="Before", withdrawn_at=old["given_at"], withdrawn_by="anne")
        conn.execute(sa.insert(consents).values({k: v for k, v in old.items() if k != "id"}))
    assert chosen(house).role == "domain"

    log_old_consents(wiring)
    log_old_consents(wiring)
    wiring.close()

    found = chosen(house)
    assert found.role == "person"
    (entry,) = history(house, found.consent)
    assert (entry["kind"], entry["person"], entry["late"]) == ("consent", "Marie Curie", "yes")
    (listed,) = house.run("key", "list", "--json").json
    both = history(house, listed["consents"][1]["id"])
    assert [one["kind"] for one in both] == ["consent", "consent-withdrawn"]
    assert both[1]["withdrawn.by"] == "anne"


def test_the_keeper_does_that_when_it_starts(house: House) -> None:
    bring(house, "--consent-of", "Marie Curie")
    wiring = Wiring.from_file(house.config)
    with wiring.database.write() as conn:
        conn.execute(sa.update(consents).values(entry_id=None))

    wiring.keeper.once()
    wiring.close()

    assert chosen(house).role == "person"
