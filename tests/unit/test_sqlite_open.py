"""SQLite: each connection syncs each commit, whatever was done to the file before."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from pysqlite3 import dbapi2

from gateway.database import DatabaseUnsafe, open_database, sqlite
from gateway.database.sqlite import SqliteDatabase


def test_commits_are_synced_whatever_others_have_set(tmp_path: Path) -> None:
    file = tmp_path / "sceau.db"
    other = dbapi2.connect(str(file))
    other.execute("PRAGMA journal_mode=TRUNCATE")
    other.execute("PRAGMA synchronous=OFF")
    other.execute("CREATE TABLE t (x)")
    other.commit()
    other.close()
    database = open_database(f"sqlite:///{file}", existing=True)
    for way in (database.write, database.read, database.write_beside):
        with way() as conn:
            assert conn.execute(sa.text("PRAGMA synchronous")).scalar() == 2  # FULL
            assert conn.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
    database.close()


def test_a_place_without_a_write_ahead_log_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network disk: there is none, or it cannot be shared."""
    monkeypatch.chdir(tmp_path)
    database = open_database("sqlite:///:memory:")
    with pytest.raises(DatabaseUnsafe, match="commits could be lost"), database.write():
        pass
    database.close()


def test_an_old_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "SQLITE_FLOOR", (4, 0, 0))
    with pytest.raises(DatabaseUnsafe, match="can corrupt"):
        open_database(f"sqlite:///{tmp_path / 'sceau.db'}")


@pytest.fixture
def busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteDatabase]:
    """A database whose log is long at 50 pages."""
    monkeypatch.setattr(sqlite, "_LONG", 50)
    database = sqlite.open_sqlite(tmp_path / "sceau.db", checkpoint=False)
    with database.write() as conn:
        conn.execute(sa.text("CREATE TABLE t (x)"))
    yield database
    database.close()


def written(database: SqliteDatabase) -> int:
    """Octets of the write-ahead log after a commit of 25 pages more."""
    with database.write() as conn:
        conn.execute(sa.text("INSERT INTO t VALUES (randomblob(100000))"))
    return database.path.with_name(database.path.name + "-wal").stat().st_size


def test_the_log_of_writers_who_never_rest_does_not_grow(
    busy: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody reads an older state at each checkpoint: never is all of the log moved at once."""
    # The reader is gone in time, also where the machine lets its thread run late.
    monkeypatch.setattr(sqlite, "_WRITERS_WAIT", 20_000)
    sizes = []
    for _ in range(20):
        with ExitStack() as reader:
            conn = reader.enter_context(busy.read())
            conn.execute(sa.text("SELECT count(*) FROM t")).scalar()
            sizes.append(written(busy))
            leaving = threading.Timer(0.02, reader.pop_all().close)
            leaving.start()
            busy.checkpoint()
            leaving.join()
    assert max(sizes) < 5 * 100_000


def test_a_reader_who_stays_does_not_stop_the_writers_again_and_again(
    busy: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_WRITERS_WAIT", 10)
    stopped: list[int] = []
    begin_anew = busy._begin_anew
    monkeypatch.setattr(
        busy, "_begin_anew", lambda *args: (stopped.append(args[1]), begin_anew(*args))
    )
    with busy.read() as conn:
        assert conn.execute(sa.text("SELECT count(*) FROM t")).scalar() == 0
        for _ in range(20):
            written(busy)
            busy.checkpoint()
        assert 3 <= len(stopped) <= 4, "500 pages: at 50, 100, 200 and 400"
        assert conn.execute(sa.text("SELECT count(*) FROM t")).scalar() == 0
    busy.checkpoint()
    long = written(busy)
    for _ in range(5):
        assert written(busy) == long, "begun anew, the log is written over from its start"
