"""What an administrator does to a PostgreSQL while the product uses it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.demo.postgres import USER, Postgres, as_account, program
from gateway.demo.process import free_port

_STANDBYS = "synchronous_standby_names"
_PATIENCE = 60.0  # seconds, with a server that is slow


def put(server: Postgres, name: str, value: str) -> None:
    """Set a setting of the whole server, in force on return."""
    with server.connect() as session:
        session.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        _reload(session, name, value)


@contextmanager
def setting(server: Postgres, name: str, value: str) -> Iterator[None]:
    """A setting of the whole server, in force; taken back at the end.

    Standbys that commits wait for must be none that are there.
    """
    put(server, name, value)
    try:
        _let_commits_wait(server, name, wait=True)
        yield
    finally:
        with server.connect() as session:
            session.execute(f"ALTER SYSTEM RESET {name}")
            (default,) = session.execute(
                "SELECT boot_val FROM pg_settings WHERE name = %s", (name,)
            ).fetchone()
            _reload(session, name, default or "")
        _let_commits_wait(server, name, wait=False)


def _let_commits_wait(server: Postgres, name: str, *, wait: bool) -> None:
    """Of standbys a server's checkpointer tells all, when it comes to it: it may be on the disk."""
    if name == _STANDBYS:
        until = time.monotonic() + _PATIENCE
        while _a_commit_waits(server) is not wait:
            assert time.monotonic() < until, name
            time.sleep(0.01)


def _a_commit_waits(server: Postgres) -> bool:
    """Whether a commit waits for a standby; it is let go."""
    waited = False
    with server.connect() as watching, server.connect() as writing:
        pid, raw = writing.info.backend_pid, writing.pgconn
        raw.send_query(b"SELECT pg_logical_emit_message(true, 'test', '')")
        while raw.is_busy():
            asked = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
            if watching.execute(asked, (pid,)).fetchone() == ("SyncRep",):
                waited = True
                watching.execute("SELECT pg_cancel_backend(%s)", (pid,))
            time.sleep(0.005)
            raw.consume_input()
        while raw.get_result() is not None:
            pass
    return waited


def _reload(session, name: str, value: str) -> None:
    session.execute("SELECT pg_reload_conf()")
    until = time.monotonic() + _PATIENCE
    while session.execute("SELECT current_setting(%s)", (name,)).fetchone() != (value,):
        assert time.monotonic() < until, name
        time.sleep(0.01)
    # The server tells its sessions one after the other, and nothing says when it has told all.
    time.sleep(0.1)


@contextmanager
def place_kept(server: Postgres) -> Iterator[None]:
    """Nobody else is given the port of a server that is stopped; itself can begin meanwhile."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", server.port))  # it does not listen: who says REUSEADDR may
        yield


def standby(primary: Postgres, folder: Path, name: str) -> Postgres:
    """A server that follows `primary` under this name; not started."""
    made = Postgres(folder)
    made.folder.mkdir()
    shutil.copy(primary.password_file, made.password_file)
    owner = primary.folder.stat()
    for path in (made.folder, made.password_file):
        os.chown(path, owner.st_uid, owner.st_gid)
    source = (
        f"host=127.0.0.1 port={primary.port} user={USER} password={primary.password} "
        f"application_name={name}"
    )
    command = [program("pg_basebackup"), "--pgdata", made.folder / "data", "--dbname", source]
    command += ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"]
    subprocess.run([str(part) for part in as_account(command)], check=True, cwd="/")
    made.port = free_port()
    return made


def sessions(server: Postgres, database: str, *, waiting_for: str = "") -> list[int]:
    """Process ids of other sessions in a database. waiting_for: only those that wait for this."""
    with server.connect() as session:
        rows = session.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND (%s = '' OR wait_event = %s)",
            (database, waiting_for, waiting_for),
        ).fetchall()
    return [pid for (pid,) in rows]


def wait_for_session(server: Postgres, database: str, waiting_for: str) -> int:
    """The one session that waits for this, once there is one."""
    until = time.monotonic() + _PATIENCE
    while not (found := sessions(server, database, waiting_for=waiting_for)):
        assert time.monotonic() < until, f"nobody waits for {waiting_for}"
        time.sleep(0.01)
    return found[0]


def cancel(server: Postgres, pid: int) -> None:
    """What a cancelled query does."""
    with server.connect() as session:
        session.execute("SELECT pg_cancel_backend(%s)", (pid,))


def terminate(server: Postgres, *pids: int) -> None:
    """End sessions; returns when they are gone."""
    with server.connect() as session:
        for pid in pids:
            session.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
