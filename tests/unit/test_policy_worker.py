"""Copies, releases and policies in the database: what a worker stores and finds again."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

import migrations
from archive.store import create_log, history
from gateway import clock
from gateway.database import Database, open_database
from gateway.policy import Encryption, Pattern, Policy, Rule, Sign, WithoutCertificate
from gateway.policy.outcomes import Action
from gateway.policylog import last_recorded, policy_drafts, policy_log_id, record_policy
from gateway.queue import acts, view
from gateway.queue.states import State
from gateway.queue.store.take import take
from tests.unit.test_worker import BOB, CARL, House, expire, house

__all__ = ["expire", "house"]  # fixtures

ANYONE = (Pattern("*"),)


def rule(name: str, **said: object) -> Rule:
    return Rule(name, ANYONE, ANYONE, Encryption.NEVER, WithoutCertificate.HOLD, Sign.NONE,
                **said)  # type: ignore[arg-type]  # fmt: skip


def use(house: House, *rules: Rule) -> None:
    object.__setattr__(house.worker.outbound, "policy", Policy(rules))


def lines(house: House, archive_id: str) -> dict[str, view.Line]:
    with house.database.read() as conn:
        return {line.recipient: line for line in view.lines(conn, archive_id=archive_id)}


def test_a_copy_is_stored_delivered_and_stands_in_the_log(house: House) -> None:
    use(house, rule("watched", copy=(CARL,)))

    async def run() -> str:
        mail = await house.take("fine", BOB)
        await house.work_until(BOB, CARL)
        return mail

    mail = asyncio.run(run())
    found = lines(house, mail)
    assert {line.state for line in found.values()} == {State.DELIVERED}
    assert found[CARL].decision["copied-by"] == "watched"
    with house.database.write() as conn:
        kinds = [record.entry.kind for record in history(conn, mail)]
        stored = take(conn, mail)
    assert kinds.count("copied") == 1
    assert kinds.count("delivered") == 2
    assert [(r.address, r.copied_by) for r in stored.recipients] == [(BOB, ""), (CARL, "watched")]


def test_a_copy_that_fails_is_not_told_to_the_sender(house: House) -> None:
    use(house, rule("watched", copy=("nobody@justice.example",)))

    class Picky(type(house.sink)):  # type: ignore[misc]
        async def deliver(self, hop, mail_from, recipients, data, **more):  # type: ignore[no-untyped-def]
            (outcome,) = await super().deliver(hop, mail_from, recipients, data, **more)
            if recipients == ["nobody@justice.example"]:
                from gateway.smtp.client import Outcome, Result

                return [Outcome(recipients[0], Result.PERMANENT, 550, "5.1.1", "no", "sink")]
            return [outcome]

    house.sink = Picky()
    house.worker.deliverer = house.sink

    async def run() -> str:
        mail = await house.take("fine", BOB)
        await house.work_until(BOB, "nobody@justice.example")  # and no notice to Anna
        return mail

    mail = asyncio.run(run())
    assert lines(house, mail)["nobody@justice.example"].state is State.FAILED
    with house.database.read() as conn:
        everything = view.lines(conn, states=tuple(State))
    assert {line.archive_id for line in everything} == {mail}


def test_mail_released_from_a_rule_is_not_held_by_it_again(house: House) -> None:
    use(house, rule("look", action=Action.HOLD, text="look at it"))

    async def held() -> str:
        mail = await house.take("fine", BOB)
        stop = asyncio.Event()
        run = asyncio.create_task(house.worker.run(stop))
        while house.line(mail).state is not State.HELD:
            await asyncio.sleep(0.01)
        stop.set()
        await run
        return mail

    mail = asyncio.run(held())
    with house.database.write() as conn:
        job = take(conn, mail)
        acts.release(conn, job, by="anna", reason="", now=clock.now(), expire=timedelta(days=1))
    house.worker.deliverer = house.sink

    asyncio.run(house.work_until(BOB, "anna@interieur.example"))  # who was told that it is held
    assert house.line(mail).state is State.DELIVERED
    with house.database.write() as conn:
        assert take(conn, mail).recipients[0].released == "look"


@pytest.fixture
def empty(tmp_path: Path) -> Database:
    database = open_database(f"sqlite:///{tmp_path / 'log.db'}")
    with database.write() as conn:
        migrations.upgrade(conn)
        create_log(conn, "sceau.int.example/log")
    return database


def test_a_policy_is_recorded_when_it_is_another_than_the_last(empty: Database) -> None:
    from archive.store import append

    def write(drafts: object) -> None:
        with empty.write() as conn:
            append(conn, drafts, origin="sceau.int.example/log", now=clock.now())  # type: ignore[arg-type]

    one, two = Policy([rule("a")]), Policy([rule("a", copy=(BOB,))])
    again = Policy([rule("a")])
    done = [
        record_policy(policy, org="int", by="root", read=empty.read, append=write)
        for policy in (one, again, two, one)
    ]

    assert done == [True, False, True, True]
    with empty.read() as conn:
        records = history(conn, policy_log_id("int"))
        assert last_recorded(conn, "int") == one.sha256
        assert last_recorded(conn, "elsewhere") == ""
    assert [record.entry.kind for record in records] == ["policy"] * 3
    assert [record.value("before.sha256") for record in records] == [
        b"", one.sha256.encode(), two.sha256.encode()
    ]  # fmt: skip
    first = json.loads(records[0].value("policy") or b"")
    assert first["organisation"] == [
        {"name": "a", "encryption": "never", "sign": "none", "without_certificate": "hold"}
    ]
    assert records[0].value("by") == b"root"
    empty.close()


def test_the_same_rules_have_the_same_hash_and_others_have_not() -> None:
    some = [rule("a"), rule("a", tls=None, route="x"), rule("b"), rule("a", final=True)]
    assert len({Policy([one]).sha256 for one in some}) == len(some)
    listed = Rule("a", (Pattern("@x.example", of="press"),), ANYONE, Encryption.NEVER)
    plain = Rule("a", (Pattern("@x.example"),), ANYONE, Encryption.NEVER)
    changed = Rule("a", (Pattern("@y.example", of="press"),), ANYONE, Encryption.NEVER)
    assert len({Policy([one]).sha256 for one in (listed, plain, changed)}) == 3
    assert policy_drafts(Policy([]), last=Policy([]).sha256, org="x", by="y") == []


def test_a_database_with_mail_in_it_is_upgraded(tmp_path: Path) -> None:
    """Queued mail, and what was sealed before, have neither copies nor demands."""
    database = open_database(f"sqlite:///{tmp_path / 'old.db'}")
    with database.write() as conn:
        migrations.upgrade(conn, "0001")
        conn.exec_driver_sql(
            "INSERT INTO messages (archive_id, org, kind, sender, author, parameters, sha256, "
            "size, accepted_at, due_at, crashes) "
            "VALUES ('a', 'o', 'mail', 's@x', 's@x', '{}', '', 1, 1, 1, 0)"
        )
        conn.exec_driver_sql(
            "INSERT INTO sealed_groups (id, archive_id, treatment, route, sha256, size, emitted) "
            "VALUES ('g', 'a', 'signed', 'r', "
            "'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb', 1, 'a')"
        )
        conn.exec_driver_sql(
            "INSERT INTO recipients (archive_id, position, address, state, group_id, attempts, "
            "next_attempt_at, expires_at, reason, decision) "
            "VALUES ('a', 0, 'r@x', 'queued', 'g', 1, 1, 9, '', '')"
        )
    with database.write() as conn:
        migrations.upgrade(conn)
    with database.read() as conn:
        (recipient,) = take(conn, "a").recipients
        assert (recipient.address, recipient.copied_by, recipient.released) == ("r@x", "", "")
        tls = conn.execute(sa.text("SELECT tls FROM sealed_groups")).scalar()
    assert tls == ""
    database.close()
