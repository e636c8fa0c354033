"""Foreign CMS structures described: what is stated in them, without any check of it.

`der.prescan` comes before asn1crypto, and certificates are read by `cryptography`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.smime import der
from gateway.smime.algorithms import CIPHER_OIDS, DIGESTS
from pki.names import name_text

LIST_LIMIT = 200  # signers, recipients, certificates that are described; the counts are full

_KINDS = {
    "signed_data": "signed",
    "enveloped_data": "encrypted",
    "authenticated_enveloped_data": "auth-encrypted",
    "compressed_data": "compressed",
    "digested_data": "digested",
    "encrypted_data": "encrypted-with-a-shared-key",
    "authenticated_data": "authenticated",
    "signed_and_enveloped_data": "signed-and-enveloped",
    "data": "data",
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
    """Read one ContentInfo (RFC 5652 §3), DER or BER. Raises der.StructureRefused."""
    der.prescan(data)
    try:
        info = cms.ContentInfo.load(data, strict=True)
        kind = _KINDS.get(info["content_type"].native, "unknown")
        facts: dict[str, Any] = {"size": len(data), "content_type": info["content_type"].dotted}
        if kind == "signed":
            return _signed(info["content"], facts)
        if kind in ("encrypted", "auth-encrypted"):
            return _encrypted(kind, info["content"], facts)
        if kind == "compressed":
            # Not inflated: the ratio is the sender's choice.
            facts["algorithm"] = info["content"]["compression_algorithm"]["algorithm"].native
        return Layer(kind, facts)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        if isinstance(error, der.StructureRefused):
            raise
        reason = " ".join(str(error).split())[:200]
        raise der.StructureRefused(
            "structure.asn1", "not a CMS structure that can be read: {reason}", reason=reason
        ) from None


def _signed(signed: Any, facts: dict[str, Any]) -> Layer:
    encapsulated = signed["encap_content_info"]
    content = encapsulated["content"]
    present = not isinstance(content, core.Void) and content is not None
    octets: bytes | None = None
    if present:
        octets = bytes(content) if isinstance(content, core.OctetString) else content.dump()
    infos = signed["signer_infos"]
    bag = signed["certificates"]
    certificates = [] if isinstance(bag, core.Void) else list(bag)
    revocation = signed["crls"]
    facts |= {
        "detached": not present,
        "encapsulated_type": encapsulated["content_type"].dotted,
        "encapsulated_size": None if octets is None else len(octets),
        "signer_count": len(infos),
        "signers": [_signer(info) for info in _some(infos)],
        "certificate_count": len(certificates),
        "certificates": [_certificate(choice.dump()) for choice in certificates[:LIST_LIMIT]],
        "crl_count": 0 if isinstance(revocation, core.Void) else len(revocation),
    }
    is_mime = encapsulated["content_type"].native == "data"
    return Layer("signed", facts, octets if is_mime else None)


def _signer(info: Any) -> dict[str, Any]:
    attributes = info["signed_attrs"]
    unsigned = info["unsigned_attrs"]
    return {
        **_identifier(info["sid"]),
        "digest": _name(info["digest_algorithm"]["algorithm"]),
        "signature": _name(info["signature_algorithm"]["algorithm"]),
        "signed_attributes": _attributes(attributes),
        "unsigned_attributes": _attributes(unsigned),
        "signing_time": _signing_time(attributes),
    }


def _attributes(attributes: Any) -> list[str]:
    if isinstance(attributes, core.Void):
        return []
    return [_name(attribute["type"]) for attribute in _some(attributes)]


def _signing_time(attributes: Any) -> str | None:
    """What the signer claims; never a moment to check anything at."""
    if not isinstance(attributes, core.Void):
        for attribute in _some(attributes):
            if attribute["type"].native == "signing_time" and len(attribute["values"]):
                return str(attribute["values"][0].native)
    return None


def _encrypted(kind: str, enveloped: Any, facts: dict[str, Any]) -> Layer:
    name = "encrypted_content_info" if kind == "encrypted" else "auth_encrypted_content_info"
    content = enveloped[name]
    algorithm = content["content_encryption_algorithm"]
    infos = enveloped["recipient_infos"]
    encrypted = content["encrypted_content"]
    facts |= {
        "cipher": _name(algorithm["algorithm"]),
        "encrypted_type": content["content_type"].dotted,
        "encrypted_size": 0 if isinstance(encrypted, core.Void) else len(bytes(encrypted)),
        "recipient_count": len(infos),
        "recipients": [one for info in _some(infos) for one in _recipients(info)][:LIST_LIMIT],
    }
    if kind == "auth-encrypted":
        facts["tag_size"] = len(bytes(enveloped["mac"]))
    return Layer(kind, facts)


def _recipients(info: Any) -> list[dict[str, Any]]:
    chosen = info.chosen
    match info.name:
        case "ktri":
            algorithm = _name(chosen["key_encryption_algorithm"]["algorithm"])
            return [{"kind": "key-transport", **_identifier(chosen["rid"]), "algorithm": algorithm}]
        case "kari":
            algorithm = _name(chosen["key_encryption_algorithm"]["algorithm"])
            return [
                {"kind": "key-agreement", **_identifier(key["rid"]), "algorithm": algorithm}
                for key in _some(chosen["recipient_encrypted_keys"])
            ]
        case "kekri":
            return [{"kind": "shared-key"}]
        case "pwri":
            return [{"kind": "password"}]
        case _:
            return [{"kind": "other", "type": chosen["ori_type"].dotted}]


def _identifier(choice: Any) -> dict[str, Any]:
    """SignerIdentifier, RecipientIdentifier (RFC 5652 §5.3, §6.2.1)."""
    chosen = choice.chosen
    if choice.name == "issuer_and_serial_number":
        return {
            "issuer": chosen["issuer"].human_friendly[:1000],
            "serial": f"{chosen['serial_number'].native:x}",
        }
    key = chosen["subject_key_identifier"] if choice.name == "r_key_id" else chosen
    return {"key_identifier": bytes(key).hex()}


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


def _name(identifier: core.ObjectIdentifier) -> str:
    dotted: str = identifier.dotted
    return _NAMES.get(dotted, dotted)


def _some(items: Iterable[Any]) -> list[Any]:
    return [item for item, _ in zip(items, range(LIST_LIMIT), strict=False)]
