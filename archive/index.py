"""The full-text index: a projection of the log that follows it from a process of its own.

It holds no text to give back, only words and archive ids. The position in the log is a document of
the index itself, so one commit moves both: killed at any moment, the index and its position still
agree, and doing a piece again changes nothing, because a mail that is there is removed by its id
before it is added.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
import tantivy

from archive import reading
from archive.attempts import Attempts
from archive.blobs import Blobs, filled
from archive.drafts import CONTENT_KIND
from archive.entry import Entry, decode
from archive.errors import BlobTrouble, EntryMalformed, IndexTrouble, Problem
from archive.fulltext import POSITION_ID, open_index, unusable
from archive.lag import Position, place, position
from archive.reading import InFlight
from archive.seal import Sealed, Unwrapper, open_content

_HEAP = 64 << 20  # bytes that tantivy may use before it writes a segment
# Commits after which the index is opened anew: tantivy remembers the name of every file it ever
# mapped, 2 to 3 kB a commit, as long as it is open.
_FRESH_AFTER = 500
_LARGE = 1 << 20  # contents above are read one by one: several of 50 MB would fill the memory
_PARTS = re.compile(r"[^\W_]+")
# What tantivy can hold is narrower than what a Date field can say.
_DATE_FLOOR, _DATE_CEILING = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What of a mail can be searched for. date: of the Date field, aware, None if unusable."""

    subject: str
    senders: Sequence[str]
    recipients: Sequence[str]
    body: str
    attachment_names: Sequence[str]
    date: datetime | None


def unreadable(index_dir: Path) -> int:
    """How many mails are in the index by their id only. Raises IndexUnusable."""
    index = open_index(index_dir)
    query = tantivy.Query.term_query(index.schema, "unreadable", field_value=True)
    counted = index.searcher().aggregate(query, {"mails": {"value_count": {"field": "unreadable"}}})
    return int(counted["mails"]["value"])


class Indexer:
    """Follows the log. One for a folder: a second one is refused."""

    def __init__(
        self,
        index_dir: Path,
        extract: Callable[[bytes], Extracted],
        read: Callable[[], AbstractContextManager[sa.Connection]],
        keys: Unwrapper,
        *,
        batch: int = 1024,
        blobs: Blobs | None = None,
        skipped: Callable[[str], None] = lambda _id: None,
    ) -> None:
        """Open or make the index. Raises IndexUnusable (also when another process writes to it).

        extract: raw mail → what to index; whatever it raises counts the mail as unreadable.
        read: a read transaction. keys: opens mail in flight (`WorkingUnwrapper`).
        batch: log entries in one commit. blobs: where large content lies.
        skipped: told of mail that has killed the indexer often enough and is indexed by its id.
        """
        self._blobs = blobs
        self._dir = index_dir
        self._extract = extract
        self._read = read
        self._keys = keys
        self.batch = batch
        self._open()
        self._attempts = Attempts(index_dir)
        self._skipped = skipped

    def _open(self) -> None:
        self._index = open_index(self._dir, create=True)
        try:
            # One thread: the gateway's seal and delivery processes need the cores more.
            self._writer = self._index.writer(heap_size=_HEAP, num_threads=1)
        except ValueError as error:
            raise unusable(self._dir, "another process is writing to it") from error
        # What a process that was killed in the middle of a commit has left: the next commit would
        # find its own file names taken, again and again.
        self._writer.garbage_collect_files()
        self._position = position(self._index)
        self._commits = 0
        self._spoilt = self._closed = False

    def step(self) -> int:
        """Index the next entries of the log and commit; how many entries, 0 if there are none.

        Mail that cannot be opened or parsed is indexed by its id and counted as unreadable.
        Raises IndexUnusable, LogMissing; BlobTrouble, IndexTrouble: nothing was done, call it
        again later.
        """
        if self._closed or self._commits >= _FRESH_AFTER:
            self.close()
            self._open()
        if self._spoilt:
            # A writer that met an error takes nothing more; and whether its last commit counts,
            # the folder alone knows.
            self._write(self._writer.rollback)
            self._spoilt = False
            self._position = position(self._index)
        with self._read() as conn:
            tip = reading.head(conn)
            at = place(self._dir, self._position, tip)
            rows = list(reading.read_raw(conn, at, limit=self.batch))
            if not rows:
                return 0
            self._attempts.begin()
            bringing, unclear = _bringing_content(rows)
            self._add_contents(conn, bringing)
        # A damaged entry may be the one that brought a mail: its id must be in the index. But it
        # must not replace a document that is there.
        added = {one.id for one in bringing}
        for archive_id in unclear:
            if archive_id not in added and not self._has(archive_id):
                added.add(archive_id)
                self._add(archive_id, None, None)
        self._commit(Position(tip.origin, tip.epoch, rows[-1][0] + 1))
        return len(rows)

    def close(self) -> None:
        """Let merges end and give the folder free. Raises IndexTrouble."""
        if not self._closed:
            self._closed = True  # whatever comes of it, this writer takes nothing more
            self._write(self._writer.wait_merging_threads)

    def _add_contents(self, conn: sa.Connection, bringing: list[Entry]) -> None:
        times = {one.id: one.time for one in bringing}
        commitments = {one.id: one.commitment for one in bringing}
        # The log is not asked whether the payload is the one it committed to: whoever opens a mail
        # that was found asks that, and so does `archive verify`.
        mails = reading.unsafe_stated_mails(conn, commitments)
        for sealed in _in_flight(conn, list(mails.values())):
            time = times.pop(sealed.archive_id)
            extracted: Extracted | None
            if not self._attempts.touch(sealed.archive_id):
                self._skipped(sealed.archive_id)
                self._add(sealed.archive_id, time, None)
                continue
            try:
                content = open_content(filled(sealed, self._blobs), self._keys)
                extracted = self._extract(content)
            except BlobTrouble:
                # Not unreadable: it will be there again, and mail is indexed once only.
                raise
            except Exception:  # noqa: BLE001 - hostile mail breaks parsers, not the index
                extracted = None
            self._add(sealed.archive_id, time, extracted)
        for archive_id, time in times.items():
            self._add(archive_id, time, None)

    def _add(self, archive_id: str, time: datetime | None, found: Extracted | None) -> None:
        document = tantivy.Document()
        document.add_text("id", archive_id)
        document.add_boolean("unreadable", found is None)
        if time is not None:
            document.add_date("time", time)
        if found is not None:
            _fill(document, found)
        # Not for all: a removal takes 1.2 kB, which stay as long as segments are being merged, on
        # a busy machine for minutes; and each commit looks for it in every segment.
        if self._has(archive_id):
            self._write(self._writer.delete_documents_by_term, "id", archive_id)
        self._write(self._writer.add_document, document)

    def _has(self, archive_id: str) -> bool:
        """Whether it is in the index as of the last commit. A piece adds each id once."""
        return bool(self._index.searcher().doc_freq("id", archive_id))

    def _commit(self, reached: Position) -> None:
        document = tantivy.Document()
        document.add_text("id", POSITION_ID)
        document.add_text("origin", reached.origin)
        document.add_unsigned("epoch", reached.epoch)
        document.add_unsigned("position", reached.size)
        self._write(self._writer.delete_documents_by_term, "id", POSITION_ID)
        self._write(self._writer.add_document, document)
        self._attempts.committing()
        # Killed before: this piece is done again. Killed after: it is done, and known as done.
        self._write(self._writer.commit)
        self._index.reload()
        self._position = reached
        self._commits += 1
        self._attempts.done()

    def _write(self, call: Callable[..., object], *arguments: object) -> None:
        """Have the writer do something. A full disk is told by ValueError, as all else is."""
        try:
            call(*arguments)
        except (ValueError, OSError) as error:
            self._spoilt = True
            raise IndexTrouble(
                Problem(
                    "index.not-written",
                    "the full-text index in {folder} cannot be written: {why}",
                    {"folder": str(self._dir), "why": str(error)},
                )
            ) from error


def _bringing_content(rows: list[tuple[int, str, bytes]]) -> tuple[list[Entry], list[str]]:
    """The entries that bring a mail, and the ids of rows that cannot be read."""
    bringing, unclear = [], []
    for _, archive_id, raw in rows:
        try:
            entry = decode(raw)
        except EntryMalformed:
            unclear.append(archive_id)
        else:
            if entry.kind == CONTENT_KIND:
                bringing.append(entry)
    return bringing, unclear


def _in_flight(conn: sa.Connection, mails: list[InFlight]) -> Iterator[Sealed]:
    """As `reading.read_in_flight`: small ones together, each large one alone."""
    yield from reading.read_in_flight(conn, [one for one in mails if one.size <= _LARGE])
    for one in mails:
        if one.size > _LARGE:
            yield from reading.read_in_flight(conn, [one])


def _fill(document: tantivy.Document, found: Extracted) -> None:
    document.add_text("subject", _clean(found.subject))
    document.add_text("body", _clean(found.body))
    for name, values in (
        ("from", found.senders),
        ("to", found.recipients),
        ("attachment", found.attachment_names),
    ):
        for value in values:
            document.add_text(name, _with_parts(_clean(value)))
    if found.date is not None and _DATE_FLOOR <= found.date < _DATE_CEILING:
        document.add_date("date", found.date)


def _with_parts(value: str) -> str:
    """The value, and what people search for in it: for an address local part, domain, words."""
    parts = [value, *_PARTS.findall(value)]
    for word in value.split():
        local, at, domain = word.strip("<>,;\"'").rpartition("@")
        if at:
            parts += [f"{local}@{domain}", local, domain, f"@{domain}"]
    return " ".join(parts)


def _clean(text: str) -> str:
    """Text that can be UTF-8: broken charsets leave lone surrogates."""
    return text.encode("utf-8", "replace").decode("utf-8")
