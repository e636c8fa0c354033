"""SQLite: each connection syncs each commit, whatever was done to the file before."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from pysqlite3 import dbapi2

from gateway.database import DatabaseUnsafe, open_database, sqlite


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
