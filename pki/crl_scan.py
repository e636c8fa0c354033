"""Reads the entries of a CRL of any size in one strict pass (RFC 5280 §5.1, §5.3). Pure.

An object for each of a million entries would cost seconds and half a gigabyte. So entries of the
shape that nearly all have are taken by one regular expression, which runs in C and tiles the octets
without gaps; every other entry is read by itself, as strictly. What is not DER, or not understood,
refuses the whole CRL and says at which octet: an entry that were skipped might be the revocation
that matters.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from struct import Struct

from pki import ber
from pki.crl_entries import revoked_certificates
from pki.crl_shapes import DATE, NO_REASON, OF_SIZE, RECORD, SERIAL, usual_entries
from pki.der import element
from pki.errors import CrlRefused, problem
from pki.names import NameKey, name_key_of

MAX_OCTETS = 64 * 1024 * 1024

PARTICULARS = DATE + 4  # invalidityDate or zeros; number of the issuer, 0 for the CRL's own
_IS_OID = re.compile(rb"(?:(?:[\x81-\xff][\x80-\xff]*)?[\x00-\x7f])+", re.DOTALL)
_NOTHING = bytes(PARTICULARS)
_EACH = Struct(f"{RECORD}s")

_INTEGER, _OCTET_STRING, _OID, _ENUMERATED = 0x02, 0x04, 0x06, 0x0A
_SEQUENCE, _BOOLEAN, _UTC, _GENERALIZED = 0x30, 0x01, 0x17, 0x18
_DIRECTORY_NAME = 0xA4  # GeneralName directoryName [4]
_REASON, _INVALIDITY, _ISSUER = b"\x55\x1d\x15", b"\x55\x1d\x18", b"\x55\x1d\x1d"
_REASONS = frozenset(range(11)) - {7}  # §5.3.1: 7 is not used

_WINDOW, _SMALLEST = 64 * 1024, 512


class Scan:
    """The entries of a CRL as sorted records, and what the records refer to.

    records(): each of RECORD octets. particulars: each of PARTICULARS octets; no. 0 is "none".
    issuers: contents of certificateIssuer extensions (GeneralNames); no. 0 stands for the CRL's
    own issuer and is empty.
    indirect: whether the CRL says so of itself: then, and only then, certificateIssuer counts.
    Raises CrlRefused: an entry that is not DER, a critical extension that is not understood.
    """

    def __init__(self, der: bytes, *, indirect: bool = False) -> None:
        if len(der) > MAX_OCTETS:
            raise CrlRefused(
                problem(
                    "limits.crl",
                    "this CRL is larger than {limit} octets",
                    limit=str(MAX_OCTETS),
                )
            )
        self._der = der
        self._indirect = indirect
        self._issuer = 0
        self._particulars: dict[bytes, int] = {_NOTHING: 0}
        self._issuers: dict[bytes, int] = {b"": 0}
        # By length of the serial number and its first octet: what is sorted together then fits
        # into the processor's cache, which halves the time, and exists as objects only then.
        self._places: defaultdict[int, list[bytearray]] = defaultdict(
            lambda: [bytearray() for _ in range(512)]
        )
        begin, end = revoked_certificates(der)
        if begin < end:
            content, _ = element(der, begin)
            self._pattern = usual_entries(der, content, end)
            self._walk(content, end)

    def __len__(self) -> int:
        """How many entries there are."""
        return sum(len(place) for places in self._places.values() for place in places) // RECORD

    def records(self) -> Iterator[bytes]:
        """All records in order, in pieces of many."""
        for serial in sorted(self._places):
            places = self._places[serial]
            for place in (*places[256:], *places[:256]):
                yield b"".join(sorted(record for (record,) in _EACH.iter_unpack(place)))

    @property
    def particulars(self) -> tuple[bytes, ...]:
        """In the order of their numbers."""
        return tuple(self._particulars)

    @property
    def issuers(self) -> tuple[bytes, ...]:
        """In the order of their numbers."""
        return tuple(self._issuers)

    def _walk(self, at: int, end: int) -> None:
        window = _WINDOW
        while at < end:
            stop = min(at + window, end)
            taken = self._alike(at, stop, last=stop == end)
            if taken > at:
                # Much that was looked at in vain will be so again: entries are mixed here.
                wider = taken > at + window // 2
                window = min(2 * window, _WINDOW) if wider else max(window // 2, _SMALLEST)
                at = taken
                continue
            at = self._one(at, end)
            while at < end and self._is_odd(at):
                at = self._one(at, end)

    def _is_odd(self, at: int) -> bool:
        """Whether the octets there do not begin a usual entry."""
        found = self._pattern.match(self._der, at)
        return found is None or found.end() == at + 1

    def _alike(self, at: int, stop: int, *, last: bool) -> int:
        """Take the usual entries from `at` on, as many as follow each other; where they end.

        What goes beyond `stop` is cut off and may look like another entry: the last one is left to
        the next window.
        """
        found = self._pattern.findall(self._der, at, stop)
        sizes = list(map(len, found))
        count = (sizes.index(1) if 1 in sizes else len(sizes)) - (not last)
        if count <= 0:
            return at
        nothing = self._number(b"", self._issuer)
        for size, group in groupby(sorted(found[:count], key=len), key=len):
            entries = b"".join(group)
            for shape in OF_SIZE[size]:
                self._add(shape.serial, shape.records(shape.among(entries), nothing))
        return at + sum(sizes[:count])

    def _add(self, serial: int, records: bytes) -> None:
        """Records of one length of serial numbers, to the others that begin like them.

        Where the first octet is zero the second one tells them apart: half of all serial numbers
        of 128 bits have a zero in front.
        """
        places = self._places[serial]
        for (record,) in _EACH.iter_unpack(records):
            places[record[1] or 256 + record[2]] += record

    def _one(self, at: int, end: int) -> int:
        """Read an entry of any shape; where it ends."""
        der = self._der
        body, stop = self._inside(at, end, _SEQUENCE)
        content, after = self._inside(body, stop, _INTEGER)
        serial = der[body + 1 : after]
        if not 1 <= after - content < SERIAL or len(serial) != after - content + 1:
            raise _malformed(body, "its serial number is longer than 20 octets, or empty")
        if re.match(rb".[^\0\xff]|..\Z|.\0[\x80-\xff]|.\xff[\0-\x7f]", serial, re.DOTALL) is None:
            raise _malformed(body, "its serial number is not as DER writes it")
        date, body = self._time(after, stop)
        reason, invalid = NO_REASON, b""
        if body < stop:
            extensions, behind = self._inside(body, stop, _SEQUENCE)
            if behind != stop or extensions == behind:
                raise _malformed(body, "its extensions are empty, or not its end")
            reason, invalid = self._extensions(extensions, behind)
        number = self._number(invalid, self._issuer)
        record = serial.ljust(SERIAL, b"\0") + date + bytes((reason,)) + number
        self._add(serial[0], record)
        return stop

    def _extensions(self, at: int, end: int) -> tuple[int, bytes]:
        """Reason and invalidityDate; certificateIssuer holds from here on (§5.3.3)."""
        reason, invalid = NO_REASON, b""
        seen = set()
        for start, oid, critical, begin, stop in self._each(at, end):
            if oid in seen:
                raise _malformed(start, "it has the same extension twice")
            seen.add(oid)
            if oid == _REASON:
                content, behind = self._inside(begin, stop, _ENUMERATED)
                if behind != stop or stop - content != 1 or self._der[content] not in _REASONS:
                    raise _malformed(begin, "its reasonCode is none")
                reason = self._der[content]
            elif oid == _INVALIDITY:
                if self._der[begin : begin + 1] != bytes((_GENERALIZED,)):
                    raise _malformed(begin, "its invalidityDate is none")
                invalid, behind = self._time(begin, stop)
                if behind != stop:
                    raise _malformed(begin, "its invalidityDate is none")
            elif oid == _ISSUER and self._indirect:
                names = self._der[begin:stop]
                try:
                    directory_names(names)
                except ValueError:
                    raise _malformed(begin, "its certificateIssuer is none") from None
                self._issuer = self._issuers.setdefault(names, len(self._issuers))
            elif critical:
                raise CrlRefused(
                    problem(
                        "revocation.crl",
                        "this CRL cannot be used: the entry at octet {offset} has the critical "
                        "extension {oid}, which is not supported",
                        offset=str(start),
                        oid=ber.dotted(ber.read(bytes((_OID, len(oid))) + oid)),
                    )
                )
        return reason, invalid

    def _each(self, at: int, end: int) -> Iterator[tuple[int, bytes, bool, int, int]]:
        """Extensions: where each begins, OID, critical, where its value begins and ends."""
        while at < end:
            body, stop = self._inside(at, end, _SEQUENCE)
            name, body = self._inside(body, stop, _OID)
            oid = self._der[name:body]
            if len(oid) > ber.MAX_OID or _IS_OID.fullmatch(oid) is None:
                raise _malformed(name, "an object identifier is not as DER writes it")
            critical = False
            if body < stop and self._der[body] == _BOOLEAN:
                critical = self._der[body : body + 3] == b"\x01\x01\xff"
                if not critical:  # FALSE is the default, which DER leaves out
                    raise _malformed(body, "`critical` of an extension is not as DER writes it")
                body += 3
            value, behind = self._inside(body, stop, _OCTET_STRING)
            if behind != stop:
                raise _malformed(body, "there is something behind an extension")
            yield at, oid, critical, value, behind
            at = stop

    def _time(self, at: int, end: int) -> tuple[bytes, int]:
        """A UTCTime or GeneralizedTime in UTC with seconds (§4.1.2.5) as 14 digits."""
        tag = self._der[at] if at < end else 0
        if tag not in (_UTC, _GENERALIZED):
            raise _malformed(at, "there is no time where one should be")
        content, stop = self._inside(at, end, tag)
        text = self._der[content:stop]
        if tag == _UTC:
            text = (b"20" if text < b"50" else b"19") + text
        digits = text[:-1]
        try:
            if len(digits) != DATE or text[-1:] != b"Z" or not digits.isdigit():
                raise ValueError
            moment_of(digits)
        except ValueError:
            raise _malformed(at, "a time in it is none") from None
        return digits, stop

    def _number(self, invalid: bytes, issuer: int) -> bytes:
        """The particulars' number, as a record has it."""
        row = invalid.ljust(DATE, b"\0") + issuer.to_bytes(4, "big")
        return self._particulars.setdefault(row, len(self._particulars)).to_bytes(4, "big")

    def _inside(self, at: int, end: int, tag: int) -> tuple[int, int]:
        """Content and end of the element at `at`, which has this tag and lies before `end`."""
        der = self._der
        if at + 2 > end or der[at] != tag:
            raise _malformed(at, "it is not built as RFC 5280 §5.1 says")
        length, content = der[at + 1], at + 2
        if length >= 0x80:
            count = length & 0x7F
            length = int.from_bytes(der[content : content + count], "big")
            if not 1 <= count <= 4 or length < 0x80 or length >> 8 * (count - 1) == 0:
                raise _malformed(at, "a length in it is not as DER writes it")
            content += count
        if content + length > end:
            raise _malformed(at, "it is cut short")
        return content, content + length


def moment_of(digits: bytes) -> datetime:
    """The moment that 14 digits of a record say. Raises ValueError where the calendar has none."""
    year, rest = int(digits[:4]), digits[4:]
    parts = (int(rest[at : at + 2]) for at in range(0, DATE - 4, 2))
    month, day, hour, minute, second = parts
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def directory_names(octets: bytes) -> frozenset[NameKey]:
    """The directory names among the GeneralNames of a certificateIssuer. Raises ValueError."""
    names = ber.read(octets).expect(ber.SEQUENCE)
    return frozenset(name_key_of(name[0]) for name in names if name.tag == _DIRECTORY_NAME)


def _malformed(offset: int, why: str) -> CrlRefused:
    return CrlRefused(
        problem(
            "structure.crl",
            "this is not a CRL that can be read: {detail}",
            detail=f"the entry at octet {offset}: {why}",
        )
    )
