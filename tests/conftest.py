"""Fixtures that many tests share.

What matters to the database runs on both: a test that takes `database` runs twice. One PostgreSQL
serves a whole session of tests (of one process), a copy of a finished database each test.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

import migrations
from archive.store import create_log
from gateway.database import Database, open_database
from gateway.demo.postgres import Postgres

ORIGIN = "test.example/archive"
BOTH = ("sqlite", "postgresql")

_number = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--database postgresql`: the gateways of the flows have their databases there."""
    parser.addoption("--database", choices=BOTH, default="sqlite", help="of the flows' gateways")


def pytest_configure() -> None:
    """Commands that a test runs speak English, whatever the language of who runs the tests; and a
    machine that stands still for 0.2 s, the deadline of hypothesis, makes no example wrong.
    """
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        os.environ.pop(name, None)
    settings.register_profile("sceau", deadline=None)
    settings.load_profile("sceau")


@pytest.fixture(autouse=True)
def log_of_a_new_process() -> Iterator[None]:
    """No test finds a log that another one set up: a command that has none writes its answer alone
    to standard output, and asks by `structlog.is_configured` whether it has one.
    """
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of our own."""
    # Not below pytest's folder: when we are root, the server is somebody else, who may not look
    # into that.
    folder = Path(tempfile.mkdtemp(prefix="sceau-test-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        server = Postgres(folder / "postgres")
        server.start()
        yield server
        server.stop(signal.SIGQUIT)  # nobody wants the data any more
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def flows_on(request: pytest.FixtureRequest) -> Postgres | None:
    """Where the gateways of the flows have their databases; None: SQLite."""
    if request.config.getoption("--database") == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server


@pytest.fixture(scope="session")
def postgres_template(postgres: Postgres) -> str:
    """Name of a database as `sceau init` makes it; to be copied, not to be used."""
    database = open_database(postgres.create("template_sceau"), password=postgres.password)
    with database.write() as conn:
        migrations.upgrade(conn)
        create_log(conn, ORIGIN)
    database.close()
    return "template_sceau"


@pytest.fixture
def new_postgres(postgres: Postgres, postgres_template: str) -> Callable[[], str]:
    """Makes databases with all tables and an empty log; gives their addresses."""
    return lambda: postgres.create(f"test_{next(_number)}", copy_of=postgres_template)


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database as `sceau init` makes it: all tables, an empty log."""
    if request.param == "sqlite":
        database = open_database(f"sqlite:///{tmp_path / 'sceau.db'}", checkpoint=True)
        with database.write() as conn:
            migrations.upgrade(conn)
            create_log(conn, ORIGIN)
    else:
        server: Postgres = request.getfixturevalue("postgres")
        url = request.getfixturevalue("new_postgres")()
        database = open_database(url, password=server.password)
    yield database
    database.close()


@pytest.fixture
def pki_database(database: Database) -> Database:
    """The same, for tests of `pki`."""
    return database


@pytest.fixture
def postgres_database(postgres: Postgres, new_postgres: Callable[[], str]) -> Iterator[Database]:
    """As `database`, for what only PostgreSQL has."""
    database = open_database(new_postgres(), password=postgres.password)
    yield database
    database.close()
