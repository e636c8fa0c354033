"""`sceau` without its start-up time: each command is a fork of a process that has imported it.

The commands are the product's own, with a process, output and exit code of their own. Tests that
ask the queue until something is there would otherwise spend their time on imports.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.flows.quick_sceau",
        "gateway.cli.queue_acts",
        "gateway.cli.queue",
        "gateway.cli.archive",
        "gateway.cli.pki",
        "gateway.queue.view",
        "gateway.policytrial",
        "archive.access",
        "archive.fsck",
        "archive.index",
    ]
)


def run(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    """`sceau` with these arguments and this environment."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_command, args=(arguments, dict(environment), theirs))
    process.start()
    theirs.close()
    try:
        code, out, err = ours.recv()
    finally:
        ours.close()
        process.join()
        process.close()
    return subprocess.CompletedProcess(["sceau", *arguments], code, out, err)


def _command(arguments: list[str], environment: dict[str, str], answer: Connection) -> None:
    from gateway.cli import main

    os.environ.clear()
    os.environ.update(environment)
    out, err = io.BytesIO(), io.BytesIO()
    sys.stdout, sys.stderr = io.TextIOWrapper(out, "utf-8"), io.TextIOWrapper(err, "utf-8")
    code = main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    answer.send((code, out.getvalue(), err.getvalue()))
    answer.close()
    os._exit(0)
