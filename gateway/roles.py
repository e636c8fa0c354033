"""`python -m gateway.roles ROLE`: one child process of `sceau serve`.

It ends on SIGTERM (gracefully), and at once when its standard input ends: then the supervisor is
gone, and nobody would free what it claims.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import sqlalchemy as sa
import structlog

from archive.errors import BlobTrouble, IndexTrouble
from gateway import failpoint, maillog
from gateway.accepted import inherited
from gateway.config import LogFormat, load
from gateway.database import DatabaseUnsafe
from gateway.database.late import LateDatabase
from gateway.database.room import reason_of
from gateway.database.trouble import TROUBLE
from gateway.errors import SceauError
from gateway.installation import database_name, shared_database
from gateway.lifeline import die_with_parent, give_signs, say_ready, watch_parent
from gateway.memory import collect_rarely, give_back, give_back_now_and_then, keep_heap, one_heap
from gateway.metrics.server import serve_metrics
from gateway.metrics.tally import Tally, saved, tally_file
from gateway.neighbours import Neighbours, neighbours_file
from gateway.overrun import limit_memory
from gateway.serve import PARENT_GONE, RETIRE, STORAGE_FAILED
from gateway.smtp.listener import Listener
from gateway.unwarned import unwarned
from gateway.wiring import Wiring
from pki.errors import PkiError

log = structlog.get_logger()

_GRACE = 20.0  # seconds for running SMTP transactions to end
# When others take over there is no hurry: seconds for clients to leave by themselves, and then
# for their running transactions.
_RETIRE, _GRACE_RETIRED = 30.0, 600.0
_INDEX_PAUSE = 3.0
_REPORT = 10.0  # seconds between two reports of how far the index is
_INDEX_WAIT = 15.0  # for a blob store, or room on the disk, to come back
_DATABASE_PAUSE = 1.0
# For an answer of a database server. A client waits for its 250 meanwhile; a worker gives up
# before its licence ends; keeper and index ask large questions.
_ANSWER_WITHIN = {"intake": 15.0, "worker": 30.0, "keeper": 60.0, "index": 60.0}
# Taking mail comes before sending it, and both before the index, which may be seconds behind:
# a client waits for its 250, and what comes together is sealed together for less.
_NICE_WORKER, _NICE_INDEX = 3, 12


def main(argv: list[str] | None = None) -> int:
    """Run one role until told to stop; the exit code is 0 only for a stop that was asked for."""
    parser = argparse.ArgumentParser(prog="gateway.roles")
    parser.add_argument("role", choices=sorted(_ROLES))
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--listen-fd", type=int)
    parser.add_argument("--metrics-fd", type=int)
    parser.add_argument("--accepted", type=int)
    parser.add_argument("--place", default="")
    args = parser.parse_args(argv)
    # The supervisor reads the configuration anew and replaces us; a signal to all processes of
    # the service must not end the children.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    unwarned()
    die_with_parent()
    if args.role == "index":
        one_heap()  # before the first thread
    watch_parent(PARENT_GONE)
    config = load(args.config) if args.accepted is None else inherited(args.accepted)
    give_signs(config.database.takeover.total_seconds() / 12)
    wiring = Wiring(config, checkpoint=args.role == "keeper")
    tally = Tally(tally_file(wiring.run_folder, args.place) if args.place else None)
    wiring.tally = tally
    if args.place:
        wiring.neighbours = Neighbours(
            neighbours_file(wiring.run_folder, args.place), wiring.belief.now
        )
    maillog.configure(
        json=config.log.format is LogFormat.JSON, level=config.log.level.value, tally=tally
    )
    structlog.contextvars.bind_contextvars(process=args.name)
    failpoint.say_so()
    collect_rarely()
    keep_heap()
    give_back_now_and_then()
    try:
        with saved(tally):
            _open_database(wiring, args.role)
            _ROLES[args.role](wiring, args)
    except (*TROUBLE, OSError) as error:
        # A full disk, a locked database, a server that became read only, no more files to open: no
        # mail is to blame for it, and none may be held for it. (What sealing a mail raises does
        # not come here.)
        log.error("storage_fault", role=args.role, reason=reason_of(error))
        return STORAGE_FAILED
    except (SceauError, PkiError) as error:
        log.error("cannot_run", role=args.role, reason=str(error))
        return 1
    except Exception:
        log.exception("process_fault", role=args.role)
        return 1
    return 0


def _open_database(wiring: Wiring, role: str) -> None:
    """Wait until the database is there; intake goes on without it, and tells clients 451.

    Who ended instead would be started again and again, at the cost of a start each time.
    """
    if not shared_database(wiring.config):
        return  # a file: what is wrong with it does not pass by itself
    name = database_name(wiring.config)
    late = LateDatabase(wiring.open_database, name)
    late.answer_within = _ANSWER_WITHIN[role]
    late.noticed = partial(wiring.neighbours.database, name)
    wiring.database = late
    while role != "intake":
        try:
            late.open()
            return
        except (sa.exc.OperationalError, DatabaseUnsafe):
            time.sleep(_DATABASE_PAUSE)  # SIGTERM ends this, as it does before any role begins


def _intake(wiring: Wiring, args: argparse.Namespace) -> None:
    async def serve() -> None:
        stop = _stop_event()
        retire = asyncio.Event()

        asyncio.get_running_loop().add_signal_handler(RETIRE, retire.set)
        listener = Listener(
            wiring.listen_settings, wiring.intake, clock=wiring.belief.now, proofs=wiring.proofs
        )
        await listener.start([socket.socket(fileno=args.listen_fd)])
        say_ready()
        while not stop.is_set() and not retire.is_set():
            await _wait(stop, 0.5)
            with suppress(sa.exc.SQLAlchemyError, *TROUBLE):  # it is counted again when it is back
                await asyncio.to_thread(wiring.backlog.look)
            if wiring.appender.broken is not None:
                # What the last commit left behind is unknown: clients got 451; start afresh.
                log.error("appender_broken", reason=str(wiring.appender.broken))
                os._exit(STORAGE_FAILED)
        if retire.is_set():
            # Until all have left, or everything is to stop.
            leaving = asyncio.create_task(listener.retire(_RETIRE, _GRACE_RETIRED))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({leaving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            stopping.cancel()
        await listener.stop(_GRACE)
        wiring.appender.close()

    asyncio.run(serve())


def _worker(wiring: Wiring, args: argparse.Namespace) -> None:
    _step_back(_NICE_WORKER)
    limit_memory()

    async def serve() -> None:
        wiring.work_as(args.name, args.role)
        worker = wiring.worker(args.name)
        stop = _stop_event()
        say_ready()
        await worker.run(stop)
        wiring.finder.close()
        wiring.appender.close()
        wiring.stop_working()

    asyncio.run(serve())


def _keeper(wiring: Wiring, args: argparse.Namespace) -> None:
    stop = _stop_flag()
    if wiring.watch is not None:
        # Beside the rest: a CRL that takes its time must not keep mail waiting.
        threading.Thread(target=wiring.watch.run, args=(stop,), name="watch", daemon=True).start()
    # Beside the rest too: it tells people of a database that keeps all the rest waiting.
    threading.Thread(target=wiring.recovery.run, args=(stop,), name="recovery", daemon=True).start()
    if args.metrics_fd is not None:
        serve_metrics(socket.socket(fileno=args.metrics_fd), wiring.metrics_page)
    wiring.keeper.once()
    say_ready()
    wiring.keeper.run(stop)


def _index(wiring: Wiring, _args: argparse.Namespace) -> None:
    stop = _stop_flag()
    _step_back(_NICE_INDEX)  # before the threads that merge segments: each keeps what it began with
    indexer = wiring.indexer
    wiring.report_index()
    reported = time.monotonic()
    say_ready()
    limit_memory()
    # A commit of the index costs the same for one mail as for many: let some come together.
    while not stop.is_set():
        try:
            if indexer.step() < indexer.batch:
                give_back()  # a commit has freed 25 MB
                stop.wait(_INDEX_PAUSE)
            if time.monotonic() - reported > _REPORT:
                wiring.report_index()
                reported = time.monotonic()
        except (BlobTrouble, IndexTrouble) as error:
            log.warning("index_waits", reason=error.problem.text)
            stop.wait(_INDEX_WAIT)
        except TROUBLE as error:
            log.warning("index_waits", reason=reason_of(error))
            stop.wait(_INDEX_WAIT)
    indexer.close()


def _step_back(nice: int) -> None:
    """Let those go first who are more urgent. Before threads are started: each keeps its own.

    Linux shares processors between sessions first, where it has autogroups (sched(7)), and each
    role has a session of its own: among those the nice value of a process alone says nothing.
    """
    os.nice(nice)
    with suppress(OSError):  # a kernel without autogroups
        Path("/proc/self/autogroup").write_text(str(nice), "ascii")


def _stop_event() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _stop_flag() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


_ROLES: dict[str, Callable[[Wiring, argparse.Namespace], None]] = {
    "intake": _intake,
    "worker": _worker,
    "keeper": _keeper,
    "index": _index,
}

if __name__ == "__main__":
    sys.exit(main())
