"""Descriptions become DER."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.judges.paths.model import DAY, Case, Cert, CrlSpec, World
from tests.pki_maker import usage

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
}


def case_of(world: World, seed: int, number: int, shuffle: Any) -> Case:
    """All certificates and CRLs of a world, made. The others come in no order that helps."""
    everything = [*world.chain, *world.apart]
    others = [der(cert) for cert in everything if cert not in world.anchors and cert != world.leaf]
    crls = [crl_der(cert, spec) for cert in everything for spec in cert.crls]
    shuffle(others)
    shuffle(crls)
    return Case(
        seed, number, der(world.leaf), tuple(der(one) for one in world.anchors), tuple(others),
        tuple(crls), frozenset(world.acceptable), world.require_explicit, world.inhibit_mapping,
        world.inhibit_any, world.revocation, world.purpose, world.address,
        frozenset(world.traits),
    )  # fmt: skip


def der(cert: Cert) -> bytes:
    """The certificate, signed."""
    issuer = cert.issuer or cert
    builder = (
        x509.CertificateBuilder()
        .subject_name(cert.subject)
        .issuer_name(cert.issuer_name)
        .public_key(cert.key.public_key())
        .serial_number(cert.serial)
        .not_valid_before(cert.start)
        .not_valid_after(max(cert.end, cert.start + DAY / 86400))
    )
    for extension, critical in _extensions(cert, issuer):
        builder = builder.add_extension(extension, critical)
    made = _signed(builder, cert.made_by or issuer.key, cert.digest, pss=cert.pss)
    return _broken(made, cert.broken)


def _extensions(cert: Cert, issuer: Cert) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if cert.ca is not None:
        found.append((x509.BasicConstraints(cert.ca, cert.path_length if cert.ca else None), True))
    if cert.usage is not None:
        found.append((usage(*cert.usage), True))
    if cert.extended is not None:
        found.append((x509.ExtendedKeyUsage(cert.extended), False))
    if cert.permitted or cert.excluded:
        found.append((x509.NameConstraints(cert.permitted or None, cert.excluded or None), True))
    if cert.names:
        found.append((x509.SubjectAlternativeName(cert.names), False))
    if cert.policies is not None:
        listed = [x509.PolicyInformation(x509.ObjectIdentifier(one), None) for one in cert.policies]
        found.append((x509.CertificatePolicies(listed), False))
    if cert.mappings:
        found.append((_mappings(cert.mappings), True))
    if cert.explicit is not None or cert.inhibit_mapping is not None:
        found.append((x509.PolicyConstraints(cert.explicit, cert.inhibit_mapping), True))
    if cert.inhibit_any is not None:
        found.append((x509.InhibitAnyPolicy(cert.inhibit_any), True))
    if cert.skid:
        found.append((x509.SubjectKeyIdentifier.from_public_key(cert.key.public_key()), False))
    if cert.akid is None:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        found.append((identifier, False))
    elif cert.akid:
        found.append((x509.AuthorityKeyIdentifier(cert.akid, None, None), False))
    if cert.points:
        found.append((x509.CRLDistributionPoints(cert.points), False))
    if cert.freshest:
        found.append((x509.FreshestCRL(cert.freshest), False))
    return found + cert.extra


def crl_der(owner: Cert, spec: CrlSpec) -> bytes:
    """The CRL, signed."""
    key = spec.made_by or owner.key
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(spec.issuer or owner.subject)
        .last_update(spec.start)
        .next_update(max(spec.end, spec.start + DAY))
    )
    extensions = [(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)]
    if spec.number is not None:
        extensions.append((x509.CRLNumber(spec.number), False))
    if spec.base is not None:
        extensions.append((x509.DeltaCRLIndicator(spec.base), True))
    if spec.point is not None:
        extensions.append((spec.point, True))
    for extension, critical in [*extensions, *spec.extra]:
        builder = builder.add_extension(extension, critical)
    for serial, (when, why, issuer) in spec.revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when)
        if why:
            entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(why)), critical=False)
        if issuer is not None:
            named = x509.CertificateIssuer([x509.DirectoryName(issuer)])
            entry = entry.add_extension(named, critical=spec.issuers_critical)
        for extension, critical in spec.entry_extra:
            entry = entry.add_extension(extension, critical)
        builder = builder.add_revoked_certificate(entry.build())
    return _broken(_signed(builder, key, spec.digest), spec.broken)


def _signed(builder: Any, key: Any, digest: str, *, pss: bool = False) -> bytes:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        made = builder.sign(key, None)
    elif pss and isinstance(key, rsa.RSAPrivateKey):
        scheme = padding.PSS(mgf=padding.MGF1(_DIGESTS[digest]), salt_length=32)
        made = builder.sign(key, _DIGESTS[digest], rsa_padding=scheme)
    else:
        made = builder.sign(key, _DIGESTS[digest])
    octets: bytes = made.public_bytes(Encoding.DER)
    return octets


def _broken(made: bytes, broken: bool) -> bytes:
    """One bit of the signature is another."""
    return made[:-1] + bytes([made[-1] ^ 1]) if broken else made


def _mappings(pairs: list[tuple[str, str]]) -> x509.UnrecognizedExtension:
    content = b"".join(_sequence(_oid(one) + _oid(other)) for one, other in pairs)
    return x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), _sequence(content))


def _sequence(content: bytes) -> bytes:
    assert len(content) < 256
    length = bytes([len(content)]) if len(content) < 128 else b"\x81" + bytes([len(content)])
    return b"\x30" + length + content


def _oid(dotted: str) -> bytes:
    arcs = [int(arc) for arc in dotted.split(".")]
    octets = b""
    for arc in [arcs[0] * 40 + arcs[1], *arcs[2:]]:
        piece = bytes([arc & 127])
        while arc := arc >> 7:
            piece = bytes([arc & 127 | 128]) + piece
        octets += piece
    return b"\x06" + bytes([len(octets)]) + octets
