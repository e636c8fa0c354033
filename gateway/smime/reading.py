"""Foreign CMS structures described: what is stated in them, without any check of it. Pure.

Taken apart by the readers that verification and decryption use: what is shown is what they see.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.smime import algorithms, cms
from gateway.smime.algorithms import CIPHER_OIDS, DIGESTS
from gateway.smime.attributes import signing_time
from gateway.smime.cms import ContentInfo, Identifier, KeyIdentifier, content_info
from gateway.smime.enveloped import read_enveloped
from gateway.smime.recipients import (
    KEM_RECIPIENT,
    Encapsulated,
    KeyAgreement,
    KeyTransport,
    Password,
    RecipientInfo,
    SharedKey,
)
from gateway.smime.signed import Attribute, SignerInfo, read_signed
from pki import ber
from pki.errors import StructureRefused
from pki.names import name_text, name_text_of

LIST_LIMIT = 200  # recipients, certificates, attributes that are described; the counts are full

_KINDS = {
    algorithms.DATA: "data",
    algorithms.SIGNED_DATA: "signed",
    algorithms.ENVELOPED_DATA: "encrypted",
    algorithms.AUTH_ENVELOPED_DATA: "auth-encrypted",
    algorithms.COMPRESSED_DATA: "compressed",
    "1.2.840.113549.1.7.4": "signed-and-enveloped",  # PKCS #7 alone
    "1.2.840.113549.1.7.5": "digested",
    "1.2.840.113549.1.7.6": "encrypted-with-a-shared-key",
    "1.2.840.113549.1.9.16.1.2": "authenticated",
}
_NAMES = {
    **{oid: cipher.value for cipher, oid in CIPHER_OIDS.items()},
    **{oid: digest for digest, oid in DIGESTS.items()},
    "2.16.840.1.101.3.4.1.22": "aes-192-cbc",
    "2.16.840.1.101.3.4.1.26": "aes-192-gcm",
    "1.2.840.113549.3.7": "3des-cbc",
    "1.2.840.113549.3.2": "rc2-cbc",
    "1.3.14.3.2.7": "des-cbc",
    "1.2.840.113549.2.5": "md5",
    "1.3.14.3.2.26": "sha1",
    "1.2.840.113549.1.1.1": "rsa-pkcs1",
    "1.2.840.113549.1.1.5": "rsa-pkcs1-sha1",
    "1.2.840.113549.1.1.11": "rsa-pkcs1-sha256",
    "1.2.840.113549.1.1.12": "rsa-pkcs1-sha384",
    "1.2.840.113549.1.1.13": "rsa-pkcs1-sha512",
    "1.2.840.113549.1.1.7": "rsa-oaep",
    "1.2.840.113549.1.1.10": "rsa-pss",
    "1.2.840.10045.4.1": "ecdsa-sha1",
    "1.2.840.10045.4.3.2": "ecdsa-sha256",
    "1.2.840.10045.4.3.3": "ecdsa-sha384",
    "1.2.840.10045.4.3.4": "ecdsa-sha512",
    "1.3.101.112": "ed25519",
    "1.3.101.113": "ed448",
    "1.3.133.16.840.63.0.2": "ecdh-sha1kdf",
    "1.3.132.1.11.0": "ecdh-sha224kdf",
    "1.3.132.1.11.1": "ecdh-sha256kdf",
    "1.3.132.1.11.2": "ecdh-sha384kdf",
    "1.3.132.1.11.3": "ecdh-sha512kdf",
    "2.16.840.1.101.3.4.4.1": "ml-kem-512",
    algorithms.ML_KEM_768: "ml-kem-768",
    algorithms.ML_KEM_1024: "ml-kem-1024",
    algorithms.ZLIB: "zlib",
    "1.2.840.113549.1.9.3": "contentType",
    "1.2.840.113549.1.9.4": "messageDigest",
    "1.2.840.113549.1.9.5": "signingTime",
    "1.2.840.113549.1.9.6": "countersignature",
    "1.2.840.113549.1.9.15": "SMIMECapabilities",
    "1.2.840.113549.1.9.52": "CMSAlgorithmProtection",
    "1.2.840.113549.1.9.16.2.1": "receiptRequest",
    "1.2.840.113549.1.9.16.2.2": "securityLabel",
    "1.2.840.113549.1.9.16.2.3": "mlExpansionHistory",
    "1.2.840.113549.1.9.16.2.4": "contentHint",
    "1.2.840.113549.1.9.16.2.7": "contentIdentifier",
    "1.2.840.113549.1.9.16.2.10": "contentReference",
    "1.2.840.113549.1.9.16.2.11": "encryptionKeyPreference",
    "1.2.840.113549.1.9.16.2.12": "signingCertificate",
    "1.2.840.113549.1.9.16.2.14": "timeStampToken",
    "1.2.840.113549.1.9.16.2.47": "signingCertificateV2",
    "1.3.6.1.4.1.311.16.4": "microsoftRecipientInfo",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One CMS structure. facts: plain data for JSON, keys by kind of layer.

    content: octets inside that can be looked into without a key, or None.
    """

    kind: str
    facts: dict[str, Any]
    content: bytes | None = None


def describe(data: bytes) -> Layer:
    """Read one ContentInfo (RFC 5652 §3), DER or BER. Raises StructureRefused."""
    info = content_info(data)
    kind = _KINDS.get(info.type, "unknown")
    facts: dict[str, Any] = {"size": len(data), "content_type": info.type}
    try:
        match kind:
            case "signed":
                return _signed(info, facts)
            case "encrypted" | "auth-encrypted":
                return Layer(kind, facts | _encrypted(info))
            case "compressed":
                # Not inflated: the ratio is the sender's choice.
                facts["algorithm"] = _name(cms.algorithm(info.content.expect(ber.SEQUENCE)[1]).oid)
        return Layer(kind, facts)
    except StructureRefused:
        raise
    except ValueError as error:
        raise cms.unreadable(error) from None


def _signed(info: ContentInfo, facts: dict[str, Any]) -> Layer:
    signed = read_signed(info.content)
    content = signed.content
    facts |= {
        "detached": content is None,
        "encapsulated_type": signed.content_type,
        "encapsulated_size": None if content is None else len(content),
        "signer_count": len(signed.signers),
        "signers": [_signer(one) for one in signed.signers],
        "certificate_count": len(signed.certificates) + signed.other_certificates,
        "certificates": [_certificate(one) for one in signed.certificates[:LIST_LIMIT]],
        "crl_count": len(signed.crls) + signed.other_crls,
    }
    return Layer("signed", facts, content if signed.content_type == algorithms.DATA else None)


def _signer(info: SignerInfo) -> dict[str, Any]:
    claimed = signing_time(info)  # never a moment to check anything at
    return {
        **_identifier(info.identifier),
        "digest": _name(info.digest.oid),
        "signature": _name(info.algorithm.oid),
        "signed_attributes": _attributes(() if info.signed is None else info.signed.attributes),
        "unsigned_attributes": _attributes(info.unsigned),
        "signing_time": claimed.strftime("%Y-%m-%dT%H:%M:%SZ") if claimed else None,
    }


def _attributes(attributes: tuple[Attribute, ...]) -> list[str]:
    return [_name(one.oid) for one in attributes[:LIST_LIMIT]]


def _encrypted(info: ContentInfo) -> dict[str, Any]:
    sealed = read_enveloped(info)
    facts = {
        "cipher": _name(sealed.algorithm.oid),
        "encrypted_type": sealed.content_type,
        "encrypted_size": sealed.size,
        "recipient_count": len(sealed.recipients),
        "recipients": [one for info in sealed.recipients[:LIST_LIMIT] for one in _recipients(info)][
            :LIST_LIMIT
        ],
    }
    return facts if sealed.tag is None else {**facts, "tag_size": len(sealed.tag)}


def _recipients(info: RecipientInfo) -> list[dict[str, Any]]:
    match info:
        case KeyTransport():
            algorithm = _name(info.algorithm.oid)
            who = _identifier(info.recipient)
            return [{"kind": "key-transport", **who, "algorithm": algorithm}]
        case KeyAgreement():
            algorithm = _name(info.algorithm.oid)
            return [
                {"kind": "key-agreement", **_identifier(one.recipient), "algorithm": algorithm}
                for one in info.keys[:LIST_LIMIT]
            ]
        case SharedKey():
            return [{"kind": "shared-key"}]
        case Password():
            return [{"kind": "password"}]
        case Encapsulated():
            who = _identifier(info.recipient)
            algorithm = _name(info.kem.oid)
            return [{"kind": "other", "type": KEM_RECIPIENT, **who, "algorithm": algorithm}]
    return [{"kind": "other", "type": info.type}]


def _identifier(identifier: Identifier) -> dict[str, Any]:
    """SignerIdentifier, RecipientIdentifier (RFC 5652 §5.3, §6.2.1). Raises ValueError."""
    if isinstance(identifier, KeyIdentifier):
        return {"key_identifier": identifier.value[:64].hex()}
    issuer = name_text_of(cms.read(identifier.issuer))
    serial = f"{identifier.serial:x}"
    # RFC 5280 §4.1.2.2 allows 40 digits; a longer one is read elsewhere, too, and fits nobody.
    return {"issuer": issuer, "serial": serial if len(serial) <= 128 else serial[:127] + "…"}


def _certificate(data: bytes) -> dict[str, Any]:
    facts: dict[str, Any] = {"sha256": hashlib.sha256(data).hexdigest()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of cryptography, about odd old certificates
            certificate = x509.load_der_x509_certificate(data)
            key = certificate.public_key()
            kind = "rsa" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__
            if isinstance(key, ec.EllipticCurvePublicKey):
                kind = key.curve.name
            facts |= {
                "subject": name_text(certificate.subject),
                "issuer": name_text(certificate.issuer),
                "serial": f"{certificate.serial_number:x}",
                "not_before": certificate.not_valid_before_utc.isoformat(),
                "not_after": certificate.not_valid_after_utc.isoformat(),
                "key": kind,
            }
    except Exception as error:  # noqa: BLE001 - what cryptography raises here is not documented
        facts["unreadable"] = type(error).__name__
    return facts


def _name(oid: str) -> str:
    return _NAMES.get(oid, oid)
