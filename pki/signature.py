"""The mathematics of one signature, on certificates, CRLs, responses and mail alike. Pure.

Says nothing about who, when or whether: who asks has read which algorithms are meant, and whether
they are allowed is for the dated table to say.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    padding,
    rsa,
    utils,
)

# Keys that sign the octets themselves and name no digest (RFC 8410, RFC 9881).
WHOLE = (
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
    mldsa.MLDSA44PublicKey,
    mldsa.MLDSA65PublicKey,
    mldsa.MLDSA87PublicKey,
)


def made_by(
    key: object,
    signature: bytes,
    octets: bytes,
    hashing: hashes.HashAlgorithm | utils.Prehashed | None,
    pad: object = None,
) -> bool:
    """Whether `key` made `signature` over the octets (FIPS 186-5, RFC 8017 §8, RFC 8032, FIPS 204).

    hashing: the digest, or `Prehashed` where the octets are one; None for keys that hash for
    themselves. pad: PKCS1v15 or PSS, for RSA.
    False for whatever does not fit each other; never raises for what strangers wrote.
    """
    try:
        if hashing is None:
            if not isinstance(key, WHOLE):
                return False
            key.verify(signature, octets)
        elif isinstance(key, rsa.RSAPublicKey):
            if not isinstance(pad, padding.PKCS1v15 | padding.PSS):
                return False
            key.verify(signature, octets, pad, hashing)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, octets, ec.ECDSA(hashing))
        elif isinstance(key, dsa.DSAPublicKey):  # the table: legacy
            key.verify(signature, octets, hashing)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
