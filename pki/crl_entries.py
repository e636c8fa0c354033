"""Entries of a CRL, looked up one by one (RFC 5280 §5.3). Pure.

Paths and revocation reach entries only through `Entries`, so that a list of a million of them need
not stand in the memory of every worker: it can be a sorted file that is mapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cryptography import x509

from pki.certificate import UNREADABLE
from pki.der import element, integer
from pki.der_writing import sequence
from pki.errors import CrlRefused, problem
from pki.names import NameKey, name_key

REMOVED = "removeFromCRL"  # §5.3.1: only a delta CRL says so, of a hold that has been lifted
HOLD = "certificateHold"

_UNDERSTOOD = frozenset({x509.CRLReason.oid, x509.InvalidityDate.oid})
# `critical` of an Extension, BOOLEAN TRUE, and the tag of extnValue. Three octets alone would stand
# somewhere in the serial numbers of every CRL of a million.
_CRITICAL = b"\x01\x01\xff\x04"


@dataclass(frozen=True, slots=True)
class Entry:
    """A revoked certificate as the CRL lists it.

    date: revocationDate. reason: RFC 5280 §5.3.1 name, or "". invalid_from: invalidityDate
    (§5.3.2), the day from which the key is known or feared to be in wrong hands.
    """

    date: datetime
    reason: str
    invalid_from: datetime | None = None


class Entries(Protocol):
    """The revokedCertificates of one CRL.

    Whoever builds such an object has looked at every critical entry extension and has refused
    the CRL for one that is not among reasonCode, invalidityDate and, in an indirect CRL,
    certificateIssuer (§5.3): afterwards nobody sees them again.
    """

    def find(self, serial: int, issuer: NameKey) -> Entry | None:
        """The entry for the certificate with this serial number and issuer, or None.

        issuer: of the certificate. A direct CRL lists certificates of its own issuer only. In an
        indirect one certificateIssuer names it, and holds for all entries that follow until the
        next one; before the first it is the CRL's issuer (§5.3.3).
        """
        ...

    def __len__(self) -> int:
        """How many entries there are."""
        ...


class DerEntries:
    """The entries of a CRL that stands in memory as DER.

    Raises CrlRefused for a critical entry extension that is not understood, and what the parser
    raises where it cannot tell whose certificates an indirect CRL lists.
    """

    def __init__(
        self, crl: x509.CertificateRevocationList, der: bytes, *, issuer: NameKey, indirect: bool
    ) -> None:
        self._crl = crl
        self._der = der
        self._issuer = issuer
        self._indirect = indirect
        self._refuse_critical()
        # By number and issuer, of an indirect CRL. Read at once: the parser looks at an entry's
        # extensions when somebody asks for them, and a CRL is refused before it counts or never.
        self._table = self._read_all() if indirect else {}

    def _refuse_critical(self) -> None:
        """Walking a million entries takes seconds, so first look for the bytes without which
        there can be no critical extension.
        """
        begin, end = revoked_certificates(self._der)
        if self._der.find(_CRITICAL, begin, end) < 0:
            return
        understood = _UNDERSTOOD | ({x509.CertificateIssuer.oid} if self._indirect else set())
        for entry in self._crl:
            for extension in entry.extensions:
                if extension.critical and extension.oid not in understood:
                    raise CrlRefused(
                        problem(
                            "revocation.crl",
                            "this CRL cannot be used: an entry has the critical extension {oid}, "
                            "which is not supported",
                            oid=extension.oid.dotted_string,
                        )
                    )

    def __len__(self) -> int:
        return len(self._crl)

    def find(self, serial: int, issuer: NameKey) -> Entry | None:
        """As `Entries.find`.

        The parser has accepted the CRL as DER, where an integer has exactly one encoding: if
        those bytes are nowhere, the number is not listed. That search runs at memory speed;
        decoding entries one by one took 40 ms for 200,000.
        """
        if integer(serial) not in self._der:
            return None
        if self._indirect:
            return self._table.get((serial, issuer))
        if issuer != self._issuer:
            return None
        if serial < 0:  # forbidden by RFC 5280 §4.1.2.2, but seen; the quick way does not take it
            revoked = next((one for one in self._crl if one.serial_number == serial), None)
        else:
            revoked = self._crl.get_revoked_certificate_by_serial_number(serial)
        return None if revoked is None else _entry(revoked)

    def _read_all(self) -> dict[tuple[int, NameKey], Entry]:
        table: dict[tuple[int, NameKey], Entry] = {}
        issuers: tuple[NameKey, ...] = (self._issuer,)
        for revoked in self._crl:
            for extension in revoked.extensions:
                if isinstance(extension.value, x509.CertificateIssuer):
                    issuers = tuple(
                        name_key(name)
                        for name in extension.value.get_values_for_type(x509.DirectoryName)
                    )
            for issuer in issuers:
                table.setdefault((revoked.serial_number, issuer), _entry(revoked))
        return table


def _entry(revoked: x509.RevokedCertificate) -> Entry:
    """An entry whose extensions cannot be read (a reasonCode that is none) revokes all the same,
    without a reason: a fault here would keep every mail to that person waiting for ever.
    """
    reason = ""
    invalid_from = None
    try:
        extensions = list(revoked.extensions)
    except UNREADABLE:
        extensions = []
    for extension in extensions:
        if isinstance(extension.value, x509.CRLReason):
            reason = extension.value.reason.value
        elif isinstance(extension.value, x509.InvalidityDate):
            invalid_from = extension.value.invalidity_date_utc
    return Entry(revoked.revocation_date_utc, reason, invalid_from)


def revoked_certificates(der: bytes) -> tuple[int, int]:
    """Where the element revokedCertificates begins and ends; twice the same place if there is none
    (RFC 5280 §5.1). Raises ValueError.
    """
    start, _ = element(der, 0)
    at, tbs_end = element(der, start)
    if at < tbs_end and der[at] == 0x02:  # version
        at = element(der, at)[1]
    for _ in range(3):  # signature, issuer, thisUpdate
        at = element(der, at)[1]
    if at < tbs_end and der[at] in (0x17, 0x18):  # nextUpdate
        at = element(der, at)[1]
    if at < tbs_end and der[at] == 0x30:
        return at, element(der, at)[1]
    return at, at


def header_octets(der: bytes) -> bytes:
    """The CRL without revokedCertificates: a few hundred octets that parse as a CRL.

    The signature stays in it, but no longer fits: it was made over the whole.
    `der` may be a mapped file; nothing but the header is copied. Raises ValueError.
    """
    start, end = element(der, 0)
    content, tbs_end = element(der, start)
    begin, behind = revoked_certificates(der)
    tbs = sequence(bytes(der[content:begin]) + bytes(der[behind:tbs_end]))
    return sequence(tbs + bytes(der[tbs_end:end]))
