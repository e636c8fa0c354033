"""What `sceau check` says of the database: what a 250 is worth on it, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from archive.models import log_working_wraps
from archive.working import WorkingKeys
from gateway.check.finding import Finding, error, good, unknown, warning
from gateway.database import Database

_SETTINGS = sa.text(
    "SELECT current_setting('server_version'), current_setting('fsync'),"
    " current_setting('full_page_writes'), current_setting('synchronous_commit'),"
    " current_setting('synchronous_standby_names')"
)
_STANDBYS = sa.text(
    "SELECT application_name, sync_state, state,"
    " COALESCE(pg_wal_lsn_diff(sent_lsn, replay_lsn), 0)::bigint AS behind"
    " FROM pg_stat_replication ORDER BY application_name"
)


def check_server(database: Database) -> Iterator[Finding]:
    """Findings on a PostgreSQL server; none on SQLite, whose profile is checked when it opens."""
    if not database.shared:
        return
    with database.write_beside() as conn:
        version, fsync, full_pages, commit, names = conn.execute(_SETTINGS).one()
        standbys = conn.execute(_STANDBYS).all()
    yield good(
        "database",
        "PostgreSQL {version}: fsync is {fsync} (a commit is on the disk when mail is "
        "acknowledged), full_page_writes is {full_pages} (a power cut tears no page), "
        "synchronous_commit is {commit} in our sessions (a 250 waits for that)",
        version=version,
        fsync=fsync,
        full_pages=full_pages,
        commit=commit,
    )
    yield from _standbys(names, [tuple(row) for row in standbys])


def _standbys(names: str, standbys: list[tuple[str, str | None, str, int]]) -> Iterator[Finding]:
    if any(row[1] is None for row in standbys):
        yield unknown(
            "standby",
            "standby.hidden",
            "this role may not see which standbys there are",
            advice="GRANT pg_monitor TO the role of database.url",
        )
        return
    together = [row for row in standbys if row[1] in ("sync", "quorum")]
    if not names:
        yield warning(
            "standby",
            "standby.none",
            "no synchronous standby: mail that was acknowledged lies on one disk only. When that "
            "is lost, or a standby takes over, the last mails are gone and nobody knows of them",
            advice="a second PostgreSQL by streaming replication, named in "
            "synchronous_standby_names (docs/operations.md)",
        )
    elif not together:
        yield error(
            "standby",
            "standby.away",
            "synchronous_standby_names is {names}, and none of them is connected: every commit "
            "waits, and no mail is acknowledged",
            names=names,
            advice="start the standby; or take it out of synchronous_standby_names, which gives up "
            "the promise that mail is on two disks",
        )
    for name, state, phase, behind in standbys:
        facts = {"name": name, "state": phase, "behind": f"{behind // 1000}"}
        if state in ("sync", "quorum"):
            template = "{name}: synchronous; mail is on its disk too when it is acknowledged"
        else:
            template = "{name}: asynchronous ({state}, {behind} kB behind), no part of the promise"
        yield good("standby", template, **facts)


def check_working_keys(database: Database, keys: WorkingKeys) -> Iterator[Finding]:
    """Whether this machine can open all mail in flight, also what another one has taken."""
    with database.read() as conn:
        holders = set(conn.execute(sa.select(log_working_wraps.c.holder).distinct()).scalars())
    missing = sorted(holders - set(keys.ids()))
    if missing:
        yield error(
            "working keys",
            "keys.missing",
            "mail in flight is sealed to {keys}, which is not in archive.working_keys here: it "
            "cannot be delivered from this machine",
            keys=", ".join(missing),
            advice="the folder must be the same on all machines (docs/operations.md); a key that "
            "is lost leaves that mail to the archive authority",
        )
