"""The signature on an OCSP response, as the dated table and `signature_holds` want it. Pure."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from pki import ber
from pki.ber import Element
from pki.certificate import signature_holds

# SHA-1 stands here to be named, not to be believed: the dated table refuses it but in old evidence.
_SHA1 = hashes.SHA1()  # noqa: S303
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "1.3.14.3.2.26": _SHA1,
    "2.16.840.1.101.3.4.2.4": hashes.SHA224(),
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
# PKCS #1 v1.5 (RFC 8017 §A.2.4) and ECDSA (RFC 5758 §3.2), with their digests.
_RSA: dict[str, hashes.HashAlgorithm] = {
    "1.2.840.113549.1.1.5": _SHA1,
    "1.2.840.113549.1.1.14": hashes.SHA224(),
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
_ECDSA: dict[str, hashes.HashAlgorithm] = {
    "1.2.840.10045.4.1": _SHA1,
    "1.2.840.10045.4.3.1": hashes.SHA224(),
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
}
# Ed25519, Ed448 (RFC 8410), ML-DSA-44, -65, -87 (RFC 9881): no digest of their own to name.
_WHOLE = frozenset(
    {"1.3.101.112", "1.3.101.113"} | {f"2.16.840.1.101.3.4.3.{number}" for number in (17, 18, 19)}
)
_PSS, _MGF1 = "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"


class ResponseSignature:
    """signatureAlgorithm and signature of a BasicOCSPResponse (RFC 6960 §4.2.1).

    signature_hash_algorithm: None where the algorithm names none (Ed25519, ML-DSA).
    Raises ValueError for an algorithm that is unknown.
    """

    def __init__(self, der: bytes, algorithm: Element, bits: Element) -> None:
        if bits.content[:1] != b"\0":
            raise ValueError("its signature is not of whole octets")
        self._der = der
        self.signature = bits.content[1:]
        oid = ber.dotted(algorithm[0])
        # RFC 4055 §5: NULL for RSA, which some leave out; RFC 5758 §3.2, RFC 8410 §3: nothing.
        parameters = [] if oid == _PSS else algorithm.children[1:]
        if [one.raw for one in parameters] not in ([], [b"\x05\0"] if oid in _RSA else []):
            raise ValueError("its signature has parameters that do not belong there")
        self.signature_algorithm_oid = x509.ObjectIdentifier(oid)
        self.signature_hash_algorithm: hashes.HashAlgorithm | None = None
        self.signature_algorithm_parameters: padding.PSS | padding.PKCS1v15 | ec.ECDSA | None = None
        if oid in _RSA:
            self.signature_hash_algorithm = _RSA[oid]
            self.signature_algorithm_parameters = padding.PKCS1v15()
        elif oid in _ECDSA:
            self.signature_hash_algorithm = _ECDSA[oid]
            self.signature_algorithm_parameters = ec.ECDSA(_ECDSA[oid])
        elif oid == _PSS:
            digest, salt = _pss(algorithm[1].expect(ber.SEQUENCE))
            self.signature_hash_algorithm = digest
            self.signature_algorithm_parameters = padding.PSS(padding.MGF1(digest), salt)
        elif oid not in _WHOLE:
            raise ValueError(f"it is signed with {oid}, which is not known here")

    def made_by(self, key: object) -> bool:
        """Whether `key` made it."""
        return signature_holds(self._der, self, key)


def _pss(parameters: Element) -> tuple[hashes.HashAlgorithm, int]:
    """RSASSA-PSS-params (RFC 4055 §3.1): digest and length of the salt. Raises ValueError."""
    digest = masked = _HASHES["1.3.14.3.2.26"]
    salt = 20
    for each in parameters:
        if each.tag == 0xA0:
            digest = _hash(each[0])
        elif each.tag == 0xA1:
            if ber.dotted(each[0].expect(ber.SEQUENCE)[0]) != _MGF1:
                raise ValueError("it is signed with RSA-PSS and no MGF1")
            masked = _hash(each[0][1])
        elif each.tag == 0xA2:
            salt = int.from_bytes(each[0].expect(ber.INTEGER).content[:2], "big")
        elif each.tag != 0xA3 or each[0].content != b"\x01":
            raise ValueError("it is signed with RSA-PSS in a way that is not known")
    if digest is not masked:
        raise ValueError("it is signed with RSA-PSS with two digests")
    return digest, salt


def _hash(algorithm: Element) -> hashes.HashAlgorithm:
    oid = ber.dotted(algorithm.expect(ber.SEQUENCE)[0])
    if oid not in _HASHES:
        raise ValueError(f"it is signed with RSA-PSS and the digest {oid}, which is not known here")
    return _HASHES[oid]
