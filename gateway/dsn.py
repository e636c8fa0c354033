"""Failure notices to senders (RFC 3461 to 3464)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """A recipient for whom delivery has failed for good.

    status: enhanced code (RFC 3463). diagnostic: "550 5.1.1 no such user", the peer's words, or ""
        where no peer spoke. remote_mta: name of the peer, or "". last_attempt: aware UTC.
    """

    address: str
    status: str
    diagnostic: str
    remote_mta: str
    last_attempt: datetime | None


def failure_notice(
    *,
    reporting_mta: str,
    postmaster: str,
    original: bytes,
    original_sender: str,
    failed: Sequence[FailedRecipient],
    arrival: datetime,
    moment: datetime,
    archive_id: str,
    language: Literal["fr", "en"],
    headers_only: bool,
    boundary: str = "",
    message_id: str = "",
) -> bytes:
    """A complete mail with CRLF lines, to be sent with the null reverse-path."""
    raise NotImplementedError
