"""The trust anchors that people decided on, for `pki.trust.StoredTrust`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import sqlalchemy as sa
import structlog

from gateway.foureyes.book import House, broken, read_book, stamp
from gateway.foureyes.errors import BookBroken
from gateway.foureyes.records import State
from pki.anchors import Anchor
from pki.errors import Problem

log = structlog.get_logger()


class Decided:
    """`pki.trust.DecidedAnchors`: all signatures are checked again with every change.

    faults: what the last look did not believe. An entry whose signatures do not hold is left out;
    where one is missing, there is no anchor at all: mail waits, and nothing is trusted wrongly.

    Signatures hold in any beginning of the log, so that who can write to the database could take
    the last decisions away and number the others anew. What this process has seen stays seen.
    """

    def __init__(self, house: House) -> None:
        self._house = house
        self._seen = (0, "")  # decisions, and the hash of the last of them
        self._suspended: tuple[Anchor, ...] = ()
        self.faults: tuple[Problem, ...] = ()

    def version(self, conn: sa.Connection) -> Hashable:
        """See `book.stamp`."""
        return stamp(conn, self._house)

    def anchors(self, conn: sa.Connection) -> Sequence[Anchor]:
        """Those of active records."""
        try:
            book = read_book(conn, self._house)
            if not book.continues(*self._seen):
                raise broken(
                    "{seen} decisions were read before, and they do not begin with those any more",
                    seen=str(self._seen[0]),
                )
        except BookBroken as error:
            self._tell((error.problem,))
            self._suspended = ()
            return ()
        self._seen = len(book.entries), book.last
        self._tell(book.refused)
        records = book.ledger.anchors.values()
        self._suspended = tuple(one.anchor for one in records if one.state is State.SUSPENDED)
        return [record.anchor for record in records if record.state is State.ACTIVE]

    def suspended(self) -> Sequence[Anchor]:
        """Those that were suspended when `anchors` was asked last."""
        return self._suspended

    def _tell(self, faults: tuple[Problem, ...]) -> None:
        for fault in faults:
            if fault not in self.faults:
                log.error("decision_not_believed", code=fault.code, reason=fault.text)
        self.faults = faults
