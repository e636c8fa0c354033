"""SignedData of any shape, right or wrong, with keys of our own: what attackers send."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.mime.entity import content_entity, split
from gateway.smime import algorithms
from gateway.smime.layers import verify
from gateway.smime.names import issuer_and_serial
from gateway.smime.verdicts import Verification
from gateway.smime.verify import Rules
from gateway.smime.wrapping import multipart_signed, pkcs7_mime
from pki import der_writing as der
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.models import Purpose
from pki.path import Material, Revocation
from tests.unit.smime_world import MAIL, NOW, World, world

ENTITY = content_entity(split(MAIL))
NULL = b"\x05\x00"
SHA256 = der.algorithm(algorithms.DIGESTS["sha256"])
RSA = der.algorithm(algorithms.RSA_ENCRYPTION, NULL)
ECDSA_SHA256 = der.algorithm("1.2.840.10045.4.3.2")


def anchor(certificate: bytes, domains: tuple[str, ...] = ()) -> Anchor:
    cert = ParsedCertificate(certificate)
    return Anchor(cert.subject_text, certificate, cert.sha256, frozenset(Purpose), domains)


def rules(
    *anchors: bytes,
    moment: datetime = NOW,
    legacy: bool = False,
    known: Iterable[bytes] = (),
    domain_certificates: Iterable[bytes] = (),
) -> Rules:
    """What a test trusts: the world's root where nothing else is named. No CRLs."""
    trusted = anchors or (dump(world().root),)
    domains = [ParsedCertificate(one) for one in domain_certificates]
    others = [ParsedCertificate(one) for one in known]
    return Rules(
        Material([anchor(one) for one in trusted], [*others, *domains]),
        moment,
        Revocation.OFF,
        legacy,
        (*others, *domains),
        frozenset(one.sha256 for one in domains),
    )


def dump(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@dataclass(frozen=True)
class Party:
    """Somebody who signs. sign: the octets given, with whatever his scheme is."""

    certificate: bytes
    chain: tuple[bytes, ...]
    digest: bytes
    algorithm: bytes
    sign: Callable[[bytes], bytes]
    hash: Callable[[bytes], bytes] = lambda data: hashlib.sha256(data).digest()


def party(who: Any) -> Party:
    """One of the world's people, with SHA-256."""
    key, chain = who.key, tuple(dump(one) for one in who.chain)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return Party(
            who.der, chain, SHA256, ECDSA_SHA256,
            lambda data: key.sign(data, ec.ECDSA(hashes.SHA256())),
        )  # fmt: skip
    return Party(
        who.der, chain, SHA256, RSA,
        lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    )  # fmt: skip


def alice() -> Party:
    return party(world().alice)


def bob() -> Party:
    return party(world().bob)


def issue(
    address: str | None,
    public_key: Any,
    *,
    names: Iterable[x509.GeneralName] = (),
    subject: x509.Name | None = None,
    start: timedelta = timedelta(days=-1),
    end: timedelta = timedelta(days=100),
    extended: Iterable[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
    digital_signature: bool = True,
    key_identifier: bytes | None = None,
    by: tuple[x509.Certificate, Any] | None = None,
    hashing: hashes.HashAlgorithm | None = hashes.SHA256(),  # noqa: B008 - it has no state
) -> bytes:
    """A certificate of the world's intermediate CA (or `by` another), as odd as it is asked for."""
    here: World = world()
    issuer, issuer_key = by or (here.middle, here._middle_key)
    listed = [*names]
    if address is not None:
        listed.append(x509.RFC822Name._init_without_validation(address))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Odd one")]))
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + start)
        .not_valid_after(NOW + end)
        .add_extension(
            x509.KeyUsage(
                digital_signature, False, not digital_signature, False, False, False, False,
                False, False,
            ),
            critical=True,
        )
    )  # fmt: skip
    if list(extended):
        builder = builder.add_extension(x509.ExtendedKeyUsage(list(extended)), critical=False)
    if listed:
        builder = builder.add_extension(x509.SubjectAlternativeName(listed), critical=False)
    if key_identifier is not None:
        builder = builder.add_extension(x509.SubjectKeyIdentifier(key_identifier), critical=False)
    return dump(builder.sign(issuer_key, hashing))


@cache
def mallory_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def with_key(certificate: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> Party:
    """Somebody with this certificate and an EC key."""
    owned = key or mallory_key()
    return Party(
        certificate, (dump(world().middle),), SHA256, ECDSA_SHA256,
        lambda data: owned.sign(data, ec.ECDSA(hashes.SHA256())),
    )  # fmt: skip


def attribute(kind: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.element(der.SET, *values))


def attributes_for(
    who: Party, content: bytes, *more: bytes, content_type: str = algorithms.DATA
) -> list[bytes]:
    """contentType and messageDigest, and more."""
    return [
        attribute(algorithms.CONTENT_TYPE, der.oid(content_type)),
        attribute(algorithms.MESSAGE_DIGEST, der.octets(who.hash(content))),
        *more,
    ]


def signer_info(
    who: Party,
    attributes: Iterable[bytes] | None = (),
    *,
    content: bytes = ENTITY,
    unsigned: Iterable[bytes] = (),
    identifier: bytes | None = None,
    digest: bytes | None = None,
    algorithm: bytes | None = None,
    signature: bytes | None = None,
    sort: bool = True,
) -> bytes:
    """attributes: () are the usual ones, None is none: then the content itself is signed."""
    parts: list[bytes] = []
    if attributes is None:
        signed = content
    else:
        listed = list(attributes) or attributes_for(who, content)
        signed = der.set_of(listed) if sort else der.element(der.SET, *listed)
        parts = [b"\xa0" + signed[1:]]
    after = [der.element(0xA1, *sorted(unsigned))] if list(unsigned) else []
    return der.sequence(
        der.integer(1),
        identifier or issuer_and_serial(who.certificate),
        digest or who.digest,
        *parts,
        algorithm or who.algorithm,
        der.octets(who.sign(signed) if signature is None else signature),
        *after,
    )


def signed_data(
    infos: Iterable[bytes],
    certificates: Iterable[bytes],
    *,
    content: bytes | None = None,
    content_type: str = algorithms.DATA,
    encapsulated: bytes | None = None,
) -> bytes:
    """ContentInfo. encapsulated: the octets of a whole EncapsulatedContentInfo, instead."""
    carried = () if content is None else (der.element(0xA0, der.octets(content)),)
    listed = list(certificates)
    inner = der.sequence(
        der.integer(1),
        der.element(der.SET, SHA256),
        encapsulated or der.sequence(der.oid(content_type), *carried),
        *([der.set_of(set(listed), 0xA0)] if listed else []),
        der.element(der.SET, *infos),
    )
    return der.sequence(der.oid(algorithms.SIGNED_DATA), der.element(0xA0, inner))


def clear_signed(
    who: Party | None = None,
    *,
    content: bytes = ENTITY,
    infos: Iterable[bytes] | None = None,
    inside: bytes | None = None,
    boundary: str = "limit",
) -> bytes:
    """multipart/signed by `who` over `content`."""
    who = who or alice()
    listed = [signer_info(who, content=content)] if infos is None else list(infos)
    cms = signed_data(listed, [who.certificate, *who.chain], content=inside)
    return multipart_signed(content, cms, micalg="sha-256", boundary=boundary)


def opaque(
    who: Party | None = None, *, content: bytes = ENTITY, infos: Iterable[bytes] | None = None
) -> bytes:
    """application/pkcs7-mime by `who` around `content`."""
    who = who or alice()
    listed = [signer_info(who, content=content)] if infos is None else list(infos)
    return pkcs7_mime(
        "signed-data", signed_data(listed, [who.certificate, *who.chain], content=content)
    )


def mail(entity: bytes, *fields: bytes, sender: bytes = b"Alice <alice@example.org>") -> bytes:
    """A mail from `sender`, with more fields, and a MIME entity."""
    lines = (b"From: " + sender if sender else b"", b"Subject: essai", *fields)
    header = b"".join(line + b"\r\n" for line in lines if line)
    return header + b"MIME-Version: 1.0\r\n" + entity


def judged(message: bytes, given: Rules | None = None) -> Verification:
    return verify(message, given or rules())


def status(message: bytes, given: Rules | None = None) -> str:
    return judged(message, given).status.value


def codes(message: bytes, given: Rules | None = None) -> set[str]:
    return {one.code for one in judged(message, given).problems}
