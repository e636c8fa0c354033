"""How a worker comes to be: a program of its own, or a copy of the process that asks."""

from __future__ import annotations

import faulthandler
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.guard import walls
from gateway.guard.answer import Function
from gateway.guard.budget import Budget
from gateway.guard.frames import pair
from gateway.guard.inside import SOCKET, serve
from gateway.guard.outside import Worker


def spawn(factory: str, config: Mapping[str, Any], budget: Budget) -> Worker:
    """A program of its own, from any thread. Raises CannotTell, OSError.

    The worker ends with the *thread* that called this (prctl(2), PR_SET_PDEATHSIG).
    factory: "module:function"; the function takes `config` and gives the guarded one.
    """
    ours, theirs = pair()
    with theirs:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", "gateway.guard.inside", str(os.getpid())],
            _environment(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), SOCKET),
                *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)),
            ],
        )
    worker = Worker(pid, ours, budget)
    worker.wait_ready({"factory": factory, "config": dict(config), "budget": asdict(budget)})
    return worker


def _environment() -> dict[str, str]:
    """Where our modules are, and no more: what services are told by it may be a password."""
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8"}


def fork(function: Function, budget: Budget) -> Worker:
    """A copy of this process: with all it has imported and read, in a few milliseconds.

    Only where there are no other threads, whose locks the copy would wait for: for commands.
    Files may be opened there still: charsets are imported when a mail names them, and to import
    all of them beforehand would take longer than the command.
    Raises CannotTell, OSError.
    """
    parent = os.getpid()
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        ours.close()  # our end of it: the other one is how we learn that the parent is gone
        _child(theirs, parent, function, budget)
    theirs.close()
    worker = Worker(pid, ours, budget)
    worker.wait_ready()
    return worker


def _child(connection: socket.socket, parent: int, function: Function, budget: Budget) -> None:
    """Never returns: what the parent would still do at its end is not for us to do."""
    try:
        walls.be_alone(parent)
        _silence()
        serve(connection, connection.makefile("rb"), function, budget, files=True)
    finally:
        os._exit(0)


def _silence() -> None:
    """What a library prints must not stand among the results of the command."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    faulthandler.disable()  # it has a copy of standard error
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stdout
