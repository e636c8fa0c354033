"""The queue: claims, retries, the states of a recipient, poison."""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from archive.working import WorkingKeys
from gateway.clock import to_micros
from gateway.database import Database
from gateway.errors import SceauError
from gateway.keeper import Keeper
from gateway.queue import acts, view
from gateway.queue.jobs import Job, NewMessage, SealedGroup, problem_to_json
from gateway.queue.models import groups, messages
from gateway.queue.schedule import wait_after
from gateway.queue.states import State
from gateway.queue.store.claim import claim as claim_rows
from gateway.queue.store.claim import something_due
from gateway.queue.store.deaths import Blame, release_claims
from gateway.queue.store.enqueue import enqueue
from gateway.queue.store.give_back import give_back as give_rows_back
from gateway.queue.store.give_back import put_back
from gateway.queue.store.groups import add_groups, load_groups
from gateway.queue.store.recipients import save_recipients
from gateway.queue.store.replan import begin_anew
from gateway.queue.store.take import Busy, take
from pki.errors import Problem
from pki.fetch import FetchRules
from pki.trust import StoredTrust

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
T0 = to_micros(NOW)
SECOND = 1_000_000
XYZ = hashlib.sha256(b"xyz").hexdigest()
WAITS = [timedelta(seconds=60), timedelta(seconds=300)]


def put(database: Database, name: str, *to: str, at: int = T0, size: int = 100) -> str:
    with database.write() as conn:
        enqueue(
            conn,
            [
                NewMessage(
                    archive_id=name,
                    org="o",
                    kind="mail",
                    sender="a@interieur.example",
                    author="a@interieur.example",
                    parameters={"helo": "h"},
                    sha256="00" * 32,
                    size=size,
                    accepted_at=at,
                    expires_at=at + 5 * 86400 * SECOND,
                    recipients=to or ("b@justice.example",),
                )
            ],
        )
    return name


def claim(
    database: Database, worker: str = "w", *, now: int = T0, limit: int = 10, room: int = 10**9
) -> list[Job]:
    with database.write() as conn:
        return claim_rows(conn, worker=worker, now=now, limit=limit, max_bytes=room, waits=WAITS)


def give_back(database: Database, *jobs: Job, now: int = T0) -> None:
    with database.write() as conn:
        save_recipients(conn, [(job.archive_id, r) for job in jobs for r in job.recipients])
        give_rows_back(conn, jobs, now=now)


def test_waits_follow_the_list_and_the_last_repeats() -> None:
    waits = [timedelta(seconds=s) for s in (1, 2, 3)]
    assert [wait_after(n, waits).seconds for n in (0, 1, 2, 3, 4, 99)] == [1, 1, 2, 3, 3, 3]


def test_a_claim_stores_attempt_and_next_attempt_before_anything_is_dialled(
    database: Database,
) -> None:
    put(database, "m1")
    claim(database)
    with database.read() as conn:
        (line,) = view.lines(conn)
    assert (line.attempts, line.claimed) == (1, True)
    assert to_micros(line.next_attempt or NOW) == T0 + 60 * SECOND


def test_a_decision_is_written_when_it_is_made_and_stays_when_the_rest_changes(
    database: Database,
) -> None:
    put(database, "m1", "b@justice.example", "c@justice.example")
    (job,) = claim(database)
    one, other = job.recipients
    one.decision = '{"outcome":"held"}'
    give_back(database, job)
    (job,) = claim(database, now=T0 + 60 * SECOND)
    one, other = job.recipients
    assert (one.decision, other.decision) == ('{"outcome":"held"}', "")
    one.reason = other.reason = problem_to_json(Problem("x.y", "z"))
    other.decision = '{"outcome":"encrypted"}'
    give_back(database, job)
    (job,) = claim(database, now=T0 + 600 * SECOND)
    assert [r.decision for r in job.recipients] == [
        '{"outcome":"held"}', '{"outcome":"encrypted"}',
    ]  # fmt: skip
    assert all(r.reason for r in job.recipients)
    job.recipients[0].decision = ""
    give_back(database, job)
    (job,) = claim(database, now=T0 + 6000 * SECOND)
    assert [r.decision for r in job.recipients] == ["", '{"outcome":"encrypted"}']


def test_a_claimed_message_is_claimed_once(database: Database) -> None:
    for n in range(50):
        put(database, f"m{n:02}")
    taken: list[str] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        while jobs := claim(database, name, limit=3):
            with lock:
                taken.extend(job.archive_id for job in jobs)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"m{n:02}" for n in range(50)]


def test_a_claim_takes_the_oldest_and_no_more_octets_than_allowed(database: Database) -> None:
    put(database, "young", at=T0 - 1, size=10)
    put(database, "old", at=T0 - 9, size=900)
    put(database, "middle", at=T0 - 5, size=200)
    assert [job.archive_id for job in claim(database, room=1000)] == ["old"]
    assert [job.archive_id for job in claim(database, room=1000)] == ["middle", "young"]


def test_a_message_larger_than_the_room_is_still_taken(database: Database) -> None:
    put(database, "huge", size=10**9)
    assert [job.archive_id for job in claim(database, room=10)] == ["huge"]


def test_what_is_not_due_is_not_claimed(database: Database) -> None:
    put(database, "m1")
    (job,) = claim(database)
    give_back(database, job)
    assert claim(database, now=T0 + 59 * SECOND) == []
    with database.read() as conn:
        assert not something_due(conn, T0 + 59 * SECOND)
        assert something_due(conn, T0 + 60 * SECOND)
    (again,) = claim(database, now=T0 + 60 * SECOND)
    assert again.recipients[0].attempts == 2
    assert again.recipients[0].next_attempt_at == T0 + 360 * SECOND


def test_only_due_recipients_of_a_message_are_worked_on(database: Database) -> None:
    put(database, "m1", "a@x.example", "b@x.example", "c@x.example")
    (job,) = claim(database)
    job.recipients[0].state = State.DELIVERED
    job.recipients[1].state = State.HELD
    job.recipients[1].next_attempt_at = None
    give_back(database, job)
    (again,) = claim(database, now=T0 + 60 * SECOND)
    assert [r.address for r in again.due] == ["c@x.example"]
    assert [str(r.state) for r in again.recipients] == ["delivered", "held", "queued"]


def test_octets_go_when_all_recipients_of_a_group_are_settled(database: Database) -> None:
    put(database, "m1", "a@x.example", "b@x.example")
    (job,) = claim(database)
    with database.write() as conn:
        add_groups(conn, [SealedGroup("g", "m1", "encrypted", "r", XYZ, 3, b"xyz")])
    for recipient in job.recipients:
        recipient.group_id = "g"
    job.recipients[0].state = State.DELIVERED
    give_back(database, job)
    with database.read() as conn:
        assert load_groups(conn, ["g"])["g"].emitted == b"xyz"
    (job,) = claim(database, now=T0 + 60 * SECOND)
    job.recipients[1].state = State.FAILED
    give_back(database, job, now=T0 + 61 * SECOND)
    with database.read() as conn:
        assert load_groups(conn, ["g"]) == {}
        assert conn.execute(sa.select(groups.c.sha256)).scalar() == XYZ
        assert conn.execute(sa.select(messages.c.settled_at)).scalar() == T0 + 61 * SECOND


def test_a_dead_workers_messages_are_handed_out_again_at_once(database: Database) -> None:
    put(database, "mine")
    put(database, "theirs")
    claim(database, "dead", limit=1)
    claim(database, "alive", limit=1)
    with database.write() as conn:
        freed, held = release_claims(conn, worker="dead", now=T0 + SECOND)
    assert (len(freed), held) == (1, [])
    (job,) = claim(database, "alive", now=T0 + SECOND)
    assert job.archive_id == freed[0]
    assert job.recipients[0].attempts == 2  # the attempt that died is counted


def test_poison_is_held_after_three_deaths_and_takes_nobody_with_it(database: Database) -> None:
    put(database, "poison", at=T0 - 2)
    put(database, "innocent", at=T0 - 1)
    claimed = []
    for _ in range(3):
        jobs = claim(database)
        claimed.append([job.archive_id for job in jobs])
        with database.write() as conn:
            _, held = release_claims(conn, worker=None, now=T0)
        if len(jobs) > 1:
            # Both are under suspicion now; the innocent one is then done on its own.
            with database.write() as conn:
                conn.execute(
                    messages.update()
                    .where(messages.c.archive_id == "innocent")
                    .values(due_at=T0 + 1)
                )
    assert claimed == [["poison", "innocent"], ["poison"], ["poison"]]
    assert held == ["poison"]
    with database.read() as conn:
        (line,) = view.lines(conn, states=(State.HELD,))
    assert line.reason is not None
    assert line.reason.code == "limits.poison"
    assert [job.archive_id for job in claim(database, now=T0 + 1)] == ["innocent"]


def test_deaths_that_no_message_is_to_blame_for_hold_none(database: Database) -> None:
    put(database, "m1")
    for _ in range(5):
        claim(database)
        with database.write() as conn:
            freed, held = release_claims(conn, worker="w", now=T0, blame=Blame.NOBODY)
        assert (freed, held) == (["m1"], [])


def test_when_all_die_at_once_only_what_was_being_sealed_is_suspect(database: Database) -> None:
    """A power cut, again and again: the mail that was in the queue each time is not to blame."""
    for name in ("waiting", "in-hand"):
        put(database, name)
    for times in (1, 2, 3):
        for _ in range(2):  # a suspect is handed out alone
            claim(database, now=T0 + times * 60 * SECOND)
        with database.write() as conn:
            freed, held = release_claims(
                conn,
                worker=None,
                now=T0 + times * 60 * SECOND,
                blame=Blame.IN_HAND,
                in_hand=["in-hand", "of-another-run"],
            )
    assert (freed, held) == (["waiting"], ["in-hand"])
    with database.read() as conn:
        crashes = conn.execute(
            sa.select(messages.c.crashes).where(messages.c.archive_id == "waiting")
        ).scalar_one()
    assert crashes == 0


def test_a_message_that_is_done_is_no_longer_suspect(database: Database) -> None:
    put(database, "m1")
    claim(database)
    with database.write() as conn:
        release_claims(conn, worker=None, now=T0)
    (job,) = claim(database)
    give_back(database, job)
    for _ in range(2):
        claim(database, now=T0 + 10_000 * SECOND)
        with database.write() as conn:
            _, held = release_claims(conn, worker=None, now=T0 + 10_000 * SECOND)
        assert held == []


def test_mail_planned_by_a_clock_that_ran_ahead_does_not_wait_for_it(
    database: Database, tmp_path: Path
) -> None:
    put(database, "new", at=T0 + 7200 * SECOND)  # taken while the clock was two hours ahead
    put(database, "tried", at=T0)
    (job,) = claim(database, now=T0 + SECOND)
    give_back(database, job)  # rightly planned for T0 + 61 s
    put(database, "late", at=T0)
    (job,) = claim(database, now=T0 + 2 * SECOND)
    job.recipients[0].next_attempt_at = T0 + 9000 * SECOND
    give_back(database, job)
    assert claim(database, now=T0 + 3 * SECOND) == []

    keeper(database, tmp_path).mend_plans(NOW + timedelta(seconds=3))
    assert {job.archive_id for job in claim(database, now=T0 + 3 * SECOND)} == {"new", "late"}


def keeper(database: Database, folder: Path) -> Keeper:
    return Keeper(
        database=database,
        sources=[],
        trust=StoredTrust(database.read, anchors=[]),
        rules=FetchRules(frozenset()),
        working_keys=WorkingKeys(folder / "working"),
        index=folder / "index",
        waits=WAITS,
        now=lambda: NOW,
    )


# -- what a person does ------------------------------------------------------------------------


def act(database: Database, name: str, archive_id: str = "m1", *, reason: str = "asked") -> object:
    release = partial(acts.release, expire=timedelta(days=5))
    verbs = {"hold": acts.hold, "release": release, "retry": acts.retry, "bounce": acts.bounce}
    with database.write() as conn:
        job = take(conn, archive_id)
        return verbs[name](conn, job, by="anne", reason=reason, now=NOW + timedelta(seconds=5))


def states(database: Database) -> list[str]:
    with database.read() as conn:
        return [str(line.state) for line in view.lines(conn, states=tuple(State))]


def test_hold_and_release(database: Database) -> None:
    put(database, "m1")
    act(database, "hold")
    assert states(database) == ["held"]
    assert claim(database, now=T0 + 10**12) == []
    act(database, "release")
    assert states(database) == ["queued"]
    assert len(claim(database, now=T0 + 5 * SECOND)) == 1


def test_released_mail_is_decided_anew_and_has_its_full_time(database: Database) -> None:
    put(database, "m1")
    (job,) = claim(database)
    with database.write() as conn:
        add_groups(conn, [SealedGroup("g", "m1", "encrypted", "r", "ab", 3, b"xyz")])
    job.recipients[0].group_id = "g"
    give_back(database, job)
    act(database, "hold")
    act(database, "release")
    (again,) = claim(database, now=T0 + 5 * SECOND)
    assert again.recipients[0].group_id is None
    assert again.recipients[0].expires_at == T0 + (5 + 5 * 86400) * SECOND


def test_octets_that_were_sealed_and_never_left_do_not_stay(database: Database) -> None:
    """Signed in clear, taken out by a person, released under a stricter policy, sent encrypted."""
    put(database, "m1", at=T0 - 1)
    put(database, "m2")
    one, other = claim(database)
    with database.write() as conn:
        for job, name in ((one, "clear"), (other, "waits")):
            add_groups(conn, [SealedGroup(name, job.archive_id, "signed", "r", XYZ, 3, b"xyz")])
            job.recipients[0].group_id = name
    give_back(database, one, other)
    with database.write() as conn:
        acts.hold(conn, take(conn, "m1"), by="p", reason="", now=NOW)
        held = take(conn, "m1")
        acts.release(conn, held, by="p", reason="", now=NOW, expire=timedelta(days=1))
    (job,) = claim(database)
    with database.write() as conn:
        add_groups(conn, [SealedGroup("new", "m1", "encrypted", "r", XYZ, 3, b"xyz")])
    job.recipients[0].group_id = "new"
    job.recipients[0].state = State.DELIVERED

    give_back(database, job)

    with database.read() as conn:
        left = conn.execute(sa.select(groups.c.id).where(groups.c.emitted.is_not(None))).scalars()
        assert list(left) == ["waits"]


def test_retry_brings_the_next_attempt_forward(database: Database) -> None:
    put(database, "m1")
    (job,) = claim(database)
    give_back(database, job)
    assert claim(database, now=T0 + 5 * SECOND) == []
    act(database, "retry")
    assert len(claim(database, now=T0 + 5 * SECOND)) == 1


def test_bounce_fails_all_open_recipients_and_asks_for_a_notice(database: Database) -> None:
    put(database, "m1", "a@x.example", "b@x.example")
    (job,) = claim(database)
    job.recipients[0].state = State.DELIVERED
    give_back(database, job)
    drafts, failures = act(database, "bounce")  # type: ignore[misc]
    assert states(database) == ["delivered", "failed"]
    assert [f.recipient.address for f in failures] == ["b@x.example"]
    assert [(d.kind, d.fields["by"]) for d in drafts] == [("failed", b"anne")]


def test_a_bounce_without_a_reason_tells_the_sender_what_the_mail_waited_for(
    database: Database,
) -> None:
    put(database, "m1")
    (job,) = claim(database)
    words = "the certificate of {subject} was revoked"
    revoked = Problem("revocation.revoked", words, {"subject": "B"})
    job.recipients[0].reason = problem_to_json(revoked)
    give_back(database, job)
    _, failures = act(database, "bounce", reason="")  # type: ignore[misc]
    (failure,) = failures
    assert failure.problem.text == (
        "given up by anne; it waited because: the certificate of B was revoked"
    )
    put(database, "m2")
    _, failures = act(database, "bounce", "m2", reason="")  # type: ignore[misc]
    assert failures[0].problem.text == "given up by anne"


@pytest.mark.parametrize("verb", ["release", "hold", "retry", "bounce"])
def test_an_act_without_an_object_says_so(database: Database, verb: str) -> None:
    put(database, "m1")
    if verb != "release":
        act(database, "bounce")
    with pytest.raises(SceauError, match="no recipient is"):
        act(database, verb)


def test_a_message_in_work_is_left_alone(database: Database) -> None:
    put(database, "m1")
    claim(database)
    with pytest.raises(Busy, match="worked on"):
        act(database, "hold")


def test_an_unknown_message_is_a_key_error(database: Database) -> None:
    with pytest.raises(KeyError):
        act(database, "hold", "nothing")


def test_counts_name_all_states(database: Database) -> None:
    put(database, "m1", "a@x.example", "b@x.example")
    with database.read() as conn:
        found = view.counts(conn)
    assert found == {"queued": 2, "held": 0, "delivered": 0, "failed": 0, "cancelled": 0}


def test_while_the_clock_is_doubted_notices_alone_are_claimed(database: Database) -> None:
    put(database, "mail")
    put(database, "notice")
    with database.write() as conn:
        conn.execute(
            sa.update(messages).where(messages.c.archive_id == "notice").values(kind="notice")
        )
        taken = claim_rows(
            conn, worker="w", now=T0, limit=10, max_bytes=10**9, waits=WAITS, notices=True
        )
        assert [job.archive_id for job in taken] == ["notice"]
        assert something_due(conn, T0)
        assert not something_due(conn, T0, notices=True)


def test_what_is_put_back_was_never_tried(database: Database) -> None:
    put(database, "m")
    jobs = claim(database)
    with database.write() as conn:
        put_back(conn, jobs, now=T0 + SECOND)

    (again,) = claim(database, now=T0 + SECOND)
    assert [(r.attempts, r.next_attempt_at) for r in again.recipients] == [(1, T0 + 61 * SECOND)]


def test_a_confirmed_clock_gives_open_recipients_their_full_time(database: Database) -> None:
    put(database, "queued")
    put(database, "held")
    with database.write() as conn:
        acts.hold(conn, take(conn, "held"), by="p", reason="", now=NOW)
    year = T0 + 365 * 86400 * SECOND
    with database.write() as conn:
        begin_anew(conn, now=year, expire=timedelta(days=5))
        (queued,) = take(conn, "queued").recipients
        (held,) = take(conn, "held").recipients
    assert queued.expires_at == year + 5 * 86400 * SECOND
    assert held.held_at == year
