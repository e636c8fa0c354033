"""Dates in header fields (RFC 5322 §3.3, §4.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(
    r"(\d{1,2})[ -]{1,4}([A-Za-z]{3})[A-Za-z]{0,6}[ -]{1,4}(\d{2,4})[ ]{1,4}"
    r"(\d{1,2}):(\d{2})(?::(\d{2}))?[ ]{0,4}([+-]\d{4}|[A-Za-z]{1,5})?"
)
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}


def read_date(value: bytes) -> datetime | None:
    """The moment a Date field names, aware, in UTC; None where it names none. Never raises.

    Two-digit years and American zones as RFC 5322 §4.3; other zone names are UTC.
    """
    match = _DATE.search(value[:200].decode("ascii", "replace").replace("\t", " "))
    if match is None or match[2].lower() not in _MONTHS:
        return None
    year = int(match[3])
    if len(match[3]) < 4:
        year += 2000 if year < 50 else 1900
    zone = match[7] or ""
    if zone[:1] in ("+", "-"):
        minutes = int(zone[1:3]) * 60 + int(zone[3:])
        offset = timedelta(minutes=-minutes if zone[0] == "-" else minutes)
    else:
        offset = timedelta(hours=_ZONES.get(zone.upper(), 0))
    try:
        # In UTC at once: of the first and the last day of the calendar that fails, and it must not
        # fail where the moment is shown or compared.
        return datetime(
            year,
            _MONTHS.index(match[2].lower()) + 1,
            int(match[1]),
            int(match[4]),
            int(match[5]),
            min(int(match[6] or 0), 59),  # a leap second
            tzinfo=timezone(offset),
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
