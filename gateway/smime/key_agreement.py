"""Key agreement: ECDH, X25519 and X448 with a wrapped content key (RFC 5753, RFC 8418). Pure."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from gateway.smime.algorithms import EC_PUBLIC_KEY
from gateway.smime.cms import Algorithm, algorithm
from gateway.smime.key_wrap import TRIPLE_DES_WRAP, WRAPS, unwrap
from gateway.smime.recipients import EncryptedKey, KeyAgreement, OriginatorKey
from gateway.smime.ways import Unsupported, Use, Way, own_uses
from pki import ber
from pki import der_writing as der
from pki.algorithms import Operation
from pki.decrypter import Decrypter, PeerKey

_SHA1 = hashes.SHA1()  # noqa: S303 - a key derivation does not rest on collisions
_SHA2 = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())
_X963: dict[str, hashes.HashAlgorithm] = {
    # stdDH and cofactorDH (RFC 5753 §7.1.4); the cofactor of all curves here is 1
    "1.3.133.16.840.63.0.2": _SHA1,
    "1.3.133.16.840.63.0.3": _SHA1,
    "1.3.132.1.11.0": hashes.SHA224(),
    "1.3.132.1.14.0": hashes.SHA224(),
    **{f"1.3.132.1.11.{number}": digest for number, digest in enumerate(_SHA2, 1)},
    **{f"1.3.132.1.14.{number}": digest for number, digest in enumerate(_SHA2, 1)},
}
_HKDF: dict[str, hashes.HashAlgorithm] = {  # RFC 8418 §2.2
    f"1.2.840.113549.1.9.16.3.{number}": digest for number, digest in enumerate(_SHA2, 19)
}
# Kind of originator key → kind of ours that it can agree with.
_KEYS = {
    EC_PUBLIC_KEY: "ec-",
    "1.3.132.1.12": "ec-",
    "1.3.101.110": "x25519",
    "1.3.101.111": "x448",
}
_CURVES = {
    "1.2.840.10045.3.1.7": "ec-p256",
    "1.3.132.0.34": "ec-p384",
    "1.3.132.0.35": "ec-p521",
    "1.3.36.3.3.2.8.1.1.7": "ec-brainpoolP256r1",
    "1.3.36.3.3.2.8.1.1.11": "ec-brainpoolP384r1",
    "1.3.36.3.3.2.8.1.1.13": "ec-brainpoolP512r1",
}


def may_agree(info: KeyAgreement, kind: str) -> bool:
    """Whether a key of ours of that kind can be meant at all, as far as the originator's tells."""
    originator = info.originator
    if not isinstance(originator, OriginatorKey):
        return True  # named only: `agreement_way` says that this is not read
    wanted = _KEYS.get(originator.algorithm.oid)
    if wanted is None or not kind.startswith(wanted):
        return False
    curve = originator.algorithm.parameters  # absent or NULL: that of the recipient
    if curve is None or curve.tag != ber.OID:
        return True
    return _CURVES.get(ber.dotted(curve), kind) == kind


def agreement_way(info: KeyAgreement, key: EncryptedKey, owner: Decrypter) -> Way:
    """The way through a key of ours and the originator's. Raises Unsupported, ValueError."""
    if not isinstance(info.originator, OriginatorKey):
        # Static-static: RFC 5753 has it for 1-Pass ECMQV only, and no mail program writes it.
        raise Unsupported("static originator key")
    scheme = info.algorithm
    if (scheme.oid not in _X963 and scheme.oid not in _HKDF) or scheme.parameters is None:
        raise Unsupported(scheme.oid)
    wrap = algorithm(scheme.parameters)
    if wrap.oid not in WRAPS:
        raise Unsupported(wrap.oid)
    kind = owner.kind[0]
    transport = "ecdh" if kind.startswith("ec-") else kind
    peer = PeerKey(info.originator.public)
    shared_info = _shared_info(scheme.parameters.raw, info.ukm, WRAPS[wrap.oid])

    def take(size: int) -> bytes:
        kek = _derive(scheme, owner.secret(peer), shared_info, WRAPS[wrap.oid])
        return unwrap(wrap.oid, kek, key.value, size)

    uses = (*own_uses(transport, owner), *wrap_uses(wrap.oid))
    return Way(transport, key.value, owner, uses, take)


def wrap_uses(oid: str) -> tuple[Use, ...]:
    """What a key wrap asks of the table beside the way itself."""
    return ((Operation.DECRYPT, "3des-cbc", 168),) if oid == TRIPLE_DES_WRAP else ()


def _shared_info(wrap: bytes, ukm: bytes | None, size: int) -> bytes:
    """ECC-CMS-SharedInfo (RFC 5753 §7.2). wrap: AlgorithmIdentifier as the sender wrote it."""
    entity = b"" if ukm is None else der.element(0xA0, der.octets(ukm))
    length = der.element(0xA2, der.octets((8 * size).to_bytes(4, "big")))
    return der.sequence(wrap, entity, length)


def _derive(scheme: Algorithm, secret: bytes, info: bytes, size: int) -> bytes:
    if scheme.oid in _HKDF:
        return HKDF(_HKDF[scheme.oid], size, None, info).derive(secret)
    return X963KDF(_X963[scheme.oid], size, info).derive(secret)
