"""SMTP replies."""

from __future__ import annotations


def reply_for(error: BaseException, incident: str) -> str:
    """The reply line for an error."""
    raise NotImplementedError
