"""Revision 0003 on a database in use: mail keeps its place, and new mail may lie outside."""

from __future__ import annotations

from pathlib import Path

import migrations
from archive import store
from archive.reading import load_sealed
from archive.seal import open_content
from gateway.database import open_database
from tests.unit.archive_world import MAIL, ORIGIN, World


def test_mail_from_before_is_whole_and_new_mail_may_lie_outside(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with World(tmp_path) as world:
        before = world.database
        world.database = open_database(f"sqlite:///{tmp_path}/old/sceau.db", checkpoint=True)
        before.close()
        with world.database.write() as conn:
            migrations.upgrade(conn, "0001")
            store.create_log(conn, ORIGIN)
        old = world.fill(2)
        with world.database.read() as conn:
            contents = conn.exec_driver_sql("SELECT * FROM log_contents ORDER BY 1").all()
        with world.database.write() as conn:
            migrations.upgrade(conn)
        with world.database.read() as conn:
            assert migrations.current(conn) == migrations.HEAD
            assert conn.exec_driver_sql("SELECT * FROM log_contents ORDER BY 1").all() == contents
            assert open_content(load_sealed(conn, old[1]), world.authority) == MAIL + b"1"
        world.fill(2, outside=1)
        report = world.verify(open_with=world.authority)
        assert (report.status, report.opened, report.entries) == ("valid", 4, 12)
