"""The shapes that nearly all entries of a CRL have, thousands of which become records. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A record: serial, date, reason, number of the particulars; `pki.crl_index` says more.
SERIAL = 22  # the INTEGER without its tag: length, then at most 21 octets; then zeros
DATE = 14  # YYYYMMDDhhmmss
RECORD = SERIAL + DATE + 1 + 4
NO_REASON = 0xFF

# The usual entry: an INTEGER as DER writes it, a UTCTime, and nothing else or a reasonCode.
_SHORTEST = rb"(?!\x00[\x00-\x7f]|\xff[\x80-\xff])"
_SOME_REASON = rb"\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01[\x00-\x06\x08-\x0a]"
# A UTCTime from 2000 on that the calendar has; the look behind is for leap years.
_TIME = (
    rb"\x17\x0d(?!..02(?:3|29(?<!(?:[02468][048]|[13579][26])0229))|..(?:0[469]|11)31)"
    rb"[0-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ"
)
_TIME_SIZE, _REASON_SIZE = 15, 14
_SAMPLE = 32 * 1024


@dataclass(frozen=True, slots=True)
class Shape:
    """Entries that are alike but for what is in them. serial: octets of the number."""

    serial: int
    reason: bool

    @property
    def size(self) -> int:
        """Octets of the whole entry."""
        return 4 + self.serial + _TIME_SIZE + self.reason * _REASON_SIZE

    @property
    def pattern(self) -> bytes:
        """Matches such entries and no others."""
        head = rb"\x30\x%02x\x02\x%02x" % (self.size - 2, self.serial)
        serial = (_SHORTEST if self.serial > 1 else b"") + rb".{%d}" % self.serial
        return head + serial + _TIME + (_SOME_REASON if self.reason else b"")

    def among(self, entries: bytes) -> bytes:
        """Those of this shape among entries of its size: the length of the number tells."""
        size, lengths = self.size, entries[3 :: self.size]
        if lengths.count(self.serial) == len(lengths):
            return entries
        return b"".join(
            entries[at * size : (at + 1) * size]
            for at, length in enumerate(lengths)
            if length == self.serial
        )

    def records(self, entries: bytes, particulars: bytes) -> bytes:
        """Records of entries of this shape, one behind the other.

        Octet by octet for all entries at once: a slice with a step is a loop in C.
        """
        size = self.size
        record = bytes((self.serial,)).ljust(SERIAL, b"\0") + b"20".ljust(DATE, b"0")
        record += bytes((NO_REASON,)) + particulars
        made = bytearray(record * (len(entries) // size))
        for octet in range(self.serial):
            made[1 + octet :: RECORD] = entries[4 + octet :: size]
        for octet in range(DATE - 2):
            made[SERIAL + 2 + octet :: RECORD] = entries[6 + self.serial + octet :: size]
        if self.reason:
            made[SERIAL + DATE :: RECORD] = entries[size - 1 :: size]
        return bytes(made)


_SHAPES = [Shape(size, reason) for size in range(1, SERIAL) for reason in (False, True)]
OF_SIZE = {one.size: [each for each in _SHAPES if each.size == one.size] for one in _SHAPES}


def usual_entries(der: bytes, at: int, end: int) -> re.Pattern[bytes]:
    """Matches a usual entry, or else one octet of anything.

    So each match begins where the one before has ended, and what comes before such an octet leaves
    no gaps. What is frequent among the first entries is tried first.
    """
    sample = der[at : min(end, at + _SAMPLE)]
    frequent = sorted(_SHAPES, key=lambda shape: -len(re.findall(shape.pattern, sample, re.DOTALL)))
    return re.compile(b"|".join([*(shape.pattern for shape in frequent), b"."]), re.DOTALL)
