"""The five states of a recipient (invariant I2) and the moves between them.

queued ──▶ delivered
  │  ▲ └─▶ failed      (a DSN goes to the sender)
  ▼  │
 held ───▶ cancelled   (by a person) or failed (bounced by a person)
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a recipient of an accepted message stands; always exactly one."""

    QUEUED = "queued"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = (State.QUEUED, State.HELD)
SETTLED = (State.DELIVERED, State.FAILED, State.CANCELLED)
