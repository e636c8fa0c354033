"""Named places on the way of a mail where a test may kill, stop or fail the process.

Free when not armed, and never armed in service: `SCEAU_FAILPOINTS=FOLDER` arms them, where FOLDER
has the file `only-in-tests` and no service manager started us; otherwise `sceau serve` refuses to
start. Armed, it says so loudly. In FOLDER the file NAME holds what the point NAME shall do:

    ACTION [N [WORD]]

ACTION, at the Nth pass (1) of all processes together that have WORD on their command line:
`kill` (SIGKILL to this process), `kill-service` (to the supervisor too: the others end when they
see it gone), `raise` (OSError), `pause` (this process stands still until FOLDER/NAME.fired is
removed, for a minute at most). It is done once: the file becomes NAME.fired, which holds
ACTION, process id and time (seconds since 1970). docs/faults.md tells what is promised at each.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

import structlog

from gateway.errors import SceauError

VARIABLE = "SCEAU_FAILPOINTS"
MARKER = "only-in-tests"

POINTS: Mapping[str, str] = {
    "accept.content-sealed": "the content is compressed and encrypted; nothing is written yet",
    "accept.blob-stored": "a large content is durable in the blob store; no row names it yet",
    "accept.rows-written": "queue rows are in the open transaction; the log entry is not",
    "commit.before": "rows and log entries are in the transaction of any step; COMMIT comes next",
    "commit.after": "COMMIT has come back; nobody who waits for it knows yet",
    "accept.replying": "the mail is committed and everybody here knows; the 250 is not said yet",
    "accept.replied": "the 250 is with the operating system; it may or may not reach the client",
    "claim.committed": "a worker has claimed messages; nothing is looked up yet",
    "find.crls-asked": "a worker has asked for the CRLs in force; no certificate is judged yet",
    "find.done": "certificates are found, or it is known who has none; nothing is signed yet",
    "seal.signed": "an entity is signed; nothing is encrypted yet",
    "seal.encrypted": "an entity is encrypted; nothing is written yet",
    "seal.rows-written": "sealed octets are in the open transaction; the log entries are not",
    "seal.committed": "sealed octets and `sealed` entries are durable; nothing is sent yet",
    "deliver.connecting": "a delivery begins: a connection is taken or opened next",
    "deliver.dot-sent": "the final dot is with the operating system; the peer may have the mail",
    "deliver.reply-read": "the next hop has answered; nothing of it is written yet",
    "outcome.rows-written": "new states are in the open transaction; the log entries are not",
    "outcome.committed": "states and entries of an attempt are durable",
    "notice.written": "a DSN is in the transaction of the failure that it tells of",
    "sweep.marked": "a blob without a row is marked for removal; it is not removed yet",
}

T = TypeVar("T")
_ACTIONS = ("kill", "kill-service", "raise", "pause")
_LONGEST_PAUSE = 60.0


def refusal(environment: Mapping[str, str]) -> SceauError | None:
    """Why points must not be armed here though the variable is set; None where they may be."""
    text = environment.get(VARIABLE, "")
    if not text:
        return None
    facts = {"variable": VARIABLE, "folder": text, "marker": MARKER}
    if environment.get("NOTIFY_SOCKET"):
        return SceauError(
            "{variable} is set, which makes the gateway kill itself, and a service manager runs it",
            hint="take {variable} out of the unit's environment: it is for tests",
            facts=facts,
        )
    if not (Path(text) / MARKER).is_file():
        return SceauError(
            "{variable} is set, which makes the gateway kill itself, and {folder} is not for tests",
            hint="unset {variable}; tests put the file {marker} into that folder",
            facts=facts,
        )
    return None


def refuse_outside_tests(environment: Mapping[str, str]) -> None:
    """Raise SceauError where the variable is set and this is no test."""
    found = refusal(environment)
    if found is not None:
        raise found


def _folder(environment: Mapping[str, str]) -> Path | None:
    text = environment.get(VARIABLE, "")
    return Path(text) if text and refusal(environment) is None else None


# Read once: what is not armed when the process starts costs one look at this name.
_ARMED = _folder(os.environ)


def failpoint(name: str) -> None:
    """Do here what the test has ordered for the point `name` (a key of POINTS), if it has.

    Raises OSError (EIO) where that was ordered.
    """
    if _ARMED is not None:
        _passed(_ARMED, name)


def around(
    transaction: Callable[[], AbstractContextManager[T]],
) -> Callable[[], AbstractContextManager[T]]:
    """The same write transactions with the points before and after their commit."""
    if _ARMED is None:
        return transaction

    @contextmanager
    def between() -> Iterator[T]:
        with transaction() as connection:
            yield connection
            failpoint("commit.before")
        failpoint("commit.after")

    return between


def ahead(
    name: str, transaction: Callable[[], AbstractContextManager[T]]
) -> Callable[[], AbstractContextManager[T]]:
    """The same transactions with the point `name` before each begins."""
    if _ARMED is None:
        return transaction

    def begun() -> AbstractContextManager[T]:
        failpoint(name)
        return transaction()

    return begun


def say_so() -> None:
    """The loud line of the log, at the start of a process."""
    if _ARMED is not None:
        structlog.get_logger().warning("failpoints_armed", folder=str(_ARMED))


def _passed(folder: Path, name: str) -> None:
    if name not in POINTS:
        raise AssertionError(f"no failpoint {name}")
    file = folder / name
    if not file.exists():
        return
    action = _its_turn(folder, file)
    fired = file.with_name(name + ".fired")
    if action == "raise":
        raise OSError(errno.EIO, f"failpoint {name}")
    if action == "pause":
        end = time.monotonic() + _LONGEST_PAUSE
        while fired.exists() and time.monotonic() < end:
            time.sleep(0.005)
    if action == "kill-service":
        os.kill(os.getppid(), signal.SIGKILL)
    if action.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)


def _its_turn(folder: Path, file: Path) -> str:
    """The action, when this pass is the one; "" else. One process at a time counts."""
    with (folder / MARKER).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            words = file.read_text().split()
        except FileNotFoundError:
            return ""
        if len(words) == 3 and words[2] not in sys.argv:
            return ""
        action, passes = words[0], int(words[1]) if len(words) > 1 else 1
        if action not in _ACTIONS:
            raise AssertionError(f"no action {action} for a failpoint")
        if passes > 1:
            file.write_text(" ".join((action, str(passes - 1), *words[2:])))
            return ""
        file.write_text(f"{action} {os.getpid()} {time.time()}")
        file.rename(file.with_name(file.name + ".fired"))
        return action
