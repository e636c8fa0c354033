"""What can go wrong with the archive, as data a person and a program can both read."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why something was refused, is damaged or could not be told.

    code: `area.reason`, stable, never translated (area: entry, chain, log, payload, content, keys,
        seal, read, search, index, blobs).
    template: English sentence with `{name}` places; the key of the French catalogue too.
    facts: what fills the places.
    """

    code: str
    template: str
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The English sentence."""
        return self.template.format(**self.facts)


class ArchiveError(Exception):
    """Base of all errors raised here; carries the problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class EntryMalformed(ArchiveError):
    """Bytes that are not the canonical form of a log entry, or values no entry may have."""


class PayloadMalformed(ArchiveError):
    """Bytes that are not the canonical form of a payload, or fields no payload may have."""


class LogMissing(ArchiveError):
    """The database holds no log yet: `create_log` was never called."""


class LogExists(ArchiveError):
    """The database holds a log already, or one of another origin."""


class NotInArchive(ArchiveError):
    """No entry, or no content, under this archive id."""


class Damaged(ArchiveError):
    """Stored bytes are not what the log committed to. Never served, never skipped in silence."""


class BlobTrouble(ArchiveError):
    """The blob store cannot be used now: try again later. Says nothing about what it holds."""


class BlobStoreFull(BlobTrouble):
    """The blob store has no room left."""


class BlobStoreForeign(BlobTrouble):
    """The blob store belongs to another log: nothing is written to it or removed from it."""


class BlobMissing(Damaged):
    """The blob store is the right one, it answers, and it does not have this blob."""


class NotMine(ArchiveError):
    """This key does not open this seal: try the next one. Says nothing about damage."""


class RecipientRefused(ArchiveError):
    """A key file, or a choice of archive recipients, that cannot be used."""


class ReadRefused(ArchiveError):
    """Reading or searching without saying who and for what case."""


class WorkingKeyTrouble(ArchiveError):
    """The folder of working keys cannot be used as it is (rights, broken file)."""


class AppenderBroken(ArchiveError):
    """A commit failed or its outcome is unknown: this process must end and start anew.

    After a failed fsync the kernel may call the next one a success though data is lost; only a
    fresh start reads what is really there.
    """


class SearchError(ArchiveError):
    """A query that cannot be understood, in words for the person who typed it."""


class IndexTrouble(ArchiveError):
    """The full-text index cannot be written now: try again later. It is as it was before."""


class IndexUnusable(ArchiveError):
    """The full-text index is missing, damaged, or of another version."""
