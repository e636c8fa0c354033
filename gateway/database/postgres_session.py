"""What every session with PostgreSQL begins with: our settings, and a look at the server's.

All of it in one question, because it comes before the first statement of each connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from gateway.database.base import SCHEMAS, DatabaseUnsafe

# The oldest major version that the tests run on, and that its makers still mend (2026).
FLOOR = 15

# pg_temp last: otherwise it is looked through first, and a temporary table could stand in for one
# of ours.
_SEARCH_PATH = ", ".join((*SCHEMAS, "pg_temp"))

# A machine that freezes or drops off the network while it holds the head of the log would stop
# all the others until TCP gives up, which takes hours. Between two statements of a transaction
# ours do some milliseconds of work.
_IDLE_IN_TRANSACTION = "10s"
# Longer than that: whoever waits behind a frozen one goes on when it is over. Later, the
# transaction is rolled back and tried again, or told to the client as 451.
_LOCK_WAIT = "12s"

_LOOK = """
SELECT current_setting('synchronous_commit'), current_setting('fsync'),
       current_setting('full_page_writes'), current_setting('server_version_num')::int,
       pg_is_in_recovery(), current_setting('default_transaction_read_only'),
       current_setting('server_version'),
       set_config('search_path', %(path)s, false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
                  WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
       set_config('client_min_messages', 'warning', false),
       set_config('lock_timeout', %(lock)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle)s, false),
       set_config('enable_seqscan', coalesce(%(scan)s, current_setting('enable_seqscan')), false),
       set_config('jit', coalesce(%(scan)s, current_setting('jit')), false)
"""


def begin_session(connection: psycopg.Connection[Any], name: str, *, writing: bool) -> None:
    """Set up a new connection in autocommit. name: of the database, for people.

    Commits of this session wait for the disk whatever the server, the database or the role say,
    and for a synchronous standby where there is one. `off` is refused all the same: whoever wrote
    it believes something else about this database than we do, and other programs that write to
    it, or a restored copy of the role, would act on it.

    Raises DatabaseUnsafe.
    """
    found = connection.execute(*look(writing=writing)).fetchone()
    assert found is not None
    judge(found, name, writing=writing)


def look(*, writing: bool) -> tuple[str, dict[str, str | None]]:
    """A statement that sets up the session, with its values; `judge` its one row."""
    # A long look at the archive waits for nobody and holds nothing that others wait for.
    idle = _IDLE_IN_TRANSACTION if writing else "0"
    # Who writes asks for single rows by their keys. A table that the server has not counted yet,
    # or counted while it was empty, looks to it as if it were read quickest from end to end: its
    # plan is kept, and the table fills up. A statement that has no index goes on to work, and is
    # not to be compiled for it. Who reads has what the server says.
    scan = "off" if writing else None
    return _LOOK, {"path": _SEARCH_PATH, "lock": _LOCK_WAIT, "idle": idle, "scan": scan}


def judge(found: Sequence[Any], name: str, *, writing: bool) -> None:
    """Raise DatabaseUnsafe for a server on which a commit is worth nothing."""
    synchronous, fsync, full_pages, number, standby, read_only, version = found[:7]
    facts = {"name": name, "version": version}
    if number // 10000 < FLOOR:
        raise DatabaseUnsafe(
            "{name}: PostgreSQL {version} is too old",
            hint="PostgreSQL {floor} or newer is needed",
            facts={**facts, "floor": str(FLOOR)},
        )
    for setting, value in (
        ("fsync", fsync),
        ("full_page_writes", full_pages),
        ("synchronous_commit", synchronous),
    ):
        if value == "off":
            raise DatabaseUnsafe(
                "{name}: {setting} is off: mail that was acknowledged would be lost in a crash",
                hint="set {setting} = on in postgresql.conf, and take another value away from the "
                "role and the database (ALTER ROLE … RESET {setting})",
                facts={**facts, "setting": setting},
            )
    if writing and (standby or read_only == "on"):
        raise DatabaseUnsafe(
            "{name}: this PostgreSQL takes no writes (a standby, or read only)",
            hint="name the primary; with several hosts in the address it is found by itself",
            facts=facts,
        )
