"""SignedData over a MIME entity: multipart/signed and opaque (RFC 8551 §3.5, RFC 5652 §5).

Everything but the digest, the time and the signature depends only on the signer: it is encoded
once and kept. Nothing is parsed on this path.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from gateway.mime.lines import all_crlf
from gateway.smime import algorithms
from gateway.smime.algorithms import Cipher
from gateway.smime.names import issuer_and_serial, issuer_serial_general
from gateway.smime.receipt_request import RECEIPT_REQUEST, ReceiptRequest
from gateway.smime.security_label import SECURITY_LABEL, SecurityLabel
from gateway.smime.signature import pss_digests
from gateway.smime.wrapping import LARGE, multipart_signed, pkcs7_mime, pkcs7_mime_large
from pki import der_writing as der
from pki.models import SignatureScheme, Signer

# What those who answer may encrypt with, in order of preference (RFC 8551 §2.5.2). The answer
# reaches the mail program behind the gateway, and common ones show AES-GCM as an empty mail.
CAPABILITIES = (Cipher.AES_256_CBC, Cipher.AES_128_CBC)

_DEFAULT_SCHEME = {
    "rsa": SignatureScheme.RSA_PKCS1,
    "ec": SignatureScheme.ECDSA,
    "ed25519": SignatureScheme.ED25519,
}
_ONLY_DIGEST = {SignatureScheme.ED25519: "sha512"}  # RFC 8419 §3.1, with signed attributes


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed entity (fields, empty line, body; no MIME-Version) and how it was signed.

    digest: "sha256"…; scheme: of the signature; content_digest: messageDigest, hex.
    """

    entity: bytes
    digest: str
    scheme: SignatureScheme
    content_digest: str


def sign(
    entity: bytes,
    signer: Signer,
    *,
    digest: str | None = None,
    scheme: SignatureScheme | None = None,
    signing_time: datetime | None = None,
    capabilities: tuple[Cipher, ...] = CAPABILITIES,
    receipt_request: ReceiptRequest | None = None,
    security_label: SecurityLabel | None = None,
) -> Signed:
    """multipart/signed over `entity`, octet for octet (RFC 8551 §3.5.3).

    entity: lines end in CRLF. Where it will travel in clear, `mime.canonical.to_7bit` comes first.
    digest: "sha256", "sha384", "sha512"; None follows the key (`digest_for`).
    scheme: None follows the key (`default_scheme`).
    signing_time: aware; None leaves the attribute out. capabilities: what answers may use.
    receipt_request: asks the readers for signed receipts (RFC 2634 §2.7).
    security_label: how sensitive it is, by which policy (RFC 2634 §3).
    Raises ValueError for bare CR or LF in the entity, an unknown digest, another one than SHA-512
    with Ed25519 (RFC 8419 §3.1), a scheme the key lacks.
    """
    digest, scheme, content_digest = _begun(entity, signer, digest, scheme)
    cms = b"".join(
        _signed_data(
            signer,
            (digest, scheme, capabilities),
            content_digest,
            signing_time,
            content=None,
            more=_enhanced(receipt_request, security_label),
        )
    )
    boundary = secrets.token_hex(16)
    while boundary.encode() in entity:
        boundary = secrets.token_hex(16)
    micalg = algorithms.MICALG[digest]
    signed = multipart_signed(entity, cms, micalg=micalg, boundary=boundary)
    return Signed(signed, digest, scheme, content_digest.hex())


def sign_opaque(
    entity: bytes,
    signer: Signer,
    *,
    digest: str | None = None,
    scheme: SignatureScheme | None = None,
    signing_time: datetime | None = None,
    capabilities: tuple[Cipher, ...] = CAPABILITIES,
    security_label: SecurityLabel | None = None,
) -> Signed:
    """application/pkcs7-mime; smime-type=signed-data: the entity inside (RFC 8551 §3.5.2).

    No relay can change it, so the entity may hold 8-bit octets and long lines; but readers
    without S/MIME see nothing. Arguments and errors as `sign`.
    """
    digest, scheme, content_digest = _begun(entity, signer, digest, scheme)
    cms = _signed_data(
        signer,
        (digest, scheme, capabilities),
        content_digest,
        signing_time,
        content=entity,
        more=_enhanced(None, security_label),
    )
    if len(entity) > LARGE:
        signed = pkcs7_mime_large("signed-data", cms)
    else:
        signed = pkcs7_mime("signed-data", b"".join(cms))
    return Signed(signed, digest, scheme, content_digest.hex())


def sign_detached(
    content: bytes, signer: Signer, *, digest: str = "sha256", scheme: SignatureScheme | None = None
) -> bytes:
    """DER of a ContentInfo with a SignedData over octets that are kept elsewhere (RFC 5652 §5.2).

    For what is no mail: no MIME, no capabilities, and any octets may be signed.
    Raises ValueError for an unknown digest, a scheme the key lacks.
    """
    scheme = scheme or default_scheme(signer)
    digest = _ONLY_DIGEST.get(scheme, digest)
    how = (digest, scheme, ())
    return b"".join(_signed_data(signer, how, _digest(content, digest), None, content=None))


def _begun(
    entity: bytes, signer: Signer, digest: str | None, scheme: SignatureScheme | None
) -> tuple[str, SignatureScheme, bytes]:
    """What every signature begins with: digest and scheme that are used, and the digest's value."""
    _check_line_ends(entity)
    scheme = scheme or default_scheme(signer)
    if digest is None:
        digest = digest_for(signer.certificate)
    elif digest != _ONLY_DIGEST.get(scheme, digest):
        raise ValueError(f"{scheme.value} does not go with {digest}")
    return digest, scheme, _digest(entity, digest)


def default_scheme(signer: Signer) -> SignatureScheme:
    """RSA PKCS#1 v1.5, ECDSA or Ed25519, by the key; PSS where its certificate allows nothing else
    (RFC 4055 §1.2): whoever checks a signature by another scheme refuses it.
    """
    if signer.kind == "rsa" and pss_digests(signer.certificate) is not None:
        return SignatureScheme.RSA_PSS
    return _DEFAULT_SCHEME[signer.kind]


# A certificate is read once, as long as its owner keeps signing.
@lru_cache(maxsize=1024)
def digest_for(certificate: bytes) -> str:
    """The digest that goes with the key in a certificate (DER).

    SHA-256 for RSA; on curves one as strong as the curve, which RFC 5753 §7.1.1 recommends and
    gpgsm demands; SHA-512 for Ed25519 (RFC 8419 §3.1); the one that a key for PSS names.
    Raises ValueError for octets that are no certificate.
    """
    limits = pss_digests(certificate)
    if limits:
        return limits[0]
    key = x509.load_der_x509_certificate(certificate).public_key()
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "sha512"
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.key_size <= 256:
        return "sha256"
    return "sha384" if key.key_size <= 384 else "sha512"


def _check_line_ends(entity: bytes) -> None:
    """RFC 8551 §3.1.1: a relay would repair bare CR and LF, and the signature would be gone."""
    if not all_crlf(entity):
        raise ValueError("the entity to sign has a CR or LF that is not part of a CRLF")


def _digest(entity: bytes, digest: str) -> bytes:
    if digest not in algorithms.DIGESTS:
        raise ValueError(f"cannot sign with the digest {digest!r}")
    return hashlib.new(digest, entity).digest()


@dataclass(frozen=True, slots=True)
class _Frame:
    """What is the same in every signature of one signer, encoded."""

    digest_algorithm: bytes
    signature_algorithm: bytes
    signer_identifier: bytes
    certificates: bytes
    attributes: tuple[bytes, ...]


# Bounded: a frame holds the chain, some 5 kB, and an installation may sign for 200,000 people.
@lru_cache(maxsize=1024)
def _frame(
    certificate: bytes,
    chain: tuple[bytes, ...],
    digest: str,
    scheme: SignatureScheme,
    capabilities: tuple[Cipher, ...],
) -> _Frame:
    digest_algorithm = algorithms.digest_algorithm(digest)
    signature_algorithm = algorithms.signature_algorithm(scheme, digest)
    certificate_id = der.sequence(
        # hashAlgorithm is left out: SHA-256 is its default (RFC 5035 §4)
        der.octets(hashlib.sha256(certificate).digest()),
        issuer_serial_general(certificate),
    )
    # RFC 6211: binds both algorithms, which nothing else in the signature does.
    protection = der.sequence(
        digest_algorithm, b"\xa1" + signature_algorithm[1:]  # [1] IMPLICIT
    )  # fmt: skip
    return _Frame(
        digest_algorithm,
        signature_algorithm,
        issuer_and_serial(certificate),
        der.set_of({certificate, *chain}, 0xA0),
        (
            _attribute(algorithms.CONTENT_TYPE, der.oid(algorithms.DATA)),
            _attribute(
                algorithms.SMIME_CAPABILITIES,
                der.sequence(*(der.algorithm(cipher.oid) for cipher in capabilities)),
            ),
            _attribute(
                algorithms.SIGNING_CERTIFICATE_V2, der.sequence(der.sequence(certificate_id))
            ),
            _attribute(algorithms.ALGORITHM_PROTECTION, protection),
        ),
    )


def _signed_data(
    signer: Signer,
    how: tuple[str, SignatureScheme, tuple[Cipher, ...]],
    content_digest: bytes,
    signing_time: datetime | None,
    content: bytes | None,
    more: tuple[bytes, ...] = (),
) -> list[bytes]:
    """ContentInfo with a SignedData of one signer (RFC 5652 §5.1, §5.3), in pieces, of which the
    content is one. more: attributes.
    """
    digest, scheme, _ = how
    frame = _frame(signer.certificate, signer.chain, *how)
    attributes = [
        *frame.attributes,
        *more,
        _attribute(algorithms.MESSAGE_DIGEST, der.octets(content_digest)),
    ]
    if signing_time is not None:
        attributes.append(_attribute(algorithms.SIGNING_TIME, _time(signing_time)))
    # RFC 5652 §5.4: signed as a SET OF in DER, sent as [0] IMPLICIT with the same content.
    signed_attributes = der.set_of(attributes)
    signature = signer.sign(signed_attributes, scheme, digest)
    signer_info = der.sequence(
        der.integer(1),
        frame.signer_identifier,
        frame.digest_algorithm,
        b"\xa0",
        memoryview(signed_attributes)[1:],
        frame.signature_algorithm,
        der.octets(signature),
    )
    carried = [] if content is None else _within(0xA0, _within(der.OCTET_STRING, [content]))
    signed_data = [
        der.integer(1),
        der.element(der.SET, frame.digest_algorithm),
        *_within(der.SEQUENCE, [der.oid(algorithms.DATA), *carried]),
        frame.certificates,
        der.element(der.SET, signer_info),
    ]
    named = [der.oid(algorithms.SIGNED_DATA), *_within(0xA0, _within(der.SEQUENCE, signed_data))]
    return _within(der.SEQUENCE, named)


def _within(tag: int, pieces: list[bytes]) -> list[bytes]:
    """An element around what is there already, whose octets stay where they are."""
    return [der.header(tag, sum(map(len, pieces))), *pieces]


def _enhanced(
    receipt_request: ReceiptRequest | None, security_label: SecurityLabel | None
) -> tuple[bytes, ...]:
    """Attributes of Enhanced Security Services (RFC 2634), those that are wanted."""
    wanted = ((RECEIPT_REQUEST, receipt_request), (SECURITY_LABEL, security_label))
    return tuple(_attribute(kind, one.value()) for kind, one in wanted if one is not None)


def _attribute(kind: str, value: bytes) -> bytes:
    return der.sequence(der.oid(kind), der.element(der.SET, value))


def _time(moment: datetime) -> bytes:
    """UTCTime until 2049, GeneralizedTime from 2050 (RFC 5652 §11.3)."""
    if moment.tzinfo is None:
        raise ValueError("the signing time has no time zone")
    utc = moment.astimezone(UTC)
    if 1950 <= utc.year < 2050:
        return der.element(der.UTC_TIME, f"{utc:%y%m%d%H%M%SZ}".encode())
    return der.element(der.GENERALIZED_TIME, f"{utc.year:04}{utc:%m%d%H%M%SZ}".encode())
