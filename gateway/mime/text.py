"""What full-text search knows of a mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Extracted:
    """The words of a mail. senders, recipients: addr-specs; date: of the Date field, aware."""

    subject: str
    senders: tuple[str, ...]
    recipients: tuple[str, ...]
    body: str
    attachment_names: tuple[str, ...]
    date: datetime | None


def extract(raw: bytes) -> Extracted:
    """Read a mail for the index. Never raises; bounded in time, depth, parts and output."""
    raise NotImplementedError
