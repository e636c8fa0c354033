"""What can go wrong with a decision."""

from __future__ import annotations

from pki.errors import PkiError


class ActRefused(PkiError):
    """A request or approval that does not count, and why. Nothing was changed."""


class BookBroken(PkiError):
    """The decisions in the log are not all there, or not as they were written: none is believed."""
