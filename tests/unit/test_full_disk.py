"""No room, and syncs that fail, below the parts that have to bear it."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

import migrations
from archive.appender import Appender
from archive.errors import AppenderBroken
from archive.store import create_log
from gateway.database import open_database
from gateway.database.patience import BRIEF, patience
from gateway.smtp import replies
from tests.disk.replay import Before, Loss
from tests.disk.shim import Disk, compile_shim
from tests.unit.archive_world import MOMENT, ORIGIN


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def disk(shim: Path, tmp_path: Path) -> Disk:
    (tmp_path / "root").mkdir()
    return Disk(shim, tmp_path / "root", tmp_path / "journal")


def run(disk: Disk, program: str) -> str:
    """A Python program in the folder; what it printed."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=disk.root,
        env={**os.environ, **disk.environment, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        check=True,
        text=True,
    ).stdout


COMMITS = """
from pathlib import Path
import sqlalchemy as sa
from tests.disk.shim import Disk
from gateway.database.sqlite import open_sqlite
from gateway.database.sqlite_errors import is_sick, no_room
database = open_sqlite(Path("x.db"), checkpoint=False)
with database.write() as conn:
    conn.exec_driver_sql("CREATE TABLE t (n INTEGER, b BLOB)")
disk = Disk.__new__(Disk)
disk.journal = Path("../journal")
def attempt(n):
    with database.write() as conn:
        for _ in range(3):
            conn.exec_driver_sql("INSERT INTO t VALUES (?, zeroblob(5000))", (n,))
def count(n):
    with database.read() as conn:
        return conn.exec_driver_sql("SELECT count(*) FROM t WHERE n = ?", (n,)).scalar()
"""


def test_a_commit_without_room_leaves_nothing_wherever_it_ends(disk: Disk) -> None:
    """What `doubtful` says of it: the transaction is gone, here, for others, and after a crash."""
    program = (
        COMMITS
        + """
failed = []
for n, fits in enumerate(range(0, 26_000, 1_300)):
    with disk.full("*/x.db-wal", after=fits):
        try:
            attempt(n)
        except sa.exc.OperationalError as error:
            assert no_room(error) and not is_sick(error), error
            assert not database.doubtful(error, True)
            failed.append(n)
    assert count(n) == (0 if n in failed else 3)
attempt(1000)
import json, os, signal
print(json.dumps(failed), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    before = Before(disk.root, disk.root.with_name("before"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=disk.root,
        env={**os.environ, **disk.environment, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == -9, done.stderr
    failed = json.loads(done.stdout)
    assert len(failed) > 8
    assert failed != list(range(20)), "some were to fit"
    before.cut_power(disk.journal, Loss("torn", "some"), random.Random(3))
    from pysqlite3 import dbapi2

    connection = dbapi2.connect(disk.root / "x.db")
    found = dict(connection.execute("SELECT n, count(*) FROM t GROUP BY n").fetchall())
    connection.close()
    assert found == {n: 3 for n in [*range(20), 1000] if n not in failed}


def test_a_failed_sync_is_doubtful_at_the_end_and_before_it(disk: Disk) -> None:
    program = (
        COMMITS
        + """
attempt(1)
with disk.sync_fails("*/x.db-wal"):
    try:
        attempt(2)
    except sa.exc.OperationalError as error:
        print(is_sick(error), no_room(error), database.doubtful(error, False))
with disk.sync_fails("*/x.db"):
    try:
        database.checkpoint()
    except sa.exc.OperationalError as error:
        print(is_sick(error), no_room(error), database.doubtful(error, False))
"""
    )
    assert run(disk, program).split() == ["True", "False", "True"] * 2


class Driver(Exception):
    """As the driver of SQLite raises it."""

    def __init__(self, code: int) -> None:
        super().__init__("the driver's text")
        self.sqlite_errorcode = code


FULL, SYNC_FAILED, BUSY = Driver(13), Driver(10 | 4 << 8), Driver(5)


def raised(cause: Exception) -> sa.exc.OperationalError:
    return sa.exc.OperationalError("COMMIT", None, cause)


@pytest.mark.parametrize(
    ("fault", "at_end", "broken"),
    [(FULL, True, False), (FULL, False, False), (SYNC_FAILED, True, True),
     (SYNC_FAILED, False, True), (BUSY, True, True), (BUSY, False, False)],
)  # fmt: skip
def test_the_appender_goes_on_after_a_full_disk_and_ends_where_it_cannot_know(
    tmp_path: Path, fault: Driver, *, at_end: bool, broken: bool
) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'sceau.db'}", checkpoint=True)

    @contextmanager
    def transaction() -> Iterator[sa.Connection]:
        with database.write() as conn:
            yield conn
            if at_end:
                raise raised(fault)

    def also(_connection: sa.Connection) -> None:
        if not at_end:
            raise raised(fault)

    with database.write() as conn:
        migrations.upgrade(conn)
        create_log(conn, ORIGIN)
    appender = Appender(transaction, origin=ORIGIN, now=lambda: MOMENT, doubtful=database.doubtful)
    with pytest.raises(AppenderBroken if broken else sa.exc.OperationalError):
        appender.submit([], also).result(20)
    assert (appender.broken is not None) is broken
    appender.close()
    database.close()


def test_a_worker_waits_for_room_and_an_intake_tells_its_client() -> None:
    assert patience(BRIEF)(raised(FULL), 1) is None
    waits = patience(BRIEF, for_room=True)
    assert {waits(raised(FULL), tries) for tries in (1, 2, 1000)} == {1.0}
    assert waits(raised(SYNC_FAILED), 1) is None


def test_what_a_client_is_told_of_a_full_disk() -> None:
    wrapped = RuntimeError("no key")
    wrapped.__cause__ = OSError(errno.EDQUOT, "Disk quota exceeded")
    for error in (raised(FULL), wrapped, OSError(errno.ENOSPC, "No space left on device")):
        assert replies.reply_for(error, "ab12") == (
            "452 4.3.1 Insufficient system storage, try again later (id ab12)"
        )
    for error in (raised(SYNC_FAILED), OSError(errno.EIO, "Input/output error")):
        assert replies.reply_for(error, "ab12").startswith("451 4.3.0 ")


def test_a_disk_that_takes_nothing_is_found_out(disk: Disk) -> None:
    program = """
from pathlib import Path
from gateway.diskprobe import refusing
print([why for _, why in refusing([Path("."), Path("gone")])])
"""
    gone = "No such file or directory"
    assert run(disk, program) == f"['{gone}']\n"
    with disk.full("*/root/*", code=errno.EDQUOT):
        assert run(disk, program) == f"['Disk quota exceeded', '{gone}']\n"
    with disk.sync_fails("*/root/.sceau-probe-*"):
        assert run(disk, program) == f"['Input/output error', '{gone}']\n"
    assert not list(disk.root.iterdir())


def test_log_lines_that_do_not_fit_are_counted_and_hurt_nobody(disk: Disk) -> None:
    program = """
import os, sys
os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
import structlog
from gateway import maillog
from tests.disk.shim import Disk
from pathlib import Path
maillog.configure(json=True, level="info")
log = structlog.get_logger()
disk = Disk.__new__(Disk)
disk.journal = Path("../journal")
log.info("one")
with disk.full("*/log", after=40):
    for n in range(5):
        log.info("lost")
log.info("two")
"""
    run(disk, program)
    lines = (disk.root / "log").read_bytes().split(b"\n")
    told = [json.loads(line) for line in lines if line.endswith(b"}")]
    assert [one["event"] for one in told] == ["one", "log_lines_lost", "two"]
    assert told[1]["number"] == 5


def test_a_new_installation_outlives_a_power_cut(disk: Disk) -> None:
    """All of it is there, for mail is sealed to its keys from the first minute on."""
    before = Before(disk.root, disk.root.with_name("before"))
    program = (
        "import sys; from gateway.cli import main; sys.exit(main(['init', 'sceau', '--json']))"
    )
    run(disk, program)
    made = _content(disk.root)
    lost = before.cut_power(disk.journal, Loss(), random.Random(1))
    found = _content(disk.root)
    volatile = {"sceau/data/sceau.db-wal", "sceau/data/sceau.db-shm"}
    assert found.keys() - volatile == made.keys() - volatile
    assert {name for name in found.keys() - volatile if found[name] != made[name]} == set()
    assert lost.names == 0


def _content(root: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(root)): one.read_bytes() for one in root.rglob("*") if one.is_file()
    }


def test_a_working_key_of_another_process_is_durable_before_it_is_used(disk: Disk) -> None:
    """One process has linked a new key and was killed before it synced the name; another one
    seals with that key, and the power goes."""
    make = """
import os, signal
from datetime import UTC, datetime
from pathlib import Path
from archive import working
keys = working.WorkingKeys(Path("working"))
"""
    moment = "keys.current(datetime(2026, 11, 22, tzinfo=UTC))"
    run(disk, make)
    before = Before(disk.root, disk.root.with_name("before"))
    disk.forget()
    run(disk, make + f"keys._sync_folder = lambda: os._exit(0)\n{moment}")
    (made,) = (disk.root / "working").glob("*.key")
    octets = made.read_bytes()
    run(disk, make + moment)
    before.cut_power(disk.journal, Loss(), random.Random(1))
    assert made.read_bytes() == octets
