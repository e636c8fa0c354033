"""CRLs (RFC 5280 §5): read, checked, looked up. Pure.

Complete and delta ones, direct and indirect, for all reasons and for some. What each says about a
certificate is `pki.revocation`'s to judge: taken for a complete one, each of the others would hide
revocations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from pki import pem
from pki.certificate import UNREADABLE, ParsedCertificate, signature_holds
from pki.crl_entries import DerEntries, Entries, Entry
from pki.crl_scope import IssuingScope, read_scope
from pki.der import algorithms_agree
from pki.errors import CrlRefused, problem
from pki.models import RevocationEvidence
from pki.names import NameKey, name_key, name_text


class Crl:
    """A CRL. Structure and extensions have been looked at, the signature has not been checked.

    What stands in its head is attributes; its entries are behind `entries`. base_number: of a
    delta CRL (§5.2.4) the number of the oldest complete one that it completes, else None.
    freshest: URLs where delta CRLs are (§5.2.6). Raises CrlRefused.
    """

    def __init__(self, der: bytes, source: str = "") -> None:
        self._open(der, hashlib.sha256(der).hexdigest(), source)
        self._der: bytes | None = der
        try:
            self.entries: Entries = DerEntries(
                self.x509, der, issuer=self.issuer, indirect=self.scope.indirect
            )
        except UNREADABLE as error:
            raise _unreadable(error) from error

    @classmethod
    def from_header(
        cls,
        header: bytes,
        entries: Entries,
        *,
        sha256: str,
        verified_keys: Iterable[str],
        source: str = "",
    ) -> Crl:
        """A CRL whose entries stand elsewhere, for instance in a mapped file.

        header: `pki.crl_entries.header_octets` of it. A CRL and not a structure of our own, so
        that the index has no second reading of scopes, and one that is refused today is refused.
        sha256: of the whole CRL. verified_keys: SHA-256 (hex) of the SubjectPublicKeyInfo of each
        key that has been seen to make the signature over the whole, signatureAlgorithm being the
        same inside and outside (`signed_by` of a Crl made from all octets says both); no other
        key is believed, since the octets under the signature are not here.
        Raises CrlRefused.
        """
        crl = cls.__new__(cls)
        crl._open(header, sha256, source)
        crl._der = None
        crl.entries = entries
        crl._verified_keys = frozenset(verified_keys)
        return crl

    def _open(self, der: bytes, sha256: str, source: str) -> None:
        self.source = source
        self.sha256 = sha256
        self._verified_keys: frozenset[str] = frozenset()
        self._signed_by: dict[str, bool] = {}
        try:
            self.x509 = x509.load_der_x509_crl(der)
            self._read(self.x509)
        except UNREADABLE as error:
            raise _unreadable(error) from error

    @property
    def der(self) -> bytes:
        """All octets. Raises ValueError if the CRL was made from its header."""
        if self._der is None:
            raise ValueError("the octets of this CRL are not in memory")
        return self._der

    def _read(self, crl: x509.CertificateRevocationList) -> None:
        self.issuer: NameKey = name_key(crl.issuer)
        self.issuer_text = name_text(crl.issuer)
        self.this_update: datetime = crl.last_update_utc
        next_update = crl.next_update_utc
        if next_update is None:
            raise _refused("it does not say until when it holds (RFC 5280 §5.1.2.5)")
        self.next_update: datetime = next_update
        self.number: int | None = None
        self.authority_key_id: bytes | None = None
        self.base_number: int | None = None
        self.scope = IssuingScope()
        self.freshest: tuple[str, ...] = ()
        for extension in crl.extensions:
            self._extension(extension)

    def _extension(self, extension: x509.Extension[x509.ExtensionType]) -> None:
        value = extension.value
        if isinstance(value, x509.CRLNumber):
            self.number = value.crl_number
        elif isinstance(value, x509.AuthorityKeyIdentifier):
            self.authority_key_id = value.key_identifier
        elif isinstance(value, x509.DeltaCRLIndicator):
            self.base_number = value.crl_number
        elif isinstance(value, x509.IssuingDistributionPoint):
            if value.only_contains_attribute_certs:
                raise _refused("it is for attribute certificates only")
            self.scope = read_scope(value, self.issuer)
        elif isinstance(value, x509.FreshestCRL):  # where deltas are, not what they are worth
            self.freshest = tuple(
                name.value
                for point in value
                for name in point.full_name or ()
                if isinstance(name, x509.UniformResourceIdentifier)
            )
        elif extension.critical:
            raise _refused(
                "it has the critical extension {oid}, which is not supported",
                oid=extension.oid.dotted_string,
            )

    def signed_by(self, issuer: ParsedCertificate) -> bool:
        """Whether `issuer` has the CRL's issuer name and its key made the signature."""
        if issuer.subject != self.issuer:
            return False
        key = issuer.key_sha256
        if self._der is None:
            return key in self._verified_keys
        known = self._signed_by.get(key)
        if known is None:
            known = algorithms_agree(self._der) and signature_holds(
                self._der, self.x509, issuer.public_key
            )
            self._signed_by[key] = known
        return known

    def find(self, cert: ParsedCertificate) -> Entry | None:
        """The entry for a certificate, or None."""
        return self.entries.find(cert.serial, cert.issuer)

    @property
    def series(self) -> str:
        """Names issuer, key, scope and kind: of one series the newest replaces all older ones.

        The same in every process and for ever: it stands in the database.
        """
        points = sorted(
            value if isinstance(value, str) else repr([sorted(rdn) for rdn in value])
            for _, value in self.scope.points or ()
        )
        issuer = [sorted(rdn) for rdn in self.issuer]
        key = (self.authority_key_id or b"").hex()
        text = repr((issuer, key, points, self.scope.only_users, self.scope.only_cas))
        # Only complete direct CRLs for all reasons were known once; their names must not change.
        if self.scope.reasons is not None:
            text += repr(sorted(reason.value for reason in self.scope.reasons))
        text += "indirect" * self.scope.indirect + "delta" * (self.base_number is not None)
        return hashlib.sha256(text.encode()).hexdigest()

    def evidence(self, cert: ParsedCertificate) -> RevocationEvidence:
        """What the record keeps: which CRL spoke for `cert`."""
        return RevocationEvidence(
            issuer=self.issuer_text,
            number=self.number,
            this_update=self.this_update,
            next_update=self.next_update,
            sha256=self.sha256,
            subject=cert.subject_text,
            source=self.source,
        )


def read_crl(data: bytes, source: str = "") -> Crl:
    """A CRL from PEM or DER. Raises CrlRefused."""
    return Crl(crl_der(data), source)


def crl_der(data: bytes) -> bytes:
    """DER of a CRL from PEM (RFC 7468 §7) or DER. Nothing in it is looked at: a million entries
    that nobody signed shall cost nothing. Raises CrlRefused.
    """
    try:
        return pem.der_of(data, "X509 CRL")
    except ValueError as error:
        raise _unreadable(error) from error


@dataclass(frozen=True, slots=True)
class Version:
    """What of a known CRL tells whether another one is newer."""

    number: int | None
    this_update: datetime


def check_successor(new: Crl, old: Crl | Version) -> None:
    """A CRL may not go back behind one that is known (RFC 5280 §5.2.3; a replayed old CRL would
    make revoked certificates good again). Raises CrlRefused.
    """
    if new.number is not None and old.number is not None and new.number < old.number:
        raise CrlRefused(
            problem(
                "revocation.crl-number",
                "CRL no. {new} of {issuer} is older than no. {old}, which is known already",
                new=str(new.number),
                old=str(old.number),
                issuer=new.issuer_text,
            )
        )
    if new.this_update < old.this_update:
        raise CrlRefused(
            problem(
                "revocation.crl-older",
                "the CRL of {issuer} of {new} is older than the one of {old}, known already",
                new=new.this_update.isoformat(),
                old=old.this_update.isoformat(),
                issuer=new.issuer_text,
            )
        )
    if old.number is not None and new.number is None:
        raise CrlRefused(
            problem(
                "revocation.crl-number",
                "the CRL of {issuer} has no number, but no. {old} is known already",
                old=str(old.number),
                issuer=new.issuer_text,
            )
        )


def _refused(why: str, **facts: str) -> CrlRefused:
    return CrlRefused(problem("revocation.crl", "this CRL cannot be used: " + why, **facts))


def _unreadable(error: Exception) -> CrlRefused:
    return CrlRefused(
        problem(
            "structure.crl", "this is not a CRL that can be read: {detail}", detail=str(error)[:200]
        )
    )
