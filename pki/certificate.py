"""A certificate read once: everything that path and usage checks ask for. Pure."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, padding
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import ber
from pki.addresses import CertificateAddresses, addresses_in
from pki.algorithms import (
    Operation,
    SignedStructure,
    describe_key,
    judge_size,
    too_large,
)
from pki.der import algorithms_agree, signed_part
from pki.errors import CertificateRefused, Problem, problem
from pki.inherited import complete, public_value, with_placeholder
from pki.names import NameKey, name_key, name_text
from pki.signature import made_by
from pki.weak_keys import weakness

ANY_POLICY = "2.5.29.32.0"
_SMIME_CAPABILITIES = x509.ObjectIdentifier("1.2.840.113549.1.9.15")
_POLICY_MAPPINGS = x509.ObjectIdentifier("2.5.29.33")

# Extensions whose meaning is applied here, in pki.path, pki.revocation or pki.usage. Any other
# one that is critical makes the certificate unusable (RFC 5280 §6.1.4 (o), §6.1.5 (f)).
_UNDERSTOOD = frozenset(
    {
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
        x509.CertificatePolicies.oid,
        _POLICY_MAPPINGS,
        x509.PolicyConstraints.oid,
        x509.InhibitAnyPolicy.oid,
        x509.NameConstraints.oid,
        x509.SubjectAlternativeName.oid,
        x509.CRLDistributionPoints.oid,
        x509.AuthorityKeyIdentifier.oid,
        x509.SubjectKeyIdentifier.oid,
    }
)

MAX_OCTETS = 100_000
_ISSUERS = 64  # keys of which it is remembered whether they made a signature

# What `cryptography` raises for bytes that are not what they should be. Not all of it is a
# ValueError: InvalidVersion of one certificate in a directory once ended the worker.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

_MAIL = frozenset(
    {
        ExtendedKeyUsageOID.EMAIL_PROTECTION,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    }
)
_MD5 = x509.SignatureAlgorithmOID.RSA_WITH_MD5

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_Extensions = Mapping[x509.ObjectIdentifier, x509.ExtensionType]


class ParsedCertificate:
    """A certificate and what is in it. Nothing about it has been checked but its structure.

    dsa_value: of a DSA key without parameters; it has no public key before `completed_by`.
    Raises CertificateRefused (structure.…) if it cannot be read in full.
    """

    def __init__(self, der: bytes) -> None:
        if len(der) > MAX_OCTETS:
            raise _malformed("it is larger than {limit} octets", limit=str(MAX_OCTETS))
        self.der = der
        self._signed_by: dict[bytes, bool] = {}
        self.sha256 = hashlib.sha256(der).hexdigest()
        try:
            self.dsa_value = None
            try:
                self.x509 = x509.load_der_x509_certificate(der)
            except ValueError:
                self.dsa_value = public_value(der)
                if self.dsa_value is None:
                    raise
                self.x509 = x509.load_der_x509_certificate(with_placeholder(der))
            self._read(self.x509)
        except UNREADABLE as error:
            if str(error).startswith("error parsing asn1"):  # and then the parser's own names
                raise _malformed("it is not the DER of RFC 5280 §4.1, or cut off") from error
            raise _malformed("{detail}", detail=str(error)[:200]) from error

    def _read(self, cert: x509.Certificate) -> None:
        self.subject: NameKey = name_key(cert.subject)
        self.issuer: NameKey = name_key(cert.issuer)
        self.serial = cert.serial_number
        if self.serial.bit_length() > 8 * 21:  # RFC 5280 §4.1.2.2: 20 octets
            raise ValueError("its serial number is longer than 20 octets")
        self.not_before: datetime = cert.not_valid_before_utc
        self.not_after: datetime = cert.not_valid_after_utc
        self.self_issued = self.subject == self.issuer
        # RFC 5280 §4.1.1.2: the signed and the unsigned copy must be the same.
        self.same_algorithm_twice = algorithms_agree(self.der)

        # Asked for a dozen of them, a library that looks each up from the first on takes its time.
        extensions = {one.oid: one.value for one in cert.extensions}
        self.basic = _value(extensions, x509.BasicConstraints)
        self.key_usage = _value(extensions, x509.KeyUsage)
        self.extended_key_usage = _value(extensions, x509.ExtendedKeyUsage)
        self.name_constraints = _value(extensions, x509.NameConstraints)
        self.policy_constraints = _value(extensions, x509.PolicyConstraints)
        self.san = _value(extensions, x509.SubjectAlternativeName)
        self.addresses: CertificateAddresses = addresses_in(cert.subject, self.san)
        self.distribution_points = _value(extensions, x509.CRLDistributionPoints)
        inhibit = _value(extensions, x509.InhibitAnyPolicy)
        self.inhibit_any_policy = None if inhibit is None else inhibit.skip_certs
        policies = _value(extensions, x509.CertificatePolicies)
        self.policies: frozenset[str] | None = None
        if policies is not None:
            self.policies = frozenset(one.policy_identifier.dotted_string for one in policies)
            if len(self.policies) < len(policies):  # RFC 5280 §4.2.1.4
                raise ValueError("it lists a certificate policy twice")
        self.policy_mappings = _policy_mappings(extensions)
        skid = _value(extensions, x509.SubjectKeyIdentifier)
        akid = _value(extensions, x509.AuthorityKeyIdentifier)
        self.subject_key_id = None if skid is None else skid.digest
        self.authority_key_id = None if akid is None else akid.key_identifier
        self.unknown_critical: tuple[str, ...] = tuple(
            extension.oid.dotted_string
            for extension in cert.extensions
            if extension.critical and extension.oid not in _UNDERSTOOD
        )

    @property
    def is_ca(self) -> bool:
        """basicConstraints says that it may issue certificates."""
        return self.basic is not None and self.basic.ca

    @cached_property
    def subject_text(self) -> str:
        """Subject for people."""
        return name_text(self.x509.subject)

    @cached_property
    def issuer_text(self) -> str:
        """Issuer for people."""
        return name_text(self.x509.issuer)

    @cached_property
    def public_key(self) -> CertificatePublicKeyTypes | None:
        """The public key, or None if it cannot be used (unknown type, point not on the curve)."""
        if self.dsa_value is not None:
            return None
        try:
            key = self.x509.public_key()
        except (ValueError, UnsupportedAlgorithm):
            return None
        if isinstance(key, ec.EllipticCurvePublicKey) and not _curve_is_named(key, self.der):
            return None
        return key

    @cached_property
    def spki(self) -> bytes:
        """SubjectPublicKeyInfo: the same key in two certificates is the same here."""
        if self.public_key is None:
            return self.sha256.encode()  # equals nothing but itself
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def key_sha256(self) -> str:
        """Of the SubjectPublicKeyInfo: by it keys are remembered and refused."""
        return hashlib.sha256(self.spki).hexdigest()

    @cached_property
    def issuer_sha256(self) -> str:
        """Of the issuer's name as it is written."""
        return hashlib.sha256(self.x509.issuer.public_bytes()).hexdigest()

    @cached_property
    def encapsulates(self) -> bool:
        """Whether its key is one of ML-KEM (RFC 9936): for the second envelope of two alone."""
        return isinstance(self.public_key, mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey)

    @cached_property
    def for_mail(self) -> bool:
        """RFC 8550 §4.4.4: emailProtection, anyExtendedKeyUsage, or no such extension."""
        usages = self.extended_key_usage
        return usages is None or not _MAIL.isdisjoint(usages)

    @cached_property
    def names_mail(self) -> bool:
        """emailProtection itself, or no such extension: what a house may demand instead."""
        usages = self.extended_key_usage
        return usages is None or ExtendedKeyUsageOID.EMAIL_PROTECTION in usages

    @cached_property
    def key_kind(self) -> tuple[str, int]:
        """`pki.algorithms.describe_key` of its key."""
        return describe_key(self.public_key)

    @cached_property
    def key_too_large(self) -> Problem | None:
        """Why its key costs too much to be used even once, or None."""
        return too_large(self.public_key)

    @cached_property
    def _key_fault(self) -> Problem | None:
        return self.key_too_large or weakness(self.public_key)

    def judge_key(
        self, operation: Operation, moment: datetime, *, allow_legacy: bool = False
    ) -> Problem | None:
        """`pki.algorithms.judge_key` of its key; what no moment changes is found out once."""
        return (
            judge_size(operation, *self.key_kind, moment, allow_legacy=allow_legacy)
            or self._key_fault
        )

    @cached_property
    def capabilities(self) -> tuple[str, ...]:
        """SMIMECapabilities in the certificate (RFC 4262): OIDs in order of preference.

        Only a hint for the choice of algorithms: an unreadable one counts as none.
        """
        for extension in self.x509.extensions:
            if extension.oid == _SMIME_CAPABILITIES:
                assert isinstance(extension.value, x509.UnrecognizedExtension)
                try:
                    items = ber.read(extension.value.value).expect(ber.SEQUENCE)
                    return tuple(ber.dotted(item.expect(ber.SEQUENCE)[0]) for item in items)
                except ValueError:
                    return ()
        return ()

    def completed_by(self, issuer: ParsedCertificate) -> ParsedCertificate:
        """The same certificate, its DSA key with the parameters of the issuer's (RFC 3279 §2.3.2).

        Its public key is None if they do not fit. issuer: whose signature on it holds.
        """
        assert self.dsa_value is not None
        whole = copy.copy(self)
        for of_the_key in ("spki", "key_sha256", "key_kind", "key_too_large", "_key_fault"):
            whole.__dict__.pop(of_the_key, None)
        whole.__dict__["public_key"] = complete(self.dsa_value, issuer.public_key)
        return whole

    def signed_by(self, issuer: ParsedCertificate) -> bool:
        """Whether the key of `issuer` made the signature on this certificate.

        Remembered: cross-certificates made to be tried in all orders cost each pair once (L11).
        """
        if not self.same_algorithm_twice:
            return False
        known = self._signed_by.get(issuer.spki)
        if known is None:
            known = signature_holds(self.der, self.x509, issuer.public_key)
            if len(self._signed_by) < _ISSUERS:
                self._signed_by[issuer.spki] = known
        return known


def _curve_is_named(key: ec.EllipticCurvePublicKey, der: bytes) -> bool:
    """RFC 5480 §2.1.1: an elliptic curve stands there by name, never with its parameters.

    `cryptography` takes parameters that are those of a known curve; a reader that compares fewer of
    them takes a curve of the sender's choice for it (CVE-2020-0601). So nobody gets to see one.
    """
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    outer = 2 if spki[1] < 128 else 3
    return spki[outer : outer + 2 + spki[outer + 1]] in der


def signature_holds(der: bytes, signed: SignedStructure, key: object) -> bool:
    """Whether `key` made the signature on `signed`, whose bytes are `der`.

    False for keys and algorithms that are unknown or do not fit each other, and for keys that cost
    too much to try.
    """
    if too_large(key) is not None:
        return False
    try:
        octets, signature = signed_part(der), signed.signature
        digest = signed.signature_hash_algorithm
        parameters = None if digest is None else signed.signature_algorithm_parameters
        if parameters is None and signed.signature_algorithm_oid == _MD5:
            parameters = padding.PKCS1v15()  # `cryptography` says none for it; the table: legacy
    except (UnsupportedAlgorithm, ValueError, TypeError):
        return False
    if isinstance(parameters, ec.ECDSA) != isinstance(key, ec.EllipticCurvePublicKey):
        return False
    return made_by(key, signature, octets, digest, parameters)


def _value(extensions: _Extensions, kind: type[_Extension]) -> _Extension | None:
    value = extensions.get(kind.oid)
    return value if isinstance(value, kind) else None


def _policy_mappings(extensions: _Extensions) -> tuple[tuple[str, str], ...]:
    """Pairs issuerDomainPolicy, subjectDomainPolicy (RFC 5280 §4.2.1.5)."""
    value = extensions.get(_POLICY_MAPPINGS)
    if value is None:
        return ()
    assert isinstance(value, x509.UnrecognizedExtension)
    pairs = []
    for pair in ber.read(value.value).expect(ber.SEQUENCE):
        issuer_policy, subject_policy = pair.expect(ber.SEQUENCE)
        pairs.append((ber.dotted(issuer_policy), ber.dotted(subject_policy)))
    return tuple(pairs)


def _malformed(template: str, **facts: str) -> CertificateRefused:
    return CertificateRefused(
        problem("structure.certificate", "this is not a usable certificate: " + template, **facts)
    )
