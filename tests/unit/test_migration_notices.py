"""Migration 0007 with mail in the queue."""

from __future__ import annotations

import time
from pathlib import Path

import migrations
from gateway.database import open_database
from gateway.queue.states import State
from gateway.queue.store.take import take

_MESSAGE = (
    "INSERT INTO messages (archive_id, org, kind, sender, author, parameters, sha256, size,"
    " accepted_at, due_at, crashes) VALUES ('m', 'o', 'mail', 'a@b.example', 'a@b.example', '{}',"
    " '00', 1, 1000, 1000, 0)"
)
_RECIPIENT = (
    "INSERT INTO recipients (archive_id, position, address, state, attempts, next_attempt_at,"
    " expires_at, reason, decision) VALUES ('m', {n}, '{state}@c.example', '{state}', 1, 1000,"
    " 2000, '', '')"
)


def test_mail_of_before_is_there_and_held_mail_has_its_full_time(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'x.db'}")
    with database.write() as conn:
        migrations.upgrade(conn, "0001")
        conn.exec_driver_sql(_MESSAGE)
        for n, state in enumerate(("queued", "held", "delivered")):
            conn.exec_driver_sql(_RECIPIENT.format(n=n, state=state))
    before = time.time_ns() // 1000
    with database.write() as conn:
        migrations.upgrade(conn)
    with database.write() as conn:
        job = take(conn, "m")
    database.close()
    queued, held, delivered = job.recipients
    assert (queued.notify, queued.orcpt, queued.told, queued.held_at) == ("", "", "", None)
    assert queued.state is State.QUEUED
    # Until now it was promised to stay: its time begins with the upgrade.
    assert held.held_at is not None
    assert before <= held.held_at <= time.time_ns() // 1000
    assert (delivered.state, delivered.held_at) == (State.DELIVERED, None)
