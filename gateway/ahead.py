"""How long before an end people are told of it, by kind of what ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

_WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Ahead:
    """None: nobody is told of this kind. crls: also when a newer one should be out by then."""

    seals: timedelta | None = _WEEK
    persons: timedelta | None = _WEEK
    anchors: timedelta | None = _WEEK
    intermediates: timedelta | None = _WEEK
    listener: timedelta | None = _WEEK
    directories: timedelta | None = _WEEK
    recipients: timedelta | None = _WEEK
    crls: timedelta | None = timedelta(hours=6)
    ocsp: timedelta | None = timedelta(hours=1)

    def of(self, kind: str) -> timedelta | None:
        """For a kind of `gateway.known.KnownCertificate`."""
        found: timedelta | None = {
            "seal": self.seals,
            "anchor": self.anchors,
            "intermediate": self.intermediates,
            "listener": self.listener,
            "directory": self.directories,
        }[kind]
        return found
