"""Places where a test may kill the process. Free when not armed, and never armed in service.

`SCEAU_FAILPOINT=NAME=FILE` arms one point: when the way of a mail passes `hit(NAME)` and FILE
exists, FILE is removed and the process kills itself with SIGKILL, so that the restarted process
goes on past the same point. The start-up log says loudly when a point is armed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

VARIABLE = "SCEAU_FAILPOINT"

POINTS = (
    "accept.content-sealed",
    "accept.blob-stored",
    "accept.rows-written",
    "accept.committed",
    "accept.replied",
    "claim.committed",
    "seal.looked-up",
    "seal.signed",
    "seal.encrypted",
    "seal.rows-written",
    "seal.committed",
    "deliver.connecting",
    "deliver.dot-sent",
    "deliver.reply-read",
    "outcome.rows-written",
    "outcome.committed",
    "notice.written",
    "sweep.marked",
)


def _read() -> tuple[str, Path] | None:
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    name, _, token = text.partition("=")
    if name not in POINTS or not token:
        raise SystemExit(f"{VARIABLE}: {text!r} is not NAME=FILE with a known NAME")
    return name, Path(token)


ARMED = _read()


def hit(name: str) -> None:
    """Die here if `name` is armed and its token file is still there."""
    if ARMED is not None and ARMED[0] == name:
        try:
            ARMED[1].unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)
