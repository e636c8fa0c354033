"""A real PostgreSQL server, run from a folder, for the demo, the tests and the bench.

It listens on a free loopback port and lets nobody in without the password. Nothing of the
system's own clusters is read or changed. Its durability is as in service: fsync is on.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg

from gateway.demo.process import NotStartedError, Program, free_port

FLOOR = 15
USER = "sceau"

_HOMES = Path("/usr/lib/postgresql")
_TRIES = 5
_RECOVERY = 60.0  # seconds
# initdb and postgres refuse root; these users own no file that matters, but for the first one's
# clusters, and a server in another folder does not look for those.
_ACCOUNTS = ("postgres", "nobody")


class Postgres:
    """A cluster in `folder`. Use as a context manager, or start and stop.

    settings: of postgresql.conf, beside those that the class needs.
    After `start`: `port`; `password_file` opens it as `USER`, who may do everything.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = 0
        self.password_file = folder / "password"
        self._data = folder / "data"
        self._settings = dict(settings or {})
        self._program: Program | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._program is None:
            raise NotStartedError("PostgreSQL is not running")
        return self._program.process.pid

    @property
    def password(self) -> str:
        """Of `USER`."""
        return self.password_file.read_text()

    def url(self, database: str) -> str:
        """As it stands in a configuration: without the password."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Make the cluster if there is none, and answer. After `stop`: again on the same port.

        Raises NotStartedError with the server's own words.
        """
        if self.port:
            self._launch()
            return
        self._prepare()
        for _ in range(_TRIES):
            self.port = free_port()
            try:
                self._launch()
            except NotStartedError as error:
                failure = error  # somebody else may have taken the port since
            else:
                return
        raise failure

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it; the data stays. SIGINT ends sessions in order, SIGQUIT as a crash would.

        What a slow disk keeps from ending in order ends as a crash: a server that is killed leaves
        processes behind, and no other one starts beside them.
        """
        if self._program is not None:
            process = self._program.process
            for number in (how, signal.SIGQUIT):
                if process.poll() is None:
                    process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                    break
            else:
                self._program.stop()
            self._program = None

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        """A session of the administrator, each statement its own transaction."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=USER,
            dbname=database,
            password=self.password,
            autocommit=True,
        )

    def create(self, database: str, *, copy_of: str = "template1") -> str:
        """A new database, empty or a copy of another one; its address."""
        with self.connect() as session:
            session.execute(f'CREATE DATABASE "{database}" TEMPLATE "{copy_of}"')
        return self.url(database)

    def drop(self, database: str) -> None:
        """Away with it, and with whoever uses it."""
        with self.connect() as session:
            session.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def _prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.password_file.touch(mode=0o600)
        self.password_file.write_text(secrets.token_urlsafe(24))
        account = _account()
        if account is not None:
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            os.chown(self.password_file, account.pw_uid, account.pw_gid)
        command: list[str | Path] = [program("initdb"), "--pgdata", self._data]
        command += ["--username", USER, "--pwfile", self.password_file, "--auth", "scram-sha-256"]
        command += ["--encoding", "UTF8", "--no-locale", "--no-instructions"]
        done = subprocess.run(
            [str(part) for part in as_account(command)],
            capture_output=True,
            check=False,
            cwd="/",
        )
        if done.returncode:
            raise NotStartedError(
                f"initdb failed: {done.stderr.decode('utf-8', 'replace')[-2000:]}"
            )

    def _launch(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "recovery_init_sync_method": "syncfs",  # one call, not one for each file
            **self._settings,
        }
        command: list[str | Path] = [program("postgres"), "-D", self._data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._program = Program(as_account(command), self.folder / "postgres.log")
        self._program.wait_for_port(self.port)
        self._wait_until_it_takes_sessions()

    def _wait_until_it_takes_sessions(self) -> None:
        """The port is open before recovery from a crash has ended."""
        assert self._program is not None
        deadline = time.monotonic() + _RECOVERY
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if self._program.process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                self.stop()
                raise NotStartedError(f"PostgreSQL takes no sessions: {error}") from error
            return


def as_account(command: Sequence[str | Path]) -> list[str | Path]:
    """The command, run as somebody whom PostgreSQL's programs accept."""
    account = _account()
    if account is None:
        return list(command)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NotStartedError("setpriv is missing: install the package util-linux")
    ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return [setpriv, *ids, *command]


def _account() -> pwd.struct_passwd | None:
    """Whose the server is when we are root; None: ours."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NotStartedError(f"PostgreSQL does not run as root, and there is no {_ACCOUNTS[0]}")


def program(name: str) -> Path:
    """One of PostgreSQL's own programs, of the newest version here. Raises NotStartedError."""
    found = {
        int(path.parent.parent.name): path
        for path in _HOMES.glob(f"[0-9]*/bin/{name}")
        if path.parent.parent.name.isdigit()
    }
    newest = max((number for number in found if number >= FLOOR), default=None)
    if newest is None:
        raise NotStartedError(
            f"{_HOMES} has no PostgreSQL {FLOOR} or newer: install the package postgresql-{FLOOR}"
        )
    return found[newest]
