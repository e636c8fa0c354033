"""The database: there, of this version, whole at its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from archive.entry import decode
from archive.reading import head, read_raw
from gateway.check.finding import Finding, error, good, warning
from gateway.check.server import check_server, check_working_keys
from gateway.wiring import Wiring

# A write-ahead log grows to this size only if nothing moves it into the database.
_LONG_WAL = 1_000_000_000


def database(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Reachable, with the tables of this program, of the log that is configured."""
    database = wiring.database
    with database.read() as conn:
        tip = head(conn)
        driver = conn.dialect.name
        server = ".".join(map(str, conn.dialect.server_version_info or ()))
    if tip.origin != wiring.config.archive.origin:
        yield error(
            "database",
            "database.origin",
            "archive.origin is {configured}, but the database holds the log {found}",
            meaning="sceau serve does not start",
            advice="the origin never changes: write the one the log was begun with",
            configured=wiring.config.archive.origin,
            found=tip.origin,
        )
        return
    yield good(
        "database",
        "{path} ({driver} {version}): {entries} log entries; every commit is synced to disk before "
        "mail is acknowledged",
        path=database.name,
        driver=driver,
        version=server,
        entries=str(tip.size),
    )
    yield from check_server(database)
    yield from check_working_keys(database, wiring.working_keys)
    if database.shared:
        return
    wal = Path(database.name + "-wal")
    if wal.exists() and (size := wal.stat().st_size) > _LONG_WAL:
        yield warning(
            "database",
            "database.wal",
            "{file} has {size} MB",
            meaning="the keeper does not get it moved into the database, and it fills the disk",
            advice="look for keeper_fault in the log, and for a command that has read for hours",
            file=str(wal),
            size=str(size // 1_000_000),
        )


def tail(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """The log's last entry is there and is the one that the next will follow."""
    with wiring.database.read() as conn:
        tip = head(conn)
        rows = list(read_raw(conn, tip.size - 1, limit=1)) if tip.size else []
    if not tip.size:
        yield good("log", "the log is empty")
        return
    if not rows or hashlib.sha256(rows[0][2]).hexdigest() != tip.prev:
        yield error(
            "log",
            "log.tail",
            "the last entry of the log (number {index}) is not the one its head names",
            meaning="the archive is damaged; nothing can be appended that verifies",
            advice="stop sceau serve; sceau archive verify tells where the damage begins",
            index=str(tip.size - 1),
        )
        return
    last = decode(rows[0][2])
    yield good(
        "log",
        "its last entry is number {index} ({kind}), of {time}",
        index=str(last.index),
        kind=last.kind,
        time=last.time.strftime("%Y-%m-%d %H:%M:%S +00:00"),
    )
