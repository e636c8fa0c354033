"""Values of userSMIMECertificate: a PKCS#7 SignedData with a person's certificates (RFC 2798 §2.8).

Inside are candidates, the chain above them, and perhaps SMIMECapabilities in the signed attributes
(RFC 8551 §2.5.2). Whose they are is not believed here: `capabilities_hold` checks the signature,
and the finder that the key which made it is that person's. Pure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pki import ber
from pki.algorithms import Operation, judge, judge_key
from pki.ber import Element
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused
from pki.models import SignedCapabilities
from pki.signature import made_by

# A value: a few certificates of a few kB each. In one value: people's certificates, and the chain.
MAX_VALUE = 256 * 1024
MAX_CERTIFICATES = 16
_MAX_SIGNERS = 4
_MAX_CAPABILITIES = 64

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_CAPABILITIES = "1.2.840.113549.1.9.15"
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_RSA, _PSS = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10"
_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
# Signature algorithms that name their digest, as it is named beside them.
_WITH_DIGEST = {
    "1.2.840.113549.1.1.11": "2.16.840.1.101.3.4.2.1",
    "1.2.840.113549.1.1.12": "2.16.840.1.101.3.4.2.2",
    "1.2.840.113549.1.1.13": "2.16.840.1.101.3.4.2.3",
    "1.2.840.10045.4.3.2": "2.16.840.1.101.3.4.2.1",
    "1.2.840.10045.4.3.3": "2.16.840.1.101.3.4.2.2",
    "1.2.840.10045.4.3.4": "2.16.840.1.101.3.4.2.3",
}


@dataclass(frozen=True, slots=True)
class SmimeValue:
    """What is in one value, nothing of it checked.

    people: DER of certificates that are no CA's. chain: DER of those of CAs. unreadable: octets
    that stand where certificates stand, and are none.
    """

    people: tuple[bytes, ...]
    chain: tuple[bytes, ...]
    unreadable: tuple[bytes, ...]
    capabilities: tuple[SignedCapabilities, ...]


def is_signed_data(value: bytes) -> bool:
    """Whether it says that it is a PKCS#7 SignedData, and so no certificate."""
    # The OID stands behind a SEQUENCE's tag and length of 2 to 6 octets; in no certificate it does.
    return b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" in value[:17]


def read_value(value: bytes) -> SmimeValue:
    """Read one value, DER or BER. Raises ValueError."""
    if len(value) > MAX_VALUE:
        raise ValueError(f"it is larger than {MAX_VALUE} octets")
    info = ber.read(value).expect(ber.SEQUENCE)
    if ber.dotted(info[0]) != _SIGNED_DATA:
        raise ValueError("it is not a SignedData")
    signed = info[1].expect(0xA0)[0].expect(ber.SEQUENCE)
    bag: list[Element] = []
    for each in signed:
        if each.tag == 0xA0:
            bag = [one for one in each if one.tag == ber.SEQUENCE]
    if not bag:
        raise ValueError("there is no certificate in it")
    if len(bag) > MAX_CERTIFICATES:
        raise ValueError(f"it has more than {MAX_CERTIFICATES} certificates")
    people: list[ParsedCertificate] = []
    chain: list[ParsedCertificate] = []
    unreadable: list[bytes] = []
    for one in bag:
        try:
            cert = ParsedCertificate(one.raw)
        except CertificateRefused:
            unreadable.append(one.raw)
        else:
            (chain if cert.is_ca else people).append(cert)
    return SmimeValue(
        tuple(cert.der for cert in people),
        tuple(cert.der for cert in chain),
        tuple(unreadable),
        _capabilities(signed, people),
    )


def capabilities_hold(claim: SignedCapabilities, moment: datetime) -> bool:
    """Whether the certificate that is named as the signer's made the signature (RFC 5652 §5.4).

    With algorithms that are allowed at `moment`; digests that can be forged prove nothing (S21).
    """
    try:
        signer = ParsedCertificate(claim.signer)
    except CertificateRefused:
        return False
    key = signer.public_key
    digest = _DIGESTS.get(claim.digest)
    if digest is None or judge_key(Operation.VERIFY_KEY, key, moment) is not None:
        return False
    size = digest.digest_size * 8
    if not judge(Operation.VERIFY_DIGEST, digest.name, size, moment).allowed:
        return False
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    pad = _padding(claim.algorithm, digest)
    return made_by(key, claim.signature, claim.signed, digest, pad)


def _padding(algorithm: str, digest: hashes.HashAlgorithm) -> padding.PKCS1v15 | padding.PSS:
    if algorithm == _PSS:
        return padding.PSS(padding.MGF1(digest), padding.PSS.AUTO)
    return padding.PKCS1v15()


def _capabilities(
    signed: Element, people: list[ParsedCertificate]
) -> tuple[SignedCapabilities, ...]:
    """What SignerInfos state, as far as it can be read: a hint is no reason to refuse the rest."""
    infos = signed.children[-1]
    if infos.tag != ber.SET:
        return ()
    found = []
    for info in infos.children[:_MAX_SIGNERS]:
        try:
            claim = _claim(info, signed, people)
        except ValueError:
            continue
        if claim is not None:
            found.append(claim)
    return tuple(found)


def _claim(
    info: Element, signed: Element, people: list[ParsedCertificate]
) -> SignedCapabilities | None:
    """SignerInfo (RFC 5652 §5.3): version, sid, digest, [0] signed attributes, algorithm, value."""
    sid, digest, attributes, algorithm, signature = (info[number] for number in range(1, 6))
    if attributes.tag != 0xA0 or not attributes.definite or algorithm.tag != ber.SEQUENCE:
        return None
    oids: tuple[str, ...] = ()
    stated_digest = b""
    for attribute in attributes:
        kind = ber.dotted(attribute[0])
        values = attribute[1].expect(ber.SET)
        if kind == _CAPABILITIES:
            listed = values[0].expect(ber.SEQUENCE).children[:_MAX_CAPABILITIES]
            oids = tuple(ber.dotted(each.expect(ber.SEQUENCE)[0]) for each in listed)
        elif kind == _MESSAGE_DIGEST:
            stated_digest = ber.octets(values[0])
    digest_oid = ber.dotted(digest[0])
    algorithm_oid = ber.dotted(algorithm[0])
    signer = _signer(sid, people)
    if not oids or signer is None or not _content_agrees(signed, digest_oid, stated_digest):
        return None
    if _WITH_DIGEST.get(algorithm_oid, digest_oid) != digest_oid:
        return None
    # RFC 5652 §5.4: what is signed is the SET OF, not the [0] that stands in its place.
    return SignedCapabilities(
        oids,
        b"\x31" + attributes.raw[1:],
        ber.octets(signature),
        algorithm_oid,
        digest_oid,
        signer.der,
    )


def _signer(sid: Element, people: list[ParsedCertificate]) -> ParsedCertificate | None:
    if sid.tag == 0x80:  # [0] SubjectKeyIdentifier
        return next((cert for cert in people if cert.subject_key_id == sid.content), None)
    issuer, serial = sid.expect(ber.SEQUENCE)[0].raw, sid[1].expect(ber.INTEGER).content
    for cert in people:
        same_issuer = cert.x509.issuer.public_bytes() == issuer
        if same_issuer and int.from_bytes(serial, "big", signed=True) == cert.serial:
            return cert
    return None


def _content_agrees(signed: Element, digest_oid: str, stated: bytes) -> bool:
    """RFC 2798 §2.8: the content should be absent and is ignored; where it is there, the digest
    that was signed must be its own."""
    encapsulated = signed[2].expect(ber.SEQUENCE)
    if len(encapsulated.children) < 2:
        return True
    digest = _DIGESTS.get(digest_oid)
    if digest is None:
        return False
    content = ber.octets(encapsulated[1].expect(0xA0)[0])
    return hashlib.new(digest.name, content).digest() == stated
