"""`sceau reload`: have the running gateway read its configuration anew, and hear what it says."""

from __future__ import annotations

import os
import signal
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from gateway.cli.exits import CANNOT_TELL, DONE, NO
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import output_of

if TYPE_CHECKING:
    from gateway.installation import Installation

HELP = "have the running gateway read its configuration anew"

_PATIENCE = 180.0  # seconds: reading, trying out, and new processes that get ready


def configure(parser: ArgumentParser) -> None:
    """Options."""
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=on_installation(_run))


def _run(args: Namespace, installation: Installation) -> int:
    from gateway import running
    from gateway.errors import NotFound

    output = output_of(args)
    folder = installation.run_folder
    before = running.read(folder)
    if before is None:
        raise NotFound("no sceau serve runs on this data", hint="sceau serve, or systemctl start")
    os.kill(before.pid, signal.SIGHUP)
    end = time.monotonic() + _PATIENCE
    now = before
    while now.reload.number == before.reload.number:
        if time.monotonic() > end:
            output.note(
                "no answer after {seconds} s; the log says more", seconds=f"{_PATIENCE:.0f}"
            )
            return CANNOT_TELL
        time.sleep(0.1)
        found = running.read(folder)
        if found is None:
            output.note("sceau serve has ended meanwhile")
            return CANNOT_TELL
        now = found
    if output.as_json:
        output.record(
            {"accepted": now.reload.accepted, "at": now.reload.at, "faults": now.reload.faults}
        )
    elif now.reload.accepted:
        output.say("The configuration was read anew and is in force.")
    if not now.reload.accepted:
        for fault in now.reload.faults:
            output.note("{command}: {line}", command="sceau reload", line=fault)
        output.note("The configuration before it stays in force.")
        return NO
    return DONE
