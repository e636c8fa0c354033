"""The `prev` chain: linking new entries and checking a run of stored ones. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from archive import entry as entries
from archive.entry import Entry, encode, entry_hash, first_prev
from archive.errors import EntryMalformed, Problem


@dataclass(frozen=True, slots=True)
class Tip:
    """Where the next entry goes: its log, its index (= number of entries so far), its `prev`."""

    origin: str
    epoch: int
    size: int
    prev: str


def start(origin: str, epoch: int = 0) -> Tip:
    """The tip of an empty log. Raises EntryMalformed if `origin` cannot name a log."""
    entries.check_origin(origin)
    return Tip(origin, epoch, 0, first_prev(origin))


def link(
    tip: Tip, *, time: datetime, kind: str, org: str, archive_id: str, commitment: str
) -> tuple[Entry, bytes, Tip]:
    """The next entry, its bytes, and the tip after it. Raises EntryMalformed."""
    entry = Entry(
        origin=tip.origin,
        epoch=tip.epoch,
        index=tip.size,
        time=time,
        kind=kind,
        org=org,
        id=archive_id,
        prev=tip.prev,
        commitment=commitment,
    )
    data = encode(entry)
    return entry, data, Tip(tip.origin, tip.epoch, tip.size + 1, entry_hash(data))


@dataclass(frozen=True, slots=True)
class Fault:
    """A damaged place in the chain. index: the entry to blame, -1 for the start of the walk."""

    index: int
    problem: Problem


class Walk:
    """Checks a run of entries, one at a time, in order: `step` for each, then `finish`.

    A broken link tells that one of two neighbours was changed. The blame goes to the earlier one
    if the later one is vouched for by its successor (or by the tip), else to the later one; so a
    fault is known one step after it is met, and memory stays small however long the log is.
    """

    def __init__(self, tip: Tip) -> None:
        self._tip = tip
        self._before_is_bad = False  # entry before the present one is already known as damaged
        self._open_break: int | None = None  # index whose prev did not match, not yet judged

    @property
    def size(self) -> int:
        """Index that the next entry must have."""
        return self._tip.size

    def step(self, data: bytes) -> tuple[Entry | None, list[Fault]]:
        """Check the next entry. Returns it (None if it is not an entry) and new faults."""
        index, expected = self._tip.size, self._tip.prev
        faults: list[Fault] = []
        entry: Entry | None = None
        bad = False
        try:
            entry = entries.decode(data)
        except EntryMalformed as error:
            bad = True
            faults.append(Fault(index, error.problem))
        linked = entry is not None and entry.prev == expected
        self._judge(linked, faults)
        if entry is not None:
            misplaced = self._misplaced(entry)
            if misplaced is not None:
                bad = True
                faults.append(Fault(index, misplaced))
            if not linked and not self._before_is_bad:
                self._open_break = index
        self._before_is_bad = bad
        self._tip = Tip(self._tip.origin, self._tip.epoch, index + 1, entry_hash(data))
        return entry, faults

    def skip_to(self, index: int) -> list[Fault]:
        """Entries from here to before `index` are not there: go on behind the gap."""
        faults: list[Fault] = []
        self._judge(vouched=False, faults=faults)
        first, last = self._tip.size, index - 1
        faults.append(
            Fault(
                first,
                Problem(
                    "chain.gap",
                    "entries {first} to {last} are missing",
                    {"first": str(first), "last": str(last)},
                ),
            )
        )
        self._before_is_bad = True
        self._tip = Tip(self._tip.origin, self._tip.epoch, index, "")
        return faults

    def finish(self, tip: Tip | None) -> list[Fault]:
        """Faults that show only at the end. tip: what the log's head says, if it is known."""
        faults: list[Fault] = []
        vouched = tip is not None and tip == self._tip
        self._judge(vouched, faults)
        if tip is not None and not vouched and not self._before_is_bad and not faults:
            faults.append(
                Fault(
                    min(tip.size, self._tip.size) - (tip.size == self._tip.size),
                    Problem(
                        "log.head-disagrees",
                        "the head of the log says {said} entries ending in {head}, "
                        "the entries are {found} ending in {hash}",
                        {
                            "said": str(tip.size),
                            "head": tip.prev[:16],
                            "found": str(self._tip.size),
                            "hash": self._tip.prev[:16],
                        },
                    ),
                )
            )
        return faults

    def _judge(self, vouched: bool, faults: list[Fault]) -> None:
        if self._open_break is None:
            return
        blamed = self._open_break - 1 if vouched else self._open_break
        self._open_break = None
        faults.append(
            Fault(
                blamed,
                Problem(
                    "chain.broken",
                    "entry {index} was changed, added or removed: the hashes do not join",
                    {"index": str(blamed)},
                ),
            )
        )

    def _misplaced(self, entry: Entry) -> Problem | None:
        for name, found, expected in (
            ("origin", entry.origin, self._tip.origin),
            ("epoch", entry.epoch, self._tip.epoch),
            ("index", entry.index, self._tip.size),
        ):
            if found != expected:
                return Problem(
                    "chain.misplaced",
                    "the entry says {name} {found} where {expected} belongs",
                    {"name": name, "found": str(found), "expected": str(expected)},
                )
        return None
