"""The disk of `tests.disk` forgets what was not synced: it can fail a program that is wrong."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.disk.replay import Before, Loss
from tests.disk.shim import Disk, compile_shim

STRICT = Loss()


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def disk(shim: Path, tmp_path: Path) -> Disk:
    (tmp_path / "root").mkdir()
    return Disk(shim, tmp_path / "root", tmp_path / "journal")


def run(disk: Disk, program: str, *, loss: Loss = STRICT, seed: int = 1) -> str:
    """Run a Python program in the folder, SIGKILL it at its end, cut the power; what it printed."""
    before = Before(disk.root, disk.root.with_name("before"))
    text = "import os, signal, sqlite3\n" + program + "\nos.kill(os.getpid(), signal.SIGKILL)"
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=disk.root,
        env={**os.environ, **disk.environment},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr.decode()
    before.cut_power(disk.journal, loss, random.Random(seed))
    disk.forget()
    return done.stdout.decode()


WRITE = """
def write(name, octets, sync=True):
    fd = os.open(name, os.O_WRONLY | os.O_CREAT, 0o640)
    os.write(fd, octets)
    if sync: os.fsync(fd)
    os.close(fd)
def sync(folder="."):
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
"""


def test_what_was_not_synced_is_gone(disk: Disk) -> None:
    run(disk, WRITE + 'write("old", b"old"); sync()')
    run(
        disk,
        WRITE
        + """
write("whole", b"a"); sync()
write("empty", b"never synced", sync=False); sync()
write("no-name", b"synced, but its name was not")
write("old", b"new", sync=False)
""",
    )
    assert {one.name: one.read_bytes() for one in disk.root.iterdir()} == {
        "old": b"old",
        "whole": b"a",
        "empty": b"",
    }
    assert (disk.root / "whole").stat().st_mode & 0o777 == 0o640


def test_what_was_synced_stays_whatever_is_drawn(disk: Disk) -> None:
    for seed in range(12):
        loss = Loss.drawn(random.Random(seed))
        run(disk, WRITE + f'write("{seed}", b"{seed}" * 3000); sync()', loss=loss, seed=seed)
        assert (disk.root / str(seed)).read_bytes() == str(seed).encode() * 3000


def test_what_was_not_synced_may_stay_or_be_torn(disk: Disk) -> None:
    sizes, torn = set(), False
    for seed in range(12):
        name = f"x{seed}"
        run(
            disk,
            WRITE + f'write("{name}", b"x" * 3000, sync=False)',
            loss=Loss("torn", "some"),
            seed=seed,
        )
        file = disk.root / name
        octets = file.read_bytes() if file.exists() else None
        sizes.add(None if octets is None else len(octets))
        torn = torn or bool(octets and b"\0" in octets)
    assert None in sizes
    assert 0 in sizes
    assert torn


def test_a_rename_is_whole_or_did_not_happen(disk: Disk) -> None:
    run(disk, WRITE + 'write("a", b"old"); os.mkdir("sub"); sync()')
    run(disk, WRITE + 'write("new", b"new"); sync(); os.rename("new", "a")')
    assert (disk.root / "a").read_bytes() == b"old"
    assert (disk.root / "new").read_bytes() == b"new"
    run(disk, WRITE + 'os.rename("new", "sub/a"); sync("sub")')
    assert (disk.root / "sub" / "a").read_bytes() == b"new"
    assert not (disk.root / "new").exists()
    run(disk, WRITE + 'os.unlink("sub/a"); os.rmdir("sub"); os.unlink("a")')
    assert (disk.root / "sub" / "a").read_bytes() == b"new", "the removal was not synced"
    run(disk, WRITE + 'os.unlink("a"); sync()')
    assert not (disk.root / "a").exists()


def test_a_failed_sync_is_no_promise_and_neither_is_the_next_one(disk: Disk) -> None:
    program = """
write("a", b"old"); sync()
fd = os.open("a", os.O_WRONLY)
os.write(fd, b"new")
for _ in range(3):
    try: os.fsync(fd); print("well")
    except OSError as error: print(error.errno)
"""
    with disk.sync_fails("*/a", after=1) as fault:
        said = run(disk, WRITE + program)
        assert fault.hits == 1
    assert said.split() == [str(errno.EIO), "well", "well"]
    assert (disk.root / "a").read_bytes() == b"old"


def test_a_full_disk_takes_what_fits_and_no_more(disk: Disk) -> None:
    program = """
fd = os.open("a", os.O_WRONLY | os.O_CREAT)
print(os.write(fd, b"x" * 100))
for attempt in (lambda: os.write(fd, b"x"), lambda: os.posix_fallocate(fd, 0, 500),
                lambda: os.open("b", os.O_CREAT), lambda: os.mkdir("c"), lambda: os.write(1, b"")):
    try: attempt(); print("well")
    except OSError as error: print(error.errno)
"""
    with disk.full(f"{disk.root}/*", after=60, code=errno.EDQUOT):
        said = run(disk, WRITE + program)
    assert said.split() == ["59", *[str(errno.EDQUOT)] * 4, "well"]


@pytest.mark.parametrize(("synchronous", "there"), [("FULL", 30), ("OFF", 0)])
def test_sqlite_keeps_its_word_only_where_it_syncs(
    disk: Disk, synchronous: str, there: int
) -> None:
    """A gateway with synchronous=OFF would be caught: its commits are gone."""
    open_it = """
db = sqlite3.connect("x.db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
"""
    run(disk, open_it + 'db.execute("CREATE TABLE t (n)"); db.execute("PRAGMA wal_checkpoint")')
    program = f"""
db.execute("PRAGMA synchronous={synchronous}")
for n in range(30): db.execute("INSERT INTO t VALUES (?)", (n,))
"""
    run(disk, open_it + program)
    said = run(
        disk, open_it + 'print(db.execute("SELECT count(*) FROM t").fetchone()[0], flush=True)'
    )
    assert int(said) == there
