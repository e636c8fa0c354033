"""Alarms: what raises one, that it is said once, and what the postmaster reads."""

from __future__ import annotations

import quopri
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from archive.lag import Lag
from gateway.ahead import Ahead
from gateway.alarm import Alarm
from gateway.alarm_mail import alarm_mail
from gateway.alarms import CODES, NEIGHBOUR, Alarms, judge
from gateway.belief import BEHIND, MOVED, Doubt
from gateway.clock import rfc3339
from gateway.expiry_watch import Ends
from gateway.known import KnownCertificate
from gateway.metrics.gauges import Disk, Standing
from gateway.metrics.page import page
from gateway.metrics.tally import Tally
from gateway.neighbours import Absence
from gateway.queue.backlog import Backlog
from gateway.running import Status
from gateway.signing_watch import People
from pki.errors import Problem
from pki.expiring import RecipientsEnding
from pki.ocsp_store import OcspStanding
from tests.pki_maker import root
from tests.unit.test_metrics import NOW

CALM = Standing(NOW, Backlog(), Lag(0, 0.0), {}, (), (), Status())
SIZE = 50_000_000
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8").splitlines()


def _ending(days: int) -> KnownCertificate:
    der = root("Soon", start=NOW - timedelta(days=1), end=NOW + timedelta(days=days)).der
    return KnownCertificate("seal", "interior.example", der)


def _deaths(*minutes: int) -> Status:
    return Status(deaths=[("worker", rfc3339(NOW - timedelta(minutes=m))) for m in minutes])


def _away(seconds: int) -> Absence:
    return Absence("database", "db/x", rfc3339(NOW - timedelta(seconds=seconds)), "refused")


def _crl(*, begun: int, ends: int, grace: int = 0) -> dict[str, Any]:
    """A CRL by the hours since its thisUpdate and until its nextUpdate."""
    return {
        "crls": {"CN=ca": NOW + timedelta(hours=ends)},
        "crls_begun": {"CN=ca": NOW - timedelta(hours=begun)},
        "ends": Ends(grace={"CN=ca": timedelta(hours=grace)}),
    }


def _ocsp(**of: Any) -> dict[str, Any]:
    return {"ends": Ends(ocsp=OcspStanding(**of))}


REVOKED = Problem("revocation.revoked", "revoked")
CASES: list[tuple[str | None, dict[str, Any]]] = [
    (None, {}),
    ("crl-stale", {"crls": {"CN=ca": NOW - timedelta(seconds=1)}}),
    (None, {"crls": {"CN=ca": NOW + timedelta(days=1)}}),
    ("crl-ending", {"crls": {"CN=ca": NOW + timedelta(hours=5)}}),
    ("crl-ending", _crl(begun=50, ends=5)),
    (None, _crl(begun=10, ends=5)),  # a tenth of its life is shorter than 6 hours
    ("revocation-grace", _crl(begun=50, ends=-1, grace=2)),
    ("crl-stale", _crl(begun=50, ends=-3, grace=2)),
    ("crl-delta-late", {"late_deltas": {"CN=ca": NOW - timedelta(seconds=1)}}),
    ("ocsp-late", _ocsp(failing=1, missing=1)),
    ("ocsp-late", _ocsp(failing=1, stale=1)),
    ("ocsp-late", _ocsp(failing=1, ends=NOW + timedelta(minutes=59))),
    (None, _ocsp(failing=1, ends=NOW + timedelta(minutes=61))),
    (None, _ocsp(wanted=1, missing=1)),  # not asked yet
    ("recipients-expiring", {"ends": Ends(RecipientsEnding(9, 1, 0, {"a@b.example": NOW}))}),
    (None, {"ends": Ends(RecipientsEnding(9, 0, 3))}),
    ("certificate-expiring", {"ends": Ends(opening=(1, ("marie@a.example",)))}),
    ("certificate-expiring", {"certificates": (_ending(6),)}),
    (None, {"certificates": (_ending(8),)}),
    ("disk-nearly-full", {"disks": (Disk(Path("/d"), 4 * 10**9, 100 * 10**9),)}),
    ("disk-nearly-full", {"disks": (Disk(Path("/d"), 74_000_000, 10**9),)}),
    (None, {"disks": (Disk(Path("/d"), 6 * 10**9, 100 * 10**9),)}),
    ("disk-refuses", {"refusing": ((Path("/d"), "Disk quota exceeded"),)}),
    ("index-behind", {"index": Lag(10, 901.0)}),
    (None, {"index": Lag(10, 899.0)}),
    (None, {"index": None}),
    ("index-skipped", {"skipped": 1}),
    ("process-dying", {"status": _deaths(1, 2, 3)}),
    (None, {"status": _deaths(1, 2, 11)}),
    (None, {"status": None}),
    ("poison-held", {"backlog": Backlog(held=1, reasons={"limits.poison": 1})}),
    (None, {"backlog": Backlog(held=1, reasons={"directory.timeout": 1})}),
    ("queue-too-old", {"backlog": Backlog(oldest=NOW - timedelta(hours=5))}),
    (None, {"backlog": Backlog(oldest=NOW - timedelta(hours=3))}),
    ("neighbour-away", {"absent": (_away(31),)}),
    (None, {"absent": (_away(29),)}),
    ("decision-not-believed", {"unbelieved": (REVOKED,)}),
    ("authority-unknown", {"questions": 3}),
    ("key-changed", {"changed_keys": 2}),
    ("key-refused", {"refused_keys": 2}),
    ("signer-refused", {"refused_seals": {"interior.example": REVOKED}}),
    ("signer-refused", {"people": People(unfit=1, refused={"a@b.example": REVOKED})}),
    (None, {"people": People(fit=9, cannot_tell=1, unknown={"a@b.example": REVOKED})}),
    ("certificate-expiring", {"people": People(fit=9, ending=1, ends={"a@b.example": NOW})}),
    ("clock-not-believed", {"doubt": Doubt(MOVED, NOW + timedelta(hours=1), NOW)}),
    ("clock-not-believed", {"doubt": Doubt(BEHIND, NOW - timedelta(hours=1), NOW)}),
]


@pytest.mark.parametrize(("code", "change"), CASES)
def test_what_raises_an_alarm(code: str | None, change: dict[str, Any]) -> None:
    found = list(judge(replace(CALM, **change), room=SIZE * 3 // 2))

    assert [alarm.code for alarm in found] == ([] if code is None else [code])
    assert all(alarm.text for alarm in found)


def test_every_code_has_a_case() -> None:
    assert {code for code, _ in CASES if code} == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_alarm_is_a_metric_a_line_of_the_log_a_mail_and_documented(
    code: str, tmp_path: Path
) -> None:
    change = next(change for one, change in CASES if one == code)
    standing = replace(CALM, **change)
    found = list(judge(standing, room=SIZE * 3 // 2))
    mails: list[bytes] = []

    def mail(code: str, alarms: Sequence[Alarm], moment: datetime) -> None:
        mails.append(alarm_mail(code, alarms, hostname="h", postmaster="p@i.example",
                                language="en", moment=moment))  # fmt: skip

    alarms = Alarms(mail, tmp_path / "alarms.json")
    with capture_logs() as lines:
        alarms.tell(found, NOW)

    text, _ = page(Tally(), standing, alarms.on, "text/plain")
    assert f'sceau_alarm{{code="{code}"}} 1.0' in text.decode()
    (line,) = lines
    assert (line["event"], line["code"], line["text"]) == ("alarm", code, found[0].text)
    (content,) = mails
    assert f"Subject: [sceau] alarm {code} (h)".encode() in content
    (row,) = [one for one in DOCUMENTED if one.startswith(f"| `{code}` |")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == f'`sceau_alarm{{code="{code}"}}`'
    assert cells[2] == f"`alarm`, `code={code}`"
    assert cells[3] == f"`[sceau] alarm {code} (HOST)`"
    assert all(cells)


def test_nothing_is_documented_as_an_alarm_that_is_none() -> None:
    rows = [one for one in DOCUMENTED if "`sceau_alarm{" in one]
    assert {one.split("`")[1] for one in rows} == set(CODES)


class Post:
    """Where mails go; `broken` refuses them."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, int]] = []
        self.broken = False

    def __call__(self, code: str, alarms: Sequence[Alarm], _moment: object) -> None:
        if self.broken:
            raise OSError("full")
        self.mails.append((code, len(alarms)))


def stale(*issuers: str) -> list[Alarm]:
    return [Alarm("crl-stale", issuer, "{i}", {"i": issuer}) for issuer in issuers]


def test_a_lasting_alarm_is_one_line_and_one_mail_a_day(tmp_path: Path) -> None:
    post = Post()
    alarms = Alarms(post, tmp_path / "alarms.json")
    with capture_logs() as lines:
        for minute in range(0, 60 * 25, 1):
            alarms.tell(stale("a"), NOW + timedelta(minutes=minute))

    assert post.mails == [("crl-stale", 1), ("crl-stale", 1)]
    assert [line["event"] for line in lines] == ["alarm"]
    assert alarms.on == {"crl-stale"}


def test_something_new_is_told_within_the_hour_but_never_twice_in_it(tmp_path: Path) -> None:
    post = Post()
    alarms = Alarms(post, tmp_path / "alarms.json")
    alarms.tell(stale("a"), NOW)
    alarms.tell(stale("a", "b"), NOW + timedelta(minutes=1))
    alarms.tell(stale("a", "b", "c"), NOW + timedelta(minutes=59))
    assert post.mails == [("crl-stale", 1)]

    alarms.tell(stale("a", "b", "c"), NOW + timedelta(minutes=60))
    assert post.mails == [("crl-stale", 1), ("crl-stale", 3)]


def test_an_alarm_that_flaps_is_mailed_once_an_hour_at_most(tmp_path: Path) -> None:
    post = Post()
    alarms = Alarms(post, tmp_path / "alarms.json")
    for minute in range(60):
        alarms.tell(stale("a") if minute % 2 else [], NOW + timedelta(minutes=minute))

    assert len(post.mails) == 1
    alarms.tell([], NOW + timedelta(minutes=61))
    assert alarms.on == frozenset()


def test_the_next_process_remembers_what_was_mailed(tmp_path: Path) -> None:
    post = Post()
    Alarms(post, tmp_path / "alarms.json").tell(stale("a"), NOW)
    Alarms(post, tmp_path / "alarms.json").tell(stale("a"), NOW + timedelta(minutes=5))

    assert len(post.mails) == 1


def test_a_mail_that_could_not_be_written_is_written_at_the_next_look(tmp_path: Path) -> None:
    post = Post()
    post.broken = True
    alarms = Alarms(post, tmp_path / "alarms.json")
    with capture_logs() as lines:
        alarms.tell(stale("a"), NOW)
    assert [line["event"] for line in lines] == ["alarm", "alarm_not_mailed"]
    post.broken = False
    alarms.tell(stale("a"), NOW + timedelta(seconds=30))

    assert post.mails == [("crl-stale", 1)]


def test_what_no_mail_could_tell_of_is_told_afterwards_and_that_it_is_over(tmp_path: Path) -> None:
    """The database was away: the alarm is on at once, its mail needs the database."""
    told: list[list[Alarm]] = []
    alarms = Alarms(lambda _code, about, _at: told.append(list(about)), tmp_path / "alarms.json")
    away = Alarm(NEIGHBOUR, "database db/x", "away since {since}", {"since": "noon"})
    with capture_logs() as lines:
        alarms.tell([away], NOW, codes=(NEIGHBOUR,), by_mail=False)
        assert alarms.on == {NEIGHBOUR}
        alarms.tell([], NOW + timedelta(minutes=1), codes=(NEIGHBOUR,), by_mail=False)
        assert told == []
        alarms.tell([], NOW + timedelta(minutes=2))
        alarms.tell([], NOW + timedelta(hours=3))
    assert [line["event"] for line in lines] == ["alarm", "alarm_over"]
    assert [[one.subject for one in about] for about in told] == [["database db/x"]]
    content = alarm_mail(
        NEIGHBOUR,
        told[0],
        hostname="h.example",
        postmaster="p@h.example",
        language="fr",
        moment=NOW,
    )
    text = quopri.decodestring(content.partition(b"\r\n\r\n")[2]).decode()
    assert f"terminé depuis le {rfc3339(NOW + timedelta(minutes=1))}" in text


def test_an_alarm_that_is_not_looked_at_stays_as_it_was(tmp_path: Path) -> None:
    alarms = Alarms(Post(), tmp_path / "alarms.json")
    alarms.tell(stale("a"), NOW)
    alarms.tell([], NOW, codes=(NEIGHBOUR,), by_mail=False)
    assert alarms.on == {"crl-stale"}


@pytest.mark.parametrize(("language", "words"), [("en", "at most once an hour"), ("fr", "au plus")])
def test_the_mail_is_plain_ascii_on_the_wire_and_names_the_trouble(
    language: str, words: str
) -> None:
    hostile = Alarm("crl-stale", "x", "the CRL of {issuer}", {"issuer": "CN=a\r\n.\r\nBcc: x@y é"})
    mail = alarm_mail(
        "crl-stale",
        [hostile],
        hostname="sceau.interior.example",
        postmaster="postmaster@interior.example",
        language=language,
        moment=NOW,
    )

    assert mail.isascii()
    assert all(len(line) <= 998 for line in mail.split(b"\r\n"))
    assert mail.count(b"\n") == mail.count(b"\r\n")
    header, _, body = mail.partition(b"\r\n\r\n")
    assert b"\r\nSubject: [sceau] alarm crl-stale (sceau.interior.example)\r\n" in header
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in header
    assert b"\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n" in header
    assert b"Bcc" not in header
    text = quopri.decodestring(body).decode()
    assert words in text
    assert "CN=a . Bcc: x@y é" in text


def test_how_long_ahead_is_configured_by_kind() -> None:
    calm = replace(
        CALM, certificates=(_ending(20),), ends=Ends(RecipientsEnding(9, 1, 0, {"a@b": NOW}))
    )

    def codes(**ahead: timedelta | None) -> list[str]:
        return [one.code for one in judge(calm, room=SIZE * 3 // 2, ahead=Ahead(**ahead))]

    assert codes() == ["recipients-expiring"]
    assert codes(seals=timedelta(days=30)) == ["certificate-expiring", "recipients-expiring"]
    assert codes(anchors=timedelta(days=30), recipients=None) == []
    ending = replace(CALM, **_crl(begun=500, ends=5))
    assert [*judge(ending, room=SIZE * 3 // 2, ahead=Ahead(crls=None))] == []


def test_the_text_of_grace_says_until_when() -> None:
    (alarm,) = judge(replace(CALM, **_crl(begun=50, ends=-1, grace=2)), room=SIZE * 3 // 2)
    assert rfc3339(NOW - timedelta(hours=1)) in alarm.text
    assert rfc3339(NOW + timedelta(hours=1)) in alarm.text
