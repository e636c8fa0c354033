"""The archive: who can open it, the day's working keys, the index."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from archive.errors import ArchiveError
from archive.lag import lag
from gateway import running
from gateway.check.finding import Finding, error, good, warning
from gateway.config.checks import LEAST_ARCHIVE_RECIPIENTS
from gateway.wiring import Wiring

_PRIVATE = b"-----BEGIN SCEAU ARCHIVE PRIVATE KEY-----"
_LARGEST_KEY = 20_000  # octets of a file that may be such a key
_MOST_FILES = 5_000
_LATE = 60.0  # seconds
# A working key is destroyed when its day is settled; one of this age keeps mail readable here.
_OLD_KEY = timedelta(days=7)


def recipients(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Two keys at least, and the private ones elsewhere."""
    found = wiring.archive_recipients
    distinct = {one.id for one in found}
    if len(distinct) < LEAST_ARCHIVE_RECIPIENTS:
        yield error(
            "archive",
            "archive.one-recipient",
            "the files in archive.recipients hold only one key",
            meaning="who loses that key has closed the archive for ever",
            advice="make a second one with its own keeper",
        )
    else:
        names = ", ".join(one.name for one in found)
        yield good("archive", "sealed to {names}", names=names)
    left = _private_keys(wiring)
    if left:
        yield warning(
            "archive",
            "archive.private-key-here",
            "{files}: private keys that open the whole archive lie on this machine",
            meaning="who takes over this machine reads the archive, not only mail in flight",
            advice="move each to its own keeper, then delete it here",
            files=", ".join(map(str, left)),
        )


def _private_keys(wiring: Wiring) -> list[Path]:
    """Archive keys below the folders we know, as far as this user can see."""
    roots = {path.parent.parent for path in wiring.config.archive.recipients}
    roots |= {wiring.data_folder, wiring.config.archive.working_keys}
    if wiring.path is not None:
        roots.add(wiring.path.parent)
    found: set[Path] = set()
    for root in roots:
        for file in _small_files(root):
            try:
                with file.open("rb") as opened:
                    if opened.read(len(_PRIVATE)) == _PRIVATE:
                        found.add(file.resolve())
            except OSError:
                continue  # closed to us: then it is closed to the service as well
    return sorted(found)


def _small_files(root: Path) -> Iterator[Path]:
    looked = 0
    for folder, _, names in os.walk(root):
        for name in names:
            looked += 1
            if looked > _MOST_FILES:
                return
            file = Path(folder) / name
            try:
                if file.is_file() and file.stat().st_size <= _LARGEST_KEY:
                    yield file
            except OSError:
                continue


def working_keys(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """The folder is closed to others, and days end."""
    folder = wiring.config.archive.working_keys
    if not folder.exists():
        yield good("working keys", "{folder} is made when it is needed", folder=str(folder))
        return
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        yield error(
            "working keys",
            "archive.working-keys-open",
            "{folder} can be read by other users (mode {mode})",
            meaning="they can open mail in flight",
            advice="take the rights of others away from it (chmod 700)",
            folder=str(folder),
            mode=f"{mode:o}",
        )
        return
    ids = wiring.working_keys.ids()
    oldest = min((one[:10] for one in ids), default="")
    if oldest and moment.astimezone(UTC).date() - _date(oldest) > _OLD_KEY:
        yield warning(
            "working keys",
            "archive.working-key-old",
            "the working key of {day} is still there",
            meaning="mail of that day waits, or is not indexed; until then it can be opened here",
            advice="sceau queue list --older-than 7d shows it; held mail has to be decided",
            day=oldest,
        )
    else:
        yield good("working keys", "{folder}: {number}", folder=str(folder), number=str(len(ids)))


def _date(text: str) -> date:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()


def index(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """How far the full-text index is behind."""
    advice = "" if running.read(wiring.run_folder) else "is sceau serve running?"
    try:
        with wiring.database.read() as conn:
            behind = lag(wiring.config.archive.index, conn, moment=moment)
    except ArchiveError as fault:
        yield warning(
            "index",
            fault.problem.code,
            fault.problem.template,
            meaning="mail cannot be searched; it moves all the same",
            advice="sceau serve makes it",
            **fault.problem.facts,
        )
        return
    facts = {"entries": str(behind.entries), "seconds": f"{behind.seconds:.0f}"}
    if behind.seconds > _LATE:
        yield warning(
            "index",
            "index.behind",
            "{entries} entries ({seconds} s) behind the log",
            meaning="searches do not find the newest mail",
            advice=advice or "a moment; if it grows, look for the process index in the log",
            **facts,
        )
    else:
        yield good("index", "{entries} entries ({seconds} s) behind the log", **facts)
