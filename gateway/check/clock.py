"""The clock: certificates, CRLs and the log are judged by it."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from archive.entry import decode
from archive.reading import head, read_raw
from gateway import clock as our_clock
from gateway.check.finding import Finding, error, good, warning
from gateway.clocklog import last_believed_entry
from gateway.wiring import Wiring

# Postfix warns of as much between the clock and a file system (HISTORY, 20050111).
_DRIFT = timedelta(seconds=100)
_AHEAD = timedelta(seconds=5)
_APART = timedelta(seconds=5)
_UNSYNCHRONISED = 5  # TIME_ERROR, ntp_gettime(3)


class _NtpTime(ctypes.Structure):
    """struct ntptimeval of <sys/timex.h>."""

    _fields_ = (
        ("seconds", ctypes.c_long),
        ("micros", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("tai", ctypes.c_long),
        ("reserved", ctypes.c_long * 4),
    )


def clock(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """Synchronised, as far as the kernel knows; and no earlier than what was already written."""
    told = ntp()
    if told is None:
        yield good("clock", "the kernel does not tell whether it is synchronised")
    elif told[0] == _UNSYNCHRONISED:
        yield warning(
            "clock",
            "clock.not-synchronised",
            "the kernel says that the clock is not synchronised",
            meaning="certificates and CRLs are judged by a time that may be wrong",
            advice="run an NTP client (chrony, systemd-timesyncd) on this machine or its host",
        )
    else:
        millis = str(told[1] // 1000)
        yield good("clock", "synchronised, within {millis} ms", millis=millis)
    yield from _against_files(wiring)
    yield from _believed(wiring)
    yield from _against_database(wiring)
    with wiring.database.read() as conn:
        tip = head(conn)
        rows = list(read_raw(conn, tip.size - 1, limit=1)) if tip.size else []
    if rows and (last := decode(rows[0][2]).time) > moment + _AHEAD:
        yield error(
            "clock",
            "clock.behind-the-log",
            "the last log entry is of {time}, which is in the future",
            meaning="the clock ran ahead, or was put back; the order of the log is not affected",
            advice="set the clock right before mail is judged by it",
            time=last.strftime("%Y-%m-%d %H:%M:%S +00:00"),
        )


def _believed(wiring: Wiring) -> Iterator[Finding]:
    """What `sceau clock show` says."""
    with wiring.database.read() as conn:
        wiring.belief.saw_last_entry(last_believed_entry(conn))
    if (doubt := wiring.belief.doubt()) is not None:
        yield error(
            "clock",
            "clock.not-believed",
            doubt.template,
            meaning="mail is taken and held; nothing is judged by this clock, nothing given up",
            advice="set the clock right, or say that it is right: sceau clock confirm",
            **doubt.facts,
        )


def _against_database(wiring: Wiring) -> Iterator[Finding]:
    """Nothing is judged by the database's clock; but two that differ cannot both be right."""
    if not wiring.database.shared:
        return
    with wiring.database.read() as conn:
        theirs = conn.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    drift = our_clock.now() - theirs
    if abs(drift) > _APART:
        yield warning(
            "clock",
            "clock.database",
            "this machine's clock is {seconds} s off the database server's",
            meaning="one of the two is wrong, or several machines here have several times",
            advice="NTP on both",
            seconds=f"{round(drift.total_seconds()):+d}",
        )


def ntp() -> tuple[int, int] | None:
    """State and estimated error (microseconds) of the kernel's clock; None if it does not tell."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        value = _NtpTime()
        state = libc.ntp_gettime(ctypes.byref(value))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else (state, value.esterror)


def _against_files(wiring: Wiring) -> Iterator[Finding]:
    """A file system on another machine has a clock of its own."""
    if not os.access(wiring.data_folder, os.W_OK):
        return  # the check of rights says so
    with tempfile.NamedTemporaryFile(dir=wiring.data_folder, prefix=".check-") as file:
        written = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    drift = our_clock.now() - written
    if abs(drift) > _DRIFT:
        yield warning(
            "clock",
            "clock.file-system",
            "{folder} is {seconds} s off this machine's clock",
            meaning="its files are on another machine, and one of the two clocks is wrong",
            advice="NTP on both",
            folder=str(wiring.data_folder),
            seconds=str(int(drift.total_seconds())),
        )
