"""Who is told what and when: from the intake to the notice that leaves, on one database."""

from __future__ import annotations

import asyncio
import email
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from archive.fields import Open, decode_payload
from archive.models import log_entries, log_payloads
from archive.store import Draft, append
from archive.working import WorkingUnwrapper
from gateway import clock
from gateway.clock import from_micros, to_micros
from gateway.database import Database
from gateway.deliver import send
from gateway.held import HeldMail
from gateway.mail import Peer, RcptOptions, Submission
from gateway.outbound.steps import Outbound
from gateway.policy import Encryption, Pattern, Policy, Rule, Sign, WithoutCertificate
from gateway.policy.outcomes import Action
from gateway.queue import acts
from gateway.queue.jobs import Job, Recipient, SealedGroup
from gateway.queue.models import recipients
from gateway.queue.states import State
from gateway.queue.store.claim import claim, something_due
from gateway.queue.store.deaths import POISON_AFTER, Blame, release_claims
from gateway.queue.store.take import take
from gateway.signers import Signers
from gateway.smtp.client import NextHop, Outcome, Result
from gateway.smtp.wishes import Wishes
from gateway.steady import SteadyClock
from pki.errors import Problem
from pki.models import Finding, NoCertificate
from tests.conftest import ORIGIN
from tests.unit.signing import any_seal
from tests.unit.test_worker import ANNA, BOB, CARL, ROUTES, House, Nobody

HOLD = Rule(
    "strict",
    (Pattern("*"),),
    (Pattern("@secret.example"),),
    Encryption.REQUIRED,
    WithoutCertificate.HOLD,
    Sign.SEAL,
)
CLEAR = Rule(
    "clear", (Pattern("*"),), (Pattern("*"),), Encryption.NEVER, WithoutCertificate.HOLD, Sign.NONE
)
SECRET = "dora@secret.example"


class Empty(Nobody):
    """A directory without anybody in it."""

    def find_all(self, addresses: list[str], *, moment: datetime) -> Mapping[str, Finding]:
        none = Problem("directory.none", "no certificate for {address} was found", {"address": "x"})
        return {address: NoCertificate(("d",), (), none) for address in addresses}


@dataclass
class Hop:
    """A next hop that answers as it is told, and keeps what it got."""

    answer: Callable[[str], Outcome]
    got: list[tuple[str, str, bytes, Wishes]]

    async def deliver(
        self, hop: NextHop, mail_from: str, to: Any, data: bytes, *, wishes: Wishes, **_: Any
    ) -> list[Outcome]:
        outcomes = [self.answer(address) for address in to]
        for outcome in outcomes:
            if outcome.result is Result.DELIVERED:
                self.got.append((mail_from, outcome.address, data, wishes))
        return outcomes

    async def close(self) -> None:
        pass


def said(result: Result, line: str, *, dsn: bool = False) -> Callable[[str], Outcome]:
    code, status, text = line.split(" ", 2)

    def answer(address: str) -> Outcome:
        if address == ANNA:
            return Outcome(address, Result.DELIVERED, 250, "2.0.0", "ok", "home[192.0.2.1]:25")
        return Outcome(
            address, result, int(code), status, text, "mx.example[192.0.2.9]:25", said=line, dsn=dsn
        )

    return answer


TAKES = said(Result.DELIVERED, "250 2.1.5 taken")
TAKES_DSN = said(Result.DELIVERED, "250 2.1.5 taken", dsn=True)
LATER = said(Result.TEMPORARY, "451 4.3.2 not now")
NEVER = said(Result.PERMANENT, "550 5.1.1 no such user")


class Office(House):
    """A house whose next hop and clock are ours."""

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, folder, timedelta(days=5))
        self.now = clock.now()
        self.hop = Hop(TAKES, [])
        nobody: Any = Empty()
        hop: Any = self.hop
        self.worker = replace(
            self.worker,
            deliverer=hop,
            finder=nobody,
            outbound=Outbound(
                "gw.interieur.example", Policy([HOLD, CLEAR]), ROUTES, Signers({}, nobody, any_seal)
            ),
            now=lambda: self.now,
        )

    def accept(self, *to: str, sender: str = ANNA, **asked: Any) -> str:
        options = {address: asked["options"] for address in to if "options" in asked}
        raw = (
            f"From: {ANNA}\r\nTo: {', '.join(to)}\r\nSubject: hortensia\r\n"
            "Message-ID: <m@x>\r\n\r\nHello.\r\n"
        ).encode()
        peer = Peer("127.0.0.1", 1, "pc7", relay="mail")
        parameters = asked.get("parameters", {})
        submission = Submission(raw, sender, to, peer, self.now, parameters, options)
        return asyncio.run(self.intake.accept(submission))

    def work(self, later: timedelta = timedelta()) -> None:
        """All that is due after this time, notices too."""
        self.now += later

        async def run() -> None:
            stop = asyncio.Event()
            task = asyncio.create_task(self.worker.run(stop))
            quiet = 0
            async with asyncio.timeout(100):
                while quiet < 2 and not task.done():
                    await asyncio.sleep(0.02)
                    with self.database.read() as conn:
                        busy = something_due(conn, to_micros(self.now)) or any(
                            line.claimed for line in self.lines()
                        )
                    quiet = 0 if busy else quiet + 1
            stop.set()
            await task

        asyncio.run(run())

    def lines(self) -> list[Any]:
        from gateway.queue import view

        with self.database.read() as conn:
            return view.lines(conn, states=tuple(State))

    def state(self, archive_id: str) -> list[State]:
        return [line.state for line in self.lines() if line.archive_id == archive_id]

    def reports(self) -> list[tuple[str, str, list[dict[str, str]]]]:
        """Of each notice that arrived: subject, text, fields of its recipients."""
        found = []
        for mail_from, to, data, _ in self.hop.got:
            if to == ANNA:
                assert mail_from == ""
                message = email.message_from_bytes(data)
                if not message.is_multipart():
                    continue
                text, status, _returned = message.get_payload()
                fields = [dict(part.items()) for part in status.get_payload()[1:]]
                found.append((str(message["Subject"]), text.get_payload(), fields))
        return found

    def actions(self) -> list[tuple[str, str]]:
        return [(f["Action"], f["Status"]) for _, _, fields in self.reports() for f in fields]

    def entries(self, archive_id: str) -> list[tuple[str, dict[str, bytes]]]:
        """Kind and open fields of the log entries of one id."""
        with self.database.read() as conn:
            rows = conn.execute(
                log_entries.select()
                .where(log_entries.c.archive_id == archive_id)
                .order_by(log_entries.c.entry_index)
            ).all()
            found = []
            for row in rows:
                entry = json.loads(row.entry)
                payload = conn.execute(
                    log_payloads.select().where(log_payloads.c.commitment == entry["commitment"])
                ).one()
                fields = decode_payload(payload.payload)
                open_ = {n: each.value for n, each in fields.items() if isinstance(each, Open)}
                found.append((entry["kind"], open_))
        return found

    def held_mail(self, **changes: Any) -> HeldMail:
        notices = replace(self.worker.notices, **changes)
        keys = notices.working_keys
        return HeldMail(self.database, ORIGIN, notices, WorkingUnwrapper(keys))


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Iterator[Office]:
    made = Office(database, tmp_path)
    yield made
    made.appender.close()


# (NOTIFY, what the next hop does) → actions told after ten minutes, five hours, six days
ASKED = [
    ("", TAKES, []),
    ("SUCCESS", TAKES, [("relayed", "2.1.5")]),
    ("SUCCESS,FAILURE", TAKES, [("relayed", "2.1.5")]),
    ("SUCCESS", TAKES_DSN, []),
    ("NEVER", TAKES, []),
    ("FAILURE,DELAY", TAKES, []),
    ("", NEVER, [("failed", "5.1.1")]),
    ("FAILURE", NEVER, [("failed", "5.1.1")]),
    ("NEVER", NEVER, []),
    ("SUCCESS", NEVER, []),
    ("DELAY", NEVER, []),
    ("", LATER, [("delayed", "4.3.2"), ("failed", "4.3.2")]),
    ("DELAY", LATER, [("delayed", "4.3.2")]),
    ("FAILURE", LATER, [("failed", "4.3.2")]),
    ("NEVER", LATER, []),
]


def test_each_is_told_what_he_asked_for_and_once(office: Office) -> None:
    rows = {f"r{n}@justice.example": row for n, row in enumerate(ASKED)}
    home = office.hop.answer

    def answer(address: str) -> Outcome:
        found = rows[address][1] if address in rows else home
        return replace(found(BOB), address=address)

    office.hop.answer = answer
    for address, (notify, _, _) in rows.items():
        office.accept(address, options=RcptOptions(notify))
    for later in (timedelta(minutes=10), timedelta(hours=5), timedelta(hours=5), timedelta(days=6)):
        office.work(later)
    told: dict[str, list[tuple[str, str]]] = {address: [] for address in rows}
    for _, _, fields in office.reports():
        for one in fields:
            address = one["Final-Recipient"].removeprefix("rfc822; ")
            told[address].append((one["Action"], one["Status"]))
    assert told == {address: expected for address, (_, _, expected) in rows.items()}


def test_a_delay_is_told_on_time_with_what_was_said_just_then(office: Office) -> None:
    """The attempt after four hours is made though none was planned before the fifth."""
    office.worker.waits = [timedelta(hours=3, minutes=50), timedelta(hours=9)]
    office.hop.answer = LATER
    office.accept(BOB)
    office.work()
    office.work(timedelta(hours=3, minutes=55))
    assert office.actions() == []
    office.work(timedelta(minutes=5))
    ((subject, text, (fields,)),) = office.reports()
    assert subject == "Delayed: mail not delivered yet, will be retried (warning)"
    assert "YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN" in text
    assert fields["Diagnostic-Code"] == "smtp; 451 4.3.2 not now"
    until = from_micros(to_micros(office.now)) + timedelta(days=5) - timedelta(hours=4)
    assert email.utils.parsedate_to_datetime(fields["Will-Retry-Until"]) == until.replace(
        microsecond=0
    )


def test_who_wants_no_delay_notices_gets_none(office: Office) -> None:
    office.worker.notices = replace(office.worker.notices, warn=None)
    office.hop.answer = LATER
    office.accept(BOB)
    office.work()
    office.work(timedelta(days=4))
    assert office.actions() == []


def test_one_notice_names_all_who_failed_at_once(office: Office) -> None:
    office.hop.answer = NEVER
    office.accept(BOB, CARL)
    office.work()
    ((_, _, fields),) = office.reports()
    assert [f["Final-Recipient"] for f in fields] == [f"rfc822; {BOB}", f"rfc822; {CARL}"]


def test_the_envelopes_marks_come_back(office: Office) -> None:
    office.hop.answer = NEVER
    asked = RcptOptions("", "rfc822;list+2B@justice.example")
    office.accept(BOB, options=asked, parameters={"ENVID": "QQ+2B31", "RET": "HDRS"})
    office.work()
    ((_, _, (fields,)),) = office.reports()
    assert fields["Original-Recipient"] == "rfc822; list+@justice.example"
    ((_, _, data, _),) = office.hop.got
    assert b"\r\nOriginal-Envelope-Id: QQ+31\r\n" in data
    assert b"\r\nReceived-From-MTA: dns; pc7\r\n" in data
    assert b"\r\nContent-Type: text/rfc822-headers\r\n" in data
    assert b"Hello." not in data


def test_never_a_notice_for_a_notice(office: Office) -> None:
    """A mail with the null sender, and a notice of ours whose recipient is refused."""
    office.hop.answer = NEVER
    null = office.accept(BOB, sender="", options=RcptOptions("SUCCESS,FAILURE,DELAY"))
    office.work()
    assert office.state(null) == [State.FAILED]
    office.hop.answer = lambda address: replace(NEVER(BOB), address=address)
    office.accept(BOB)
    office.work()
    office.work(timedelta(days=6))
    assert office.hop.got == []
    notice = [line for line in office.lines() if line.recipient == ANNA]
    assert [line.state for line in notice] == [State.FAILED]  # visible, and the end of it


def test_of_a_notice_no_server_reports_anything(office: Office) -> None:
    office.hop.answer = NEVER
    office.accept(BOB, parameters={"RET": "FULL", "ENVID": "x"})
    office.work()
    ((_, _, _, wishes),) = office.hop.got
    assert wishes.of_mail() == ""
    assert wishes.of_recipient(ANNA) == f" NOTIFY=NEVER ORCPT=rfc822;{ANNA}"


def test_the_next_hop_is_told_what_was_asked(office: Office) -> None:
    asked = RcptOptions("SUCCESS", "rfc822;b@x")
    office.accept(BOB, options=asked, parameters={"RET": "FULL", "ENVID": "x"})
    office.work()
    ((_, _, _, wishes),) = office.hop.got[:1]
    assert wishes.of_mail() == " RET=FULL ENVID=x"
    assert wishes.of_recipient(BOB) == " NOTIFY=SUCCESS ORCPT=rfc822;b@x"


@pytest.mark.parametrize("ret", ["FULL", "HDRS", ""])
@pytest.mark.parametrize(("treatment", "said_of_it"), [("encrypted", "HDRS"), ("signed", None)])
def test_of_an_encrypted_mail_only_the_header_shall_come_back(
    ret: str, treatment: str, said_of_it: str | None
) -> None:
    """Whoever opens it behind the next hop would send back the plaintext."""
    recipient = Recipient(0, BOB, State.QUEUED, "g", 1, 0, 0, "", "", due=True)
    parameters = {"RET": ret} if ret else {}
    job = Job(
        "a", "o", "mail", ANNA, ANNA, parameters, "", 0, 0, suspect=False, recipients=[recipient]
    )
    group = SealedGroup("g", "a", treatment, "border", "", 1, b"x")
    hop: Any = Hop(TAKES, [])
    asyncio.run(send(hop, ROUTES, job, {"g": group}, postmaster="p@x"))
    ((_, _, _, wishes),) = hop.got
    assert wishes.ret == (ret if said_of_it is None else said_of_it)


def test_of_a_copy_the_next_hop_hears_nothing_of_the_sender() -> None:
    asked = RcptOptions("SUCCESS,FAILURE", "rfc822;b@x")
    his, copy = (
        Recipient(n, to, State.QUEUED, f"g{n}", 1, None, 0, "", "", True, copied_by=rule)
        for n, (to, rule) in enumerate([(BOB, ""), (CARL, "watched")])
    )
    his.notify, his.orcpt = asked.notify, asked.orcpt
    job = Job(
        "a", "interieur", "mail", ANNA, ANNA, {"ENVID": "e", "RET": "FULL"}, "", 1, 0, False,
        [his, copy],
    )  # fmt: skip
    groups = {g: SealedGroup(g, "a", "signed", "border", "", 1, b"x") for g in ("g0", "g1")}
    hop: Any = Hop(TAKES, [])
    asyncio.run(send(hop, ROUTES, job, groups, postmaster="post@interieur.example"))
    said = {to: (sender, wishes) for sender, to, _, wishes in hop.got}
    assert said[BOB] == (ANNA, Wishes("FULL", "e", {BOB: asked}))
    assert said[CARL] == ("post@interieur.example", Wishes("FULL", "", {CARL: RcptOptions()}))


def test_what_was_asked_stands_in_the_archive(office: Office) -> None:
    asked = RcptOptions("SUCCESS", "rfc822;b@x")
    first = office.accept(BOB, options=asked, parameters={"RET": "FULL", "ENVID": "x"})
    second = office.accept(BOB)
    ((_, fields),) = office.entries(first)
    assert json.loads(fields["envelope.dsn.000000"]) == {"notify": "SUCCESS", "orcpt": "rfc822;b@x"}
    assert json.loads(fields["envelope.parameters"]) == {"RET": "FULL", "ENVID": "x"}
    ((_, fields),) = office.entries(second)
    assert "envelope.dsn.000000" not in fields


def test_the_archive_says_that_a_sender_was_told(office: Office) -> None:
    office.hop.answer = NEVER
    archive_id = office.accept(BOB)
    office.work()
    kinds = office.entries(archive_id)
    assert [kind for kind, _ in kinds] == ["accepted", "sealed", "failed", "notified"]
    told = kinds[-1][1]
    assert told["event"] == b"failed"
    assert told["recipient.000000"] == BOB.encode()
    notice = office.entries(told["notice"].decode())
    assert [kind for kind, _ in notice] == ["accepted", "sealed", "delivered"]
    assert notice[0][1]["about"] == archive_id.encode()


# -- held ------------------------------------------------------------------------------------------


def test_held_mail_is_told_once_and_nothing_of_it_is_shown(office: Office) -> None:
    archive_id = office.accept(SECRET, BOB)
    office.work()
    office.work(timedelta(days=2))
    ((subject, text, (fields,)),) = office.reports()
    assert subject == "Held for review: mail not sent yet (delayed)"
    assert "no certificate for x was found" in text
    assert (fields["Action"], fields["Status"]) == ("delayed", "4.7.5")
    assert fields["Final-Recipient"] == f"rfc822; {SECRET}"
    assert "Will-Retry-Until" in fields
    assert all(b"hortensia" not in data for _, to, data, _ in office.hop.got if to == ANNA)
    # Released and held again: no news.
    _act(office, archive_id, "release")
    office.work()
    assert len(office.reports()) == 1
    assert [kind for kind, _ in office.entries(archive_id)].count("notified") == 1


def test_held_mail_is_not_told_where_the_rule_says_so(office: Office) -> None:
    office.worker.notices = replace(office.worker.notices, tell_held=lambda _recipient: False)
    archive_id = office.accept(SECRET)
    office.work()
    assert office.state(archive_id) == [State.HELD]
    assert office.reports() == []


@pytest.mark.parametrize(
    ("decision", "told"),
    [("", True), ('{"rule":"r"}', True), ('{"tell-sender-when-held":false}', False)],
)
def test_the_rule_is_read_from_the_decision(decision: str, told: bool) -> None:
    from gateway.notices import tells_held

    recipient = Recipient(0, BOB, State.HELD, None, 1, None, 0, "", decision, due=True)
    assert tells_held(recipient) is told


@pytest.mark.parametrize(("notify", "count"), [("", 1), ("DELAY", 1), ("FAILURE", 0), ("NEVER", 0)])
def test_held_mail_is_a_delay_for_notify(office: Office, notify: str, count: int) -> None:
    office.accept(SECRET, options=RcptOptions(notify))
    office.work()
    assert len(office.reports()) == count


def test_what_a_person_takes_out_is_told_only_if_he_says_so(office: Office) -> None:
    office.hop.answer = LATER
    for tell in (False, True):
        archive_id = office.accept(BOB)
        office.work()
        with office.database.write() as conn:
            job = take(conn, archive_id)
            acts.hold(conn, job, by="paul", reason="under suspicion", now=office.now)
            told = office.worker.notices.of_held(job, job.recipients, now=office.now, asked=True)
            if tell:
                assert len(told) == 1
                assert told[0].reports[0].reason is None, "what colleagues write stays with them"
        assert office.reports() == []


def test_poison_is_told_by_the_keeper_without_opening_it(office: Office) -> None:
    archive_id = office.accept(BOB)
    for _ in range(POISON_AFTER):
        with office.database.write() as conn:
            claim(
                conn, worker="w", now=to_micros(office.now), limit=9, max_bytes=10**9,
                waits=[timedelta(hours=1)],
            )  # fmt: skip
            release_claims(conn, worker="w", now=to_micros(office.now))
    held = replace(office.held_mail())

    def explodes(*_: object) -> bytes:
        raise AssertionError("it killed three processes")

    object.__setattr__(held, "unwrapper", explodes)
    for _ in range(3):
        held.once(office.now)
    office.work()
    assert office.actions() == [("delayed", "4.3.0")]
    assert office.state(archive_id) == [State.HELD]


def test_held_mail_ends_after_its_time_and_the_postmaster_hears_of_it_before(
    office: Office,
) -> None:
    archive_id = office.accept(SECRET)
    office.work()
    held = office.held_mail()
    postmaster = "postmaster@interieur.example"

    def letters() -> list[bytes]:
        return [data for _, to, data, _ in office.hop.got if to == postmaster]

    for _ in range(22):
        office.now += timedelta(days=1)
        held.once(office.now)
    office.work()
    assert letters() == []
    for _ in range(4):  # once a day, also by another process
        office.now += timedelta(hours=12)
        held.once(office.now)
        office.held_mail().once(office.now)
    office.work()
    assert len(letters()) == 2
    text = letters()[0].decode()
    assert "Subject: Held mail will be given up soon (1)" in text
    assert archive_id in text
    assert f"from <{ANNA}> to <{SECRET}>" in text
    assert "hortensia" not in text
    assert max(map(len, text.splitlines())) <= 78

    assert office.state(archive_id) == [State.HELD]
    office.now += timedelta(days=7)
    held.once(office.now)
    office.work()
    assert office.state(archive_id) == [State.FAILED]
    assert office.actions() == [("delayed", "4.7.5"), ("failed", "5.7.5")]
    _, text, _ = office.reports()[-1]
    assert "held for 30 days, and nobody decided about it" in " ".join(text.split())
    kinds = [kind for kind, _ in office.entries(archive_id)]
    assert kinds == ["accepted", "held", "notified", "failed", "notified"]


def test_a_clock_that_jumps_ends_no_held_mail(office: Office) -> None:
    archive_id = office.accept(SECRET)
    office.work()
    ticks = [0.0]
    held = office.held_mail()
    held.steady = SteadyClock(timedelta(minutes=15), lambda: ticks[0])
    held.once(office.now)
    for later, state in ((0, State.HELD), (14, State.HELD), (1, State.FAILED)):
        office.now += timedelta(minutes=later) if later else timedelta(days=40)
        ticks[0] += 60 * later
        held.once(office.now)
        assert office.state(archive_id) == [state]


def test_held_mail_may_be_kept_for_ever(office: Office) -> None:
    archive_id = office.accept(SECRET)
    office.work()
    office.now += timedelta(days=4000)
    office.held_mail(held_expire=None).once(office.now)
    office.work()
    assert office.state(archive_id) == [State.HELD]
    assert [to for _, to, _, _ in office.hop.got] == [ANNA]


# -- given up --------------------------------------------------------------------------------------


def test_a_clock_that_runs_ahead_gives_nothing_up(office: Office) -> None:
    """Ten days ahead by mistake: all that fails for a moment would come back to its sender."""
    ticks = [0.0]
    office.worker.steady = SteadyClock(timedelta(minutes=15), lambda: ticks[0])

    def pass_time(later: timedelta) -> None:
        ticks[0] += later.total_seconds()
        office.work(later)

    office.worker.waits = [timedelta(minutes=20)]
    office.worker.notices = replace(office.worker.notices, warn=None)
    office.hop.answer = LATER
    archive_id = office.accept(BOB)
    pass_time(timedelta())
    pass_time(timedelta(minutes=20))
    office.now += timedelta(days=10)
    pass_time(timedelta(minutes=1))
    assert office.state(archive_id) == [State.QUEUED]
    assert office.actions() == []
    # It was no mistake: a quarter of an hour later the mail is old, and soon tried again.
    pass_time(timedelta(minutes=15))
    assert office.state(archive_id) == [State.FAILED]
    assert office.actions() == [("failed", "4.3.2")]


def test_what_is_refused_for_good_is_told_whatever_the_clock_says(office: Office) -> None:
    office.worker.steady = SteadyClock(timedelta(minutes=15), lambda: 0.0)
    office.hop.answer = NEVER
    office.accept(BOB)
    office.work()
    assert office.actions() == [("failed", "5.1.1")]


@pytest.mark.parametrize(
    ("to", "answer", "status"), [(SECRET, TAKES, "5.7.5"), (BOB, LATER, "5.4.7")]
)
def test_what_a_person_gives_up_has_the_code_of_what_was_in_the_way(
    office: Office, to: str, answer: Callable[[str], Outcome], status: str
) -> None:
    office.hop.answer = answer
    office.worker.notices = replace(office.worker.notices, tell_held=lambda _recipient: False)
    archive_id = office.accept(to)
    office.work()
    _act(office, archive_id, "bounce")
    office.work()
    assert office.actions() == [("failed", status)]


@pytest.mark.parametrize("end", ["bounced", "kept too long"])
@pytest.mark.parametrize("by_rule", [False, True])
def test_what_colleagues_write_stays_with_them_to_the_end(
    office: Office, end: str, by_rule: bool
) -> None:
    """Held for an inquiry that the sender shall not hear of, and given up in the end."""
    if by_rule:
        look = replace(CLEAR, name="look", action=Action.HOLD, text="inquiry 12")
        object.__setattr__(office.worker.outbound, "policy", Policy([look]))
    else:
        office.hop.answer = LATER
    archive_id = office.accept(BOB)
    office.work()
    if not by_rule:
        with office.database.write() as conn:
            job = take(conn, archive_id)
            acts.hold(conn, job, by="paul", reason="inquiry 12", now=office.now)
    if end == "bounced":
        _act(office, archive_id, "bounce")
    else:
        office.now += timedelta(days=31)
        office.held_mail().once(office.now)
    office.hop.answer = TAKES
    office.work()

    assert office.state(archive_id) == [State.FAILED]
    assert ("failed", "5.7.1") in office.actions()
    assert all(b"inquiry" not in data for _, to, data, _ in office.hop.got if to == ANNA)


def _act(office: Office, archive_id: str, verb: str) -> None:
    """As `sceau queue` does it."""
    from gateway.cli.queue_acts import perform

    class Wiring:
        database = office.database

        class belief:
            @staticmethod
            def now() -> datetime:
                return office.now

        @staticmethod
        def append_with(conn: sa.Connection, drafts: Sequence[Draft]) -> None:
            append(conn, drafts, origin=ORIGIN, now=office.now)

        notices = office.worker.notices
        unwrapper = office.worker.unwrapper
        blobs = None

        class config:
            class queue:
                expire = timedelta(days=5)

    wiring: Any = Wiring()
    perform(wiring, verb, archive_id, by="paul", reason="")


def test_a_notice_and_what_it_tells_are_one_transaction(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between them would tell twice, or never."""
    from gateway.queue import outcomes

    office.hop.answer = NEVER
    archive_id = office.accept(BOB)

    def crash(name: str) -> None:
        if name == "notice.written":
            raise RuntimeError("power cut")

    monkeypatch.setattr(outcomes, "failpoint", crash)
    with pytest.raises(RuntimeError):
        office.work()
    monkeypatch.undo()
    with office.database.read() as conn:
        rows = conn.execute(recipients.select()).all()
    assert [(row.address, row.state) for row in rows] == [(BOB, "queued")]
    with office.database.write() as conn:
        release_claims(conn, worker=None, now=to_micros(office.now), blame=Blame.NOBODY)
    office.work()
    assert office.state(archive_id) == [State.FAILED]
    assert office.actions() == [("failed", "5.1.1")]
