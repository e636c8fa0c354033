"""`sceau pki key`: keys come in wrapped, sign only with consent, and errors say what is wrong."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.wiring import Wiring
from pki.persons import ConsentedSigner
from tests.pki_maker import DAY
from tests.unit.cli_pki_house import PASSWORD, House, Ran, sceau

MARIE = "marie@interior.example"
ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    assert made.run("crl", "refresh").code == 0
    return made


def signs(house: House, address: str) -> str | None:
    """SHA-256 of the certificate the gateway would sign with as this person, or None."""
    wiring = Wiring.from_file(house.config)
    signer = wiring.signers.persons.signer_for(address, datetime.now(UTC))
    wiring.close()
    return (
        None
        if not isinstance(signer, ConsentedSigner)
        else hashlib.sha256(signer.certificate).hexdigest()
    )


def bring(house: House, file: Path, address: str = MARIE, *more: str | Path) -> Ran:
    return house.run(
        "key", "import", file, "--address", address, "--password-file", house.password_file, *more
    )


def test_key_and_consent_come_in_together_and_the_gateway_signs(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)

    done = bring(house, file, "Marie@Interior.example", "--consent-of", "Marie Curie")

    assert (done.code, done.err) == (0, "")
    key, consent = done.out.splitlines()
    assert key == f"The key of {MARIE} is stored; its certificate is {issued.sha256}."
    assert re.fullmatch("The consent of Marie Curie is recorded: [0-9a-f]{32}.", consent)
    assert signs(house, MARIE) == issued.sha256


def test_openssl_made_the_file(house: House, tmp_path: Path) -> None:
    """The PKCS#12 of another tool, with today's and with yesterday's encryption."""
    issued = house.issue("Marie", MARIE)
    pem = house.write("marie.pem", issued.pem + issued.key_pem)
    for address, options in ((MARIE, []), (MARIE, ["-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"])):
        file = tmp_path / "openssl.p12"
        subprocess.run(
            ["openssl", "pkcs12", "-export", "-in", pem, "-out", file,
             "-passout", f"pass:{PASSWORD}", *options],
            check=True,
        )  # fmt: skip
        done = bring(house, file, address)
        assert done.code == 0 or "is stored already" in done.err


def test_without_consent_nothing_is_signed_until_it_is_given(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)

    assert "It signs nothing without consent" in bring(house, file).out
    assert signs(house, MARIE) is None

    given = house.run("key", "consent", MARIE, "--person", " Marie  Curie ", "--json")
    assert given.code == 0
    (record,) = given.json
    assert record["person"] == "Marie Curie"
    assert record["given_by"] == ME
    assert signs(house, MARIE) == issued.sha256


def test_a_withdrawal_counts_at_once_and_stays_on_record(house: House) -> None:
    file, _ = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")

    done = house.run("key", "withdraw", MARIE)

    assert done.code == 0
    assert signs(house, MARIE) is None
    (record,) = house.run("key", "list", "--json").json
    (consent,) = record["consents"]
    assert consent["person"] == "Marie Curie"
    assert consent["withdrawn_by"] == ME
    assert consent["withdrawn"] > consent["given"]
    again = house.run("key", "withdraw", MARIE)
    assert (again.code, again.err) == (1, f"sceau pki: there is no consent of {MARIE} in force\n")


def test_who_recorded_it_is_the_account_not_what_the_environment_says(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "the-minister")
    file, _ = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")

    (record,) = house.run("key", "list", "--json").json

    assert record["added_by"] == ME
    assert record["consents"][0]["given_by"] == ME


def test_a_second_consent_changes_nothing_and_is_code_1(house: House) -> None:
    file, _ = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")

    again = house.run("key", "consent", MARIE, "--person", "Somebody Else")

    assert again.code == 1
    assert again.err.startswith("Marie Curie agreed already on ")
    (record,) = house.run("key", "list", "--json").json
    assert [consent["person"] for consent in record["consents"]] == ["Marie Curie"]


def test_with_two_keys_it_must_be_said_which(house: House) -> None:
    first, old = house.p12("Marie", MARIE)
    second, new = house.p12("Marie renewed", MARIE)
    bring(house, first)
    bring(house, second)

    unsaid = house.run("key", "consent", MARIE, "--person", "Marie Curie")
    assert unsaid.code == 2
    assert old.sha256 in unsaid.err
    assert new.sha256 in unsaid.err

    colons = ":".join(new.sha256.upper()[i : i + 2] for i in range(0, 64, 2))
    said = house.run("key", "consent", MARIE, "--person", "Marie Curie", "--certificate", colons)
    assert said.code == 0, said.err
    assert signs(house, MARIE) == new.sha256


def test_the_list_for_people(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")

    done = house.run("key", "list")

    headings, line = done.out.splitlines()
    titles = ["address", "use", "consent", "valid", "until", "fingerprint", "(SHA-256)"]
    assert headings.split() == titles
    assert line.split()[:5] == [MARIE, "signs", "of", "Marie", "Curie"]
    assert line.endswith(issued.sha256)
    other = house.run("key", "list", "paul@interior.example")
    assert (other.code, other.out) == (0, "")


# -- what is refused -----------------------------------------------------------------------------


def nothing_stored(house: House) -> bool:
    return house.run("key", "list", "--json").out == ""


def test_a_wrong_password(house: House) -> None:
    file, _ = house.p12("Marie", MARIE)
    wrong = house.write("wrong", b"guess\n")

    done = house.run("key", "import", file, "--address", MARIE, "--password-file", wrong)

    assert (done.code, done.err) == (2, f"sceau pki: the password for {file} is wrong\n")
    assert nothing_stored(house)


def test_no_password_file_where_one_is_needed(house: House) -> None:
    file, _ = house.p12("Marie", MARIE)

    done = house.run("key", "import", file, "--address", MARIE)

    assert done.code == 2
    assert "it is protected by a password, and none is given" in done.err


def test_a_file_that_is_no_pkcs12(house: House) -> None:
    file = house.write("mail.eml", b"Subject: hello\n\nhello\n")

    done = bring(house, file)

    assert done.code == 2
    assert f"{file} cannot be used: it is not a PKCS#12 file" in done.err


def test_a_file_that_is_not_there(house: House, tmp_path: Path) -> None:
    done = bring(house, tmp_path / "none.p12")

    assert (done.code, done.err) == (2, f"sceau pki: there is no file {tmp_path}/none.p12\n")


def test_a_certificate_for_another_address(house: House) -> None:
    file, _ = house.p12("Paul", "paul@interior.example")

    done = bring(house, file, MARIE, "--consent-of", "Marie Curie")

    assert done.code == 1
    assert f"is for paul@interior.example, not for {MARIE}" in done.err
    assert nothing_stored(house)


def test_an_expired_certificate(house: House) -> None:
    file, _ = house.p12("Marie", MARIE, start=house.now - 9 * DAY, end=house.now - DAY)

    done = bring(house, file)

    assert done.code == 1
    assert "is valid from" in done.err
    assert nothing_stored(house)


def test_the_same_key_twice(house: House) -> None:
    file, _ = house.p12("Marie", MARIE)
    bring(house, file)

    done = bring(house, file, MARIE, "--consent-of", "Marie Curie")

    assert done.code == 2
    assert "is stored already" in done.err
    assert signs(house, MARIE) is None  # the consent was not recorded either


@pytest.mark.parametrize("name", ["", "  "])
def test_a_consent_of_nobody(house: House, name: str) -> None:
    file, _ = house.p12("Marie", MARIE)

    done = bring(house, file, MARIE, "--consent-of", name)

    assert (done.code, done.err) == (2, "sceau pki: --consent-of needs a value\n")
    assert nothing_stored(house)


def test_consent_for_a_key_that_is_not_there(house: House) -> None:
    done = house.run("key", "consent", MARIE, "--person", "Marie Curie")

    assert (done.code, done.err) == (1, f"sceau pki: no key of {MARIE} is stored\n")


def test_the_key_is_not_in_the_database_in_clear(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)
    bring(house, file)

    numbers = issued.key.private_numbers()  # type: ignore[union-attr]
    secret = numbers.p.to_bytes(numbers.p.bit_length() // 8, "big")  # type: ignore[union-attr]
    kept = b"".join(path.read_bytes() for path in (house.base / "data").glob("sceau.db*"))
    assert issued.der in kept
    assert secret not in kept


# -- removal -------------------------------------------------------------------------------------


def test_removing_says_what_follows_and_waits_for_yes(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")

    asked = house.run("key", "remove", MARIE)

    assert asked.code == 1
    first, *follows = asked.out.splitlines()
    assert first.startswith(f"The key of {MARIE} for the certificate {issued.sha256} (CN=Marie")
    assert [line[:27] for line in follows] == [
        "- It signs nothing more. Si",
        f"- No other key of {MARIE}"[:27],
        "- The certificate is for en",
    ]
    assert asked.err == "Nothing was changed. With --yes the key is removed.\n"
    assert signs(house, MARIE) == issued.sha256


def test_a_removed_key_signs_nothing_and_the_log_says_who_and_why(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")
    wiring = Wiring.from_file(house.config)  # a worker that has her key in its memory
    persons = wiring.signers.persons
    assert isinstance(persons.signer_for(MARIE, datetime.now(UTC)), ConsentedSigner)

    done = house.run("key", "remove", MARIE, "--yes", "--basis", "left the ministry", "--json")

    assert persons.signer_for(MARIE, datetime.now(UTC)) is None
    wiring.close()
    (record,) = done.json
    assert done.code == 0
    assert (record["removed"], record["certificate_sha256"]) == (True, issued.sha256)
    assert (record["signs_instead"], record["stays_for"], record["unsigned_mail"]) == (None, [], 0)
    (consent,) = record["consents"]
    assert consent["withdrawn_basis"] == "left the ministry"
    assert house.run("key", "list", "--json").json == []
    assert house.run("key", "show", MARIE).code == 1
    (entry,) = _history(house, record["id"])
    entry["fields"].pop("names")
    assert (entry["kind"], entry["fields"]) == (
        "key-removed",
        {
            "address": MARIE,
            "certificate.sha256": issued.sha256,
            "removed.by": ME,
            "basis": "left the ministry",
        },
    )
    given, ended = _history(house, consent["id"])
    assert (given["kind"], ended["kind"]) == ("consent", "consent-withdrawn")


def test_a_key_that_comes_back_needs_a_new_consent(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")
    house.run("key", "remove", MARIE, "--yes")

    assert bring(house, file).code == 0

    assert signs(house, MARIE) is None
    assert house.run("key", "consent", MARIE, "--person", "Marie Curie").code == 0
    assert signs(house, MARIE) == issued.sha256


def test_with_two_keys_the_other_signs(house: House) -> None:
    first, old = house.p12("Marie", MARIE)
    second, new = house.p12("Marie renewed", MARIE)
    bring(house, first, MARIE, "--consent-of", "Marie Curie")
    bring(house, second, MARIE, "--consent-of", "Marie Curie")

    assert house.run("key", "remove", MARIE, "--yes").code == 2  # which one?
    done = house.run("key", "remove", MARIE, "--certificate", new.sha256, "--yes")

    assert done.code == 0
    assert f"Another key of {MARIE} has a consent and signs from now on: {old.sha256}" in done.out
    assert signs(house, MARIE) == old.sha256
    gone = house.run("key", "remove", MARIE, "--certificate", new.sha256, "--yes")
    assert gone.code == 1
    assert new.sha256 in gone.err


def test_removing_what_is_not_there(house: House) -> None:
    done = house.run("key", "remove", MARIE, "--yes")

    assert (done.code, done.err) == (1, f"sceau pki: no key of {MARIE} is stored\n")


def test_show_says_whether_the_certificate_may_sign(house: House) -> None:
    file, issued = house.p12("Marie", MARIE)
    bring(house, file, MARIE, "--consent-of", "Marie Curie")
    assert "may sign; trusted by house" in house.run("key", "show", MARIE).out

    house.ca.revoke(issued, when=house.now)
    house.publish(2)
    assert house.run("crl", "refresh").code == 0

    shown = house.run("key", "show", MARIE)
    assert "must not sign: the certificate" in shown.out
    (record,) = house.run("key", "show", MARIE, "--json").json
    assert (record["may_sign"], record["problem"]["code"]) == (False, "revocation.revoked")
    assert signs(house, MARIE) is None


def _history(house: House, entry_id: str) -> list[dict[str, Any]]:
    return sceau("archive", "history", entry_id, "--json", "--config", house.config).json
