"""The entries of a large CRL as one sorted file, which all processes map (RFC 5280 §5.3).

The file, numbers big-endian:

| octets | what |
|---|---|
| 8 | `SceauCRL` |
| 4 | version of this format, 1 |
| 32 | SHA-256 of the CRL |
| 32 | SHA-256 of the SubjectPublicKeyInfo whose key was seen to sign it |
| 4 | octets of its head |
| 8, 4, 4 | how many records, particulars, issuers |
| 41 each | records, sorted: serial number as DER has it but for the tag, zeros up to 22 octets; revocationDate, `YYYYMMDDhhmmss`; reasonCode, 255 for none; number of the particulars, 0 for none |
| 18 each | particulars: invalidityDate, or zeros; number of the certificateIssuer, 0 for the CRL's own issuer |
| 4 and so many, each | issuers: length and GeneralNames of a certificateIssuer; no. 0 is empty |
| so many | the head: the CRL without revokedCertificates (`pki.crl_entries.header_octets`) |
| 32 | SHA-256 of everything before |

The same CRL gives the same octets, always and everywhere. What a file must be, its digest, stands
in the database, so that a file that somebody put there counts for nothing. And what only stands in
the database counts for nothing either: a machine makes its files itself, from octets under a CA's
signature. Who would hide a revocation must be able to write in both.
"""  # noqa: E501 - a table

from __future__ import annotations

import hashlib
import mmap
import os
import struct
from bisect import bisect_left
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from cryptography import x509

from pki.crl_entries import REMOVED, Entry
from pki.crl_scan import PARTICULARS, Scan, directory_names, moment_of
from pki.crl_shapes import DATE, NO_REASON, RECORD, SERIAL
from pki.der import integer
from pki.names import NameKey, name_key

VERSION = 1
_MAGIC = b"SceauCRL"
_HEAD = struct.Struct(">8sI32s32sIQII")
_DIGEST = 32
_BLOCK = 1024 * 1024

# RFC 5280 §5.3.1
_NAMES = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: REMOVED,
    9: "privilegeWithdrawn",
    10: "aACompromise",
    NO_REASON: "",
}


class IndexDamagedError(Exception):
    """A file is not the index that it should be."""


def write_index(scan: Scan, *, crl_sha256: str, key_sha256: str, header: bytes, file: Path) -> str:
    """Write the index; its SHA-256. Afterwards it lies there whole, or not at all.

    key_sha256: of the key that made the signature over the CRL, which the caller has checked.
    Raises OSError.
    """
    particulars, issuers = scan.particulars, scan.issuers
    head = _HEAD.pack(
        _MAGIC,
        VERSION,
        bytes.fromhex(crl_sha256),
        bytes.fromhex(key_sha256),
        len(header),
        len(scan),
        len(particulars),
        len(issuers),
    )
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            digest = hashlib.sha256()
            names = [len(names).to_bytes(4, "big") + names for names in issuers]
            for piece in chain([head], scan.records(), particulars, names, [header]):
                digest.update(piece)
                stream.write(piece)
            stream.write(digest.digest())
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(file.parent)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class IndexedEntries:
    """Entries of one CRL in a mapped index; see `pki.crl_entries.Entries`. Thread-safe.

    file: what `write_index` wrote. crl_sha256, digest: of the CRL and of the index, as the database
    has them. All octets are read once, and not through the mapping, so that only the pages that are
    looked at count as memory. header, key_sha256: of the CRL, for `Crl.from_header`.
    Raises IndexDamagedError, OSError.
    """

    def __init__(self, file: Path, *, crl_sha256: str, digest: str) -> None:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            size = os.fstat(descriptor).st_size
            if size < _HEAD.size + _DIGEST:
                raise IndexDamagedError("it is cut short")
            if _digest_of(stream, size - _DIGEST) != digest:
                raise IndexDamagedError("its octets are not those that were written")
            self._map = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
            self._map.madvise(mmap.MADV_RANDOM)  # reading ahead would be in vain
        magic, version, crl, key, head, count, particulars, issuers = _HEAD.unpack_from(self._map)
        if magic != _MAGIC or version != VERSION:
            raise IndexDamagedError("it is of another version")
        if crl.hex() != crl_sha256:
            raise IndexDamagedError("it is of another CRL")
        self.key_sha256: str = key.hex()
        self._count: int = count
        self._particulars = _HEAD.size + RECORD * self._count
        at = self._particulars + PARTICULARS * particulars
        # Which certificates' issuers an entry is about, by the number of certificateIssuer.
        self._issuers: list[frozenset[NameKey]] = []
        for _ in range(issuers):
            end = at + 4 + int.from_bytes(self._map[at : at + 4], "big")
            names = self._map[at + 4 : end]
            self._issuers.append(directory_names(names) if names else frozenset())
            at = end
        self.header = self._map[at : at + head]
        if at + head != size - _DIGEST or not self._issuers:
            raise IndexDamagedError("its parts are not as long as they should be")
        self._issuers[0] = frozenset({name_key(x509.load_der_x509_crl(self.header).issuer)})

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> bytes:
        """Serial number of a record, for the binary search."""
        at = _HEAD.size + RECORD * number
        return self._map[at : at + SERIAL]

    def find(self, serial: int, issuer: NameKey) -> Entry | None:
        """As `Entries.find`. Of several entries for one certificate, which nobody should write,
        the first that says "revoked" counts, by date.
        """
        size = (serial if serial >= 0 else ~serial).bit_length() // 8 + 1
        if size >= SERIAL:
            return None
        wanted = integer(serial)[1:].ljust(SERIAL, b"\0")
        lifted = None
        for number in range(bisect_left(self, wanted), self._count):
            if self[number] != wanted:
                break
            entry = self._entry(number, issuer)
            if entry is not None and entry.reason != REMOVED:
                return entry
            lifted = lifted or entry
        return lifted

    def _entry(self, number: int, issuer: NameKey) -> Entry | None:
        """What a record says, or None if it is about another issuer's certificate."""
        at = _HEAD.size + RECORD * number + SERIAL
        date, reason = self._map[at : at + DATE], self._map[at + DATE]
        row = int.from_bytes(self._map[at + DATE + 1 : at + DATE + 5], "big")
        at = self._particulars + PARTICULARS * row
        invalid = self._map[at : at + DATE]
        names = self._issuers[int.from_bytes(self._map[at + DATE : at + PARTICULARS], "big")]
        if issuer not in names:
            return None
        since = moment_of(invalid) if invalid[0] else None
        return Entry(moment_of(date), _NAMES[reason], since)


def _digest_of(stream: BinaryIO, size: int) -> str:
    """SHA-256 of the first octets, which the last 32 must be. Raises IndexDamagedError."""
    digest = hashlib.sha256()
    while size and (block := stream.read(min(size, _BLOCK))):
        digest.update(block)
        size -= len(block)
    if stream.read(_DIGEST + 1) != digest.digest():
        raise IndexDamagedError("its last octets are not its digest")
    return digest.hexdigest()
