"""What is trusted and known at one time: anchors, intermediates, CRLs. A snapshot, replaced whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa

from pki.anchors import Anchor

Connect = Callable[[], AbstractContextManager[sa.Connection]]  # Database.read or Database.write


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """Anchors, intermediates and CRLs that checks use; `version` changes with any of them."""

    anchors: tuple[Anchor, ...]
    version: tuple[int, ...]


class StoredTrust:
    """Trust whose CRLs come from the database; looks for news every `poll` (thread-safe)."""

    def __init__(
        self,
        read: Connect,
        *,
        anchors: Sequence[Anchor],
        intermediates: Sequence[bytes],
        poll: timedelta = timedelta(seconds=1),
    ) -> None: ...

    def current(self) -> Trust:
        """The newest snapshot; costs a query only when `poll` has passed."""
        ...
