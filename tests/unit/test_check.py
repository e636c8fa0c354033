"""`sceau check`: it complains of what is wrong now, and of nothing else."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from archive.models import log_head
from archive.store import Draft
from gateway import check as checks
from gateway.alarms import judge
from gateway.check import Finding, Level, run_checks
from gateway.check.clock import ntp
from gateway.check.expiry import validity
from gateway.check.senders import clients
from gateway.known import KnownCertificate, own_certificates
from gateway.queue.jobs import problem_to_json
from gateway.queue.models import messages, recipients
from gateway.queue.store.deaths import POISON
from gateway.wiring import Wiring
from pki.crl import Crl
from pki.errors import problem
from pki.health import ServerTrial
from pki.path import Material
from tests.pki_maker import NOW, root
from tests.pki_maker import key as key_of
from tests.unit.cli_pki_house import House


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def findings(house: House) -> list[Finding]:
    """All findings."""
    wiring = Wiring.from_file(house.config)
    try:
        return list(run_checks(wiring, moment=house.now))
    finally:
        wiring.close()


def check(house: House, subject: str) -> list[tuple[Level, str]]:
    """Level and text of all findings on a subject."""
    return [(each.level, each.text) for each in findings(house) if each.subject == subject]


def codes(house: House) -> set[str]:
    """Codes of all that is not well."""
    return {each.code for each in findings(house) if each.code}


def test_every_authority_whose_crl_was_forgotten_is_named(house: House) -> None:
    house.run("crl", "import", house.folder / "root.crl")

    (missing, good, *never_fetched) = check(house, "crls")

    name = house.ca.cert.subject.rfc4514_string()
    assert missing[0] is Level.ERROR
    assert missing[1].startswith(f"no CRL of {name} is known: ")
    assert good[0] is Level.OK
    assert [level for level, _ in never_fetched] == [Level.WARNING, Level.WARNING]


def test_a_crl_that_was_replaced_is_nobodys_trouble_any_more(house: House) -> None:
    for number in (1, 2):
        house.publish(number)
        house.run("crl", "refresh")

    found = check(house, "crls")

    assert [level for level, _ in found] == [Level.OK, Level.OK]
    assert all(text.startswith("CRL no. 2 of ") for _, text in found)


@pytest.mark.parametrize("same_key", [True, False])
def test_the_crl_of_another_ca_with_the_same_name_speaks_for_no_client(
    tmp_path: Path, same_key: bool
) -> None:
    """A CA with a new key has its old name; the CRL of the old key proves nothing for the new."""
    top = root()
    ca = top.sub("Clients CA", end=NOW + timedelta(days=900))
    listed = ca if same_key else top.sub("Clients CA", ca_key=key_of("new"))
    assert listed.cert.subject == ca.cert.subject
    file = tmp_path / "clients.pem"
    file.write_bytes(listed.pem)
    entry = SimpleNamespace(name="crm", ca=file, names=("crm.example",), unsafe_no_revocation=False)
    material = Material([top.anchor()], [ca.der, listed.der], [Crl(ca.crl())])
    wiring: Any = SimpleNamespace(
        config=SimpleNamespace(clients=[entry]),
        trust=SimpleNamespace(current=lambda: SimpleNamespace(material=material)),
    )

    found = {one.code for one in clients(wiring, NOW)}

    assert ("clients.no-crl" in found) is not same_key


def test_private_keys_of_the_archive_that_were_left_here_are_named(house: House) -> None:
    (text,) = [text for level, text in check(house, "archive") if level is Level.WARNING]
    assert str(house.base / "authority" / "escrow.key") in text

    for key in (house.base / "authority").iterdir():
        key.unlink()

    assert [level for level, _ in check(house, "archive")] == [Level.OK]


def test_each_server_of_a_directory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    away = problem("directory.timeout", "the directory {directory} is away", directory="justice")
    trials = (ServerTrial("ldaps://one", away, 5.0), ServerTrial("ldaps://two", None, 0.1))
    client = SimpleNamespace(directory=SimpleNamespace(name="justice"), try_servers=lambda: trials)
    only = [one for one in checks.CHECKS if one[0] == "directories"]
    monkeypatch.setattr(checks, "CHECKS", only)
    wiring: Any = SimpleNamespace(directories=[client], certificates=())
    found = list(run_checks(wiring, moment=NOW))
    assert [one.level for one in found] == [Level.UNKNOWN, Level.OK]
    assert found[1].text == "ldaps://two answers"


def test_every_finding_that_is_not_well_says_what_it_means_and_what_to_do(house: House) -> None:
    (house.base / "keys" / "seal.key").chmod(0o644)
    house.config.chmod(0o666)

    found = [each for each in findings(house) if each.level is not Level.OK]

    assert len(found) >= 5
    for each in found:
        assert each.code, each
        assert each.meaning or each.advice, each


def test_open_keys_and_an_open_configuration_are_errors(house: House) -> None:
    assert not codes(house) & {"rights.key-open", "rights.configuration-open"}
    (house.base / "keys" / "seal.key").chmod(0o640)
    house.config.chmod(0o664)
    (house.base / "data").chmod(0o755)

    assert codes(house) >= {
        "rights.key-open",
        "rights.configuration-open",
        "rights.data-open",
    }


def test_two_names_for_one_archive_key_are_one_recipient(house: House) -> None:
    recipients = house.base / "recipients"
    (recipients / "escrow.pub").write_bytes((recipients / "authority.pub").read_bytes())

    assert "archive.one-recipient" in codes(house)


def test_a_private_archive_key_is_found_wherever_it_lies_below_the_folder(house: House) -> None:
    for key in (house.base / "authority").iterdir():
        hidden = house.base / "keys" / "old"
        hidden.mkdir(exist_ok=True)
        key.rename(hidden / "notes.txt")

    (text,) = [each.text for each in findings(house) if each.code == "archive.private-key-here"]
    assert "keys/old/notes.txt" in text


def test_a_list_that_was_never_fetched_or_whose_server_is_gone_is_told(house: House) -> None:
    assert "crl.never-fetched" in codes(house)
    house.run("crl", "refresh")
    assert not {code for code in codes(house) if code.startswith("crl.")}
    house.write("ca.crl", b"rubbish")
    house.run("crl", "refresh")

    assert "crl.fetch-failed" in codes(house)


def test_a_list_in_its_last_hours_is_a_warning_and_after_them_an_error(house: House) -> None:
    house.run("crl", "refresh")
    wiring = Wiring.from_file(house.config)
    for days, code in ((6, ""), (6.9, "crl.ends-soon"), (7.1, "crl.stale")):
        moment = house.now + timedelta(days=days)
        found = {each.code for each in run_checks(wiring, moment=moment) if each.subject == "crls"}
        assert found == {code}, days
    wiring.close()


@pytest.mark.parametrize(
    ("days", "level", "code"),
    [
        (61, Level.OK, ""),
        (59, Level.WARNING, "certificate.ends"),
        (29, Level.WARNING, "certificate.ends-soon"),
        (6, Level.ERROR, "certificate.ends-now"),
        (-1, Level.ERROR, "certificate.not-valid"),
    ],
)
def test_the_end_of_a_certificate_is_told_in_steps(days: int, level: Level, code: str) -> None:
    der = root("Steps", start=NOW - timedelta(days=700), end=NOW + timedelta(days=days)).der

    finding = validity("seal x", der, NOW)

    assert (finding.level, finding.code) == (level, code)


def test_a_certificate_for_three_months_is_not_warned_of_for_two() -> None:
    der = root("Short", start=NOW - timedelta(days=45), end=NOW + timedelta(days=45)).der

    assert validity("seal x", der, NOW).level is Level.OK


def test_an_intermediate_that_leads_nowhere_is_told(house: House) -> None:
    lost = root("Lost Root").sub("Lost CA", end=house.now + timedelta(days=800))
    (house.base / "intermediates" / "lost.pem").write_bytes(lost.pem)

    (found,) = [each for each in findings(house) if each.code == "trust.no-way-up"]
    assert "Lost CA" in found.text
    assert "Lost Root" in found.text


def test_the_archive_whose_end_was_changed_is_an_error(house: House) -> None:
    wiring = Wiring.from_file(house.config)
    wiring.append([Draft("searched", "o", "0" * 32, {"case": b"x"})])
    assert "log.tail" not in codes(house)
    with wiring.database.write() as conn:
        conn.execute(sa.update(log_head).values(prev="0" * 64))
    wiring.close()

    assert "log.tail" in codes(house)


def test_a_broken_database_is_told_once(house: House) -> None:
    (house.base / "data" / "sceau.db").write_bytes(b"this is not a database" * 100)

    broken = [each for each in findings(house) if "not a database" in each.text]

    assert len(broken) == 1
    assert broken[0].level is Level.ERROR


def test_a_port_that_another_program_holds_is_an_error(house: House) -> None:
    with socket.socket() as other:
        # A port of our own: that of the file is bound by every other check at the same time.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        text = house.config.read_text("utf-8").replace("port = 10025", f"port = {port}")
        house.config.write_text(text, "utf-8")
        assert "listen.nobody" in codes(house)

        other.listen()

        assert "listen.taken" in codes(house)


def test_the_kernels_own_word_on_the_clock_is_read() -> None:
    """adjtimex(2) as another implementation reads it: the state is one of its six."""
    told = ntp()
    assert told is None or 0 <= told[0] <= 5


def test_queue_and_poison_are_told(house: House) -> None:
    wiring = Wiring.from_file(house.config)
    with wiring.database.write() as conn:
        for number, (state, reason, due) in enumerate(
            [("held", problem_to_json(POISON), None), ("held", "", None), ("queued", "", 1)]
        ):
            conn.execute(
                messages.insert().values(
                    archive_id=str(number), org="o", kind="mail", sender="a@x", author="a@x",
                    parameters="{}", sha256="", size=1, accepted_at=1, due_at=due, crashes=0,
                )
            )  # fmt: skip
            conn.execute(
                recipients.insert().values(
                    archive_id=str(number), position=0, address="b@y", state=state, attempts=1,
                    expires_at=2, reason=reason, decision="",
                )
            )  # fmt: skip
    wiring.close()

    assert codes(house) >= {"queue.poison", "queue.held", "queue.old"}


def test_the_certificate_that_a_directory_asks_for_is_told_before_it_ends(house: House) -> None:
    """Without it nobody is found any more, and mail waits."""
    issued = house.issue("reader", end=house.now + timedelta(days=3))
    house.configure(
        f"""
[[pki.directories]]
name = "people"
url = "ldaps://127.0.0.1:9"
base = "dc=justice,dc=example"
domains = ["justice.example"]
ca = "{house.root_file}"
client_certificate = "{house.write("reader.pem", issued.pem)}"
client_key = "{house.write("reader.key", issued.key_pem)}"
sasl_external = true
"""
    )
    told = [text for _, text in check(house, "directory people")]
    assert any("CN=reader" in text and "ends on" in text for text in told), told
    wiring = Wiring.from_file(house.config)
    alarms = judge(wiring.gauges.look(), room=1_500_000, ahead=wiring.ahead)
    assert [one.facts["name"] for one in alarms if one.code == "certificate-expiring"] == ["people"]
    wiring.close()


def test_certificates_of_the_listener_count(house: House) -> None:
    issued = house.issue("listener", end=house.now + timedelta(days=3))
    file = house.write("smtp.pem", issued.pem)

    found = own_certificates(
        seals={},
        intermediates=(),
        listener=("h", file),
        directories=[("people", file), ("gone", file.with_name("gone.pem"))],
    )

    assert found == (
        KnownCertificate("listener", "h", issued.der),
        KnownCertificate("directory", "people", issued.der),
    )
