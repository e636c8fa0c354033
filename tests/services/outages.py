"""What can befall the neighbours of a gateway, each as a block: well before it, well after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import psycopg

from gateway.demo.crlserver import CrlServer
from gateway.demo.house import House, children_of
from gateway.demo.postgres import Postgres
from gateway.demo.stage import SinkProcess, Stage
from tests.postgres_acts import setting

Outage = Callable[[Stage, House], AbstractContextManager[None]]


def _server(house: House) -> Postgres:
    assert house.postgres is not None
    return house.postgres


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """The programs stop where they are; their kernel goes on to acknowledge what comes."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def database_stopped(_made: Stage, house: House) -> Iterator[None]:
    """As by a crash, in the middle of whatever it does."""
    _server(house).stop(signal.SIGQUIT)
    try:
        yield
    finally:
        _server(house).start()


@contextmanager
def database_frozen(_made: Stage, house: House) -> Iterator[None]:
    """It takes connections and octets, and says nothing."""
    server = _server(house)
    with frozen(server.pid, *children_of(server.pid)):
        yield


@contextmanager
def table_locked(_made: Stage, house: House) -> Iterator[None]:
    """Somebody has begun to tidy up, and went to lunch."""
    with _server(house).connect(house.database) as session:
        session.execute("BEGIN")
        session.execute("LOCK TABLE gateway.messages IN ACCESS EXCLUSIVE MODE")
        yield
        session.execute("ROLLBACK")


@contextmanager
def database_read_only(_made: Stage, house: House) -> Iterator[None]:
    """For new sessions, and there are only new ones."""
    with _server(house).connect() as session:
        session.execute(f"ALTER DATABASE {house.database} SET default_transaction_read_only = on")
        _cut(session, house)
        try:
            yield
        finally:
            session.execute(f"ALTER DATABASE {house.database} RESET default_transaction_read_only")
            _cut(session, house)


@contextmanager
def out_of_connections(_made: Stage, house: House) -> Iterator[None]:
    """Others have them all."""
    server = _server(house)
    with server.connect() as session, ExitStack() as stack:

        def fill() -> None:
            while True:
                try:
                    stack.callback(server.connect().close)
                except psycopg.OperationalError:
                    return

        fill()
        _cut(session, house)
        fill()  # a few may have come back in between: they are a part of the picture
        yield


@contextmanager
def standby_away(_made: Stage, house: House) -> Iterator[None]:
    """Commits wait for somebody who does not come."""
    with setting(_server(house), "synchronous_standby_names", "nobody"):
        yield


@contextmanager
def next_hop_gone(made: Stage, _house: House) -> Iterator[None]:
    """Nobody listens there."""
    made.sink.stop()
    try:
        yield
    finally:
        made.sink = SinkProcess.start(made.sink.folder, port=made.sink.port)


@contextmanager
def next_hop_frozen(made: Stage, _house: House) -> Iterator[None]:
    """It takes connections and says nothing."""
    with frozen(made.sink.process.pid):
        yield


@contextmanager
def directory_frozen(made: Stage, _house: House) -> Iterator[None]:
    """It takes connections and says nothing."""
    with frozen(made.directory.pid):
        yield


@contextmanager
def crl_server_gone(made: Stage, _house: House) -> Iterator[None]:
    """The CRLs that were fetched hold on."""
    port = made.crl_server.port
    made.crl_server.stop()
    try:
        yield
    finally:
        made.crl_server = CrlServer(made.world.crl_folder, port=port)
        made.crl_server.start()


@contextmanager
def everybody_gone(made: Stage, house: House) -> Iterator[None]:
    """The cable of the house."""
    with ExitStack() as stack:
        for one in (next_hop_gone, directory_frozen, crl_server_gone, database_stopped):
            stack.enter_context(one(made, house))
        yield


def _cut(session: psycopg.Connection[object], house: House) -> None:
    session.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
        (house.database,),
    )
