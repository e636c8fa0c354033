"""Times at which a rule holds: weekdays and hours in a named zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 24 * 60

_SPAN = re.compile(
    r"(?P<days>[a-z]{3}(?:[-,][a-z]{3})*+) (?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d) "
    r"(?P<zone>[A-Za-z0-9_+/-]{1,64})\Z"
)


class NotASpan(ValueError):
    """The text is not one of "mon-fri 08:00-19:00 Europe/Paris", or names no known zone.

    zone: the zone that this machine does not know, or "".
    """

    def __init__(self, zone: str = "") -> None:
        super().__init__(zone)
        self.zone = zone


@dataclass(frozen=True)
class Span:
    """Hours of some days of the week.

    days: 0 is Monday. begin, end: minutes of the day, end not included; where end is not after
    begin the span runs over midnight and belongs to the day it begins on.
    """

    text: str
    days: frozenset[int]
    begin: int
    end: int
    zone: str

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def has(self, moment: datetime) -> bool:
        """moment: aware. By the clock on the wall of the zone, summer time included."""
        local = moment.astimezone(self._zone)
        minute = local.hour * 60 + local.minute
        day = local.weekday()
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        return (day in self.days and minute >= self.begin) or (
            (day - 1) % 7 in self.days and minute < self.end
        )

    @property
    def minutes(self) -> frozenset[int]:
        """Minutes of the week, counted from Monday 00:00."""
        length = (self.end - self.begin) % _DAY or _DAY
        return frozenset(
            (day * _DAY + self.begin + minute) % (7 * _DAY)
            for day in self.days
            for minute in range(length)
        )


def parse_span(text: str) -> Span:
    """ "mon-fri 08:00-19:00 Europe/Paris". Raises NotASpan."""
    found = _SPAN.match(" ".join(text.split()))
    if found is None:
        raise NotASpan
    days: set[int] = set()
    for part in found["days"].lower().split(","):
        names = part.split("-")
        if len(names) > 2 or any(name not in DAYS for name in names):
            raise NotASpan
        first, last = DAYS.index(names[0]), DAYS.index(names[-1])
        days.update((first + n) % 7 for n in range((last - first) % 7 + 1))
    begin, end = _minutes(found["begin"]), _minutes(found["end"])
    if begin == _DAY:
        raise NotASpan
    try:
        ZoneInfo(found["zone"])
    except (KeyError, ValueError, OSError):
        raise NotASpan(found["zone"]) from None
    return Span(found[0], frozenset(days), begin, end, found["zone"])


def _minutes(text: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if minutes > 59 or hours * 60 + minutes > _DAY:
        raise NotASpan
    return hours * 60 + minutes


def covers(some: tuple[Span, ...], others: tuple[Span, ...]) -> bool:
    """Whether at every minute of `others` one of `some` holds too; False where zones differ."""
    for zone in {other.zone for other in others}:
        mine = frozenset[int]().union(*(span.minutes for span in some if span.zone == zone))
        if not all(other.minutes <= mine for other in others if other.zone == zone):
            return False
    return True
