"""What stands in the CRLs of a case, read without a line of ours (pki/)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.judges.paths.model import NOW, Case

T = TypeVar("T", bound=x509.ExtensionType)
_KNOWN = (
    x509.CRLNumber, x509.AuthorityKeyIdentifier, x509.DeltaCRLIndicator,
    x509.IssuingDistributionPoint, x509.FreshestCRL,
)  # fmt: skip


@dataclass(frozen=True)
class ReadCrl:
    """One CRL. base: of a delta, the number of the complete one that it completes."""

    der: bytes
    crl: x509.CertificateRevocationList = field(compare=False)

    @cached_property
    def issuer(self) -> str:
        return same_name(self.crl.issuer)

    @cached_property
    def number(self) -> int:
        return next(iter(self._values(x509.CRLNumber))).crl_number

    @cached_property
    def base(self) -> int | None:
        return next((one.crl_number for one in self._values(x509.DeltaCRLIndicator)), None)

    @cached_property
    def point(self) -> x509.IssuingDistributionPoint | None:
        return next(iter(self._values(x509.IssuingDistributionPoint)), None)

    @cached_property
    def key(self) -> bytes | None:
        """Names the key that it says has signed it."""
        return next(iter(self._values(x509.AuthorityKeyIdentifier))).key_identifier

    @property
    def mark(self) -> tuple[object, ...]:
        """Alike in a chain that is made and signed again."""
        return self.issuer, self.number, self.base, self.point, self.crl.last_update_utc

    @property
    def issued(self) -> bool:
        return self.crl.last_update_utc <= NOW

    @property
    def stale(self) -> bool:
        assert self.crl.next_update_utc is not None
        return self.crl.next_update_utc < NOW

    @property
    def odd(self) -> bool:
        """It has a critical extension that nobody knows, for itself or for an entry."""
        return odd_entry(self) or any(
            one.critical and not isinstance(one.value, _KNOWN) for one in self.crl.extensions
        )

    @cached_property
    def listed(self) -> frozenset[tuple[int, str]]:
        """Serial number and issuer of who is revoked; §5.3.3: an issuer holds until the next."""
        found, issuer = set(), self.issuer
        for entry in self.crl:
            reason = ""
            for extension in entry.extensions:
                if isinstance(extension.value, x509.CertificateIssuer):
                    (name,) = extension.value.get_values_for_type(x509.DirectoryName)
                    issuer = same_name(name)
                if isinstance(extension.value, x509.CRLReason):
                    reason = extension.value.reason.value
            if reason != "removeFromCRL":
                found.add((entry.serial_number, issuer))
        return frozenset(found)

    def signed_by(self, cert: x509.Certificate) -> bool:
        """Whether it bears that name, and that key made the signature."""
        if same_name(cert.subject) != self.issuer:
            return False
        key = cert.public_key()
        octets, signature = self.crl.tbs_certlist_bytes, self.crl.signature
        digest = self.crl.signature_hash_algorithm
        try:
            if isinstance(key, ed25519.Ed25519PublicKey):
                key.verify(signature, octets)
            elif isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
                key.verify(signature, octets, ec.ECDSA(digest))
            elif isinstance(key, rsa.RSAPublicKey) and digest is not None:
                key.verify(signature, octets, padding.PKCS1v15(), digest)
            else:
                return False
        except InvalidSignature:
            return False
        return True

    def _values(self, kind: type[T]) -> Iterator[T]:
        return (one.value for one in self.crl.extensions if isinstance(one.value, kind))


def crls(case: Case) -> list[ReadCrl]:
    """All CRLs of a case."""
    return [ReadCrl(der, x509.load_der_x509_crl(der)) for der in case.crls]


def certificates(case: Case) -> list[x509.Certificate]:
    """All certificates of a case."""
    ders = [case.leaf, *case.anchors, *case.others]
    return [x509.load_der_x509_certificate(der) for der in ders]


def same_name(name: x509.Name) -> str:
    """RFC 5280 §7.1: neither case nor the number of blanks makes another name."""
    return " ".join(name.rfc4514_string().casefold().split())


def odd_entry(crl: ReadCrl) -> bool:
    """One of its entries has a critical extension that nobody knows."""
    return any(
        one.critical and not isinstance(one.value, x509.CertificateIssuer)
        for entry in crl.crl
        for one in entry.extensions
    )


def signers(case: Case, known: Collection[bytes]) -> list[tuple[x509.Certificate, ReadCrl]]:
    """Who signed a CRL and is none of those who are known."""
    return [
        (cert, crl)
        for cert in certificates(case)
        if cert.public_bytes(Encoding.DER) not in known
        for crl in crls(case)
        if crl.signed_by(cert)
    ]


def names_issuers(crl: ReadCrl) -> bool:
    """One of its entries is for a certificate of an issuer that it names (RFC 5280 §5.3.3)."""
    return any(
        isinstance(one.value, x509.CertificateIssuer)
        for entry in crl.crl
        for one in entry.extensions
    )


def forged(case: Case) -> list[ReadCrl]:
    """CRLs that nobody of their issuer's name has signed."""
    known = certificates(case)
    return [crl for crl in crls(case) if not any(map(crl.signed_by, known))]


def without_base(case: Case) -> list[ReadCrl]:
    """Delta CRLs for which there is no complete one of the same issuer, key and scope that could
    be used and that is as new as they ask (RFC 5280 §5.2.4).
    """
    everything, lies = crls(case), {crl.der for crl in forged(case)}
    whole = [
        crl
        for crl in everything
        if crl.base is None and crl.issued and not crl.odd and crl.der not in lies
    ]
    return [
        delta
        for delta in everything
        if delta.base is not None
        and not any(
            (crl.issuer, crl.key, crl.point) == (delta.issuer, delta.key, delta.point)
            and delta.base <= crl.number
            for crl in whole
        )
    ]
