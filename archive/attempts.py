"""Mail that kills the indexer, found out by what the killed ones have left behind.

Before a piece of the log is indexed, a file says so; after the commit it is gone. Whoever finds the
file knows that a process died in that piece, and goes through it with care: it writes the id of
each mail before touching it. A mail that has killed is left out after its third time.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

_FILE = "sceau-attempt.json"
_SKIPPED = "sceau-skipped.jsonl"
_AFTER = 3  # deaths, the one in which nobody knew yet who it was included


@dataclass
class Attempts:
    """Of one index folder, and its one writer. deaths: by archive id, of the piece in work."""

    folder: Path
    careful: bool = field(default=False, init=False)
    deaths: dict[str, int] = field(default_factory=dict, init=False)
    _written: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            left = json.loads((self.folder / _FILE).read_text("utf-8"))
            self.careful = True
            self.deaths = {str(key): int(value) for key, value in left["deaths"].items()}
            if current := left.get("id"):
                self.deaths[current] = self.deaths.get(current, 1) + 1

    def begin(self) -> None:
        """A piece begins."""
        self._write("")

    def touch(self, archive_id: str) -> bool:
        """This mail is next. False: it has killed often enough."""
        if not self.careful:
            return True
        if self.deaths.get(archive_id, 0) >= _AFTER:
            return False
        self._write(archive_id)
        return True

    def committing(self) -> None:
        """All of the piece was looked at: who dies from here on dies of the disk, not of a mail.

        Without it the last mail of the piece would bear the blame for every kill that a slow sync
        gives time for, and be left out of the index for nothing.
        """
        if self.careful:
            self._write("")

    def done(self) -> None:
        """The piece is committed."""
        self.careful, self.deaths = False, {}
        (self.folder / _FILE).unlink(missing_ok=True)

    def _write(self, current: str) -> None:
        # Not synced: a process that is killed leaves it all the same, and after a power cut nobody
        # is to blame. Where there is no room for it there is none for the index either, which
        # says so and waits.
        text = json.dumps({"deaths": self.deaths, "id": current})
        with suppress(OSError):
            (self.folder / _FILE).write_text(text, "utf-8")


def note_skipped(folder: Path, archive_id: str, moment: datetime) -> None:
    """Remember that this mail was left out. A full disk is no reason for a fault."""
    with suppress(OSError), (folder / _SKIPPED).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"id": archive_id, "at": moment.isoformat()}) + "\n")


def skipped_since(folder: Path, moment: datetime) -> list[str]:
    """Archive ids of mails that were left out since then."""
    found = []
    with suppress(OSError):
        for line in (folder / _SKIPPED).read_text("utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                left_out = json.loads(line)
                if datetime.fromisoformat(left_out["at"]) >= moment:
                    found.append(str(left_out["id"]))
    return found
