"""One signature over a message (RFC 5652 §5.6). Says nothing about who, when or whether. Pure.

`pki.signature` does the mathematics; which scheme, digest and parameters are meant was read before,
and whether they are allowed is asked of the dated table elsewhere.
"""

from __future__ import annotations

from functools import lru_cache

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

from gateway.smime import algorithms, cms
from gateway.smime.cms import algorithm
from gateway.smime.digests import NAMED, Digest
from gateway.smime.schemes import Pss, Scheme, pss_of
from pki.der import children
from pki.errors import Problem, problem
from pki.signature import made_by

_KINDS: dict[str, type] = {
    "rsa-pkcs1": rsa.RSAPublicKey,
    "rsa-pss": rsa.RSAPublicKey,
    "ecdsa": ec.EllipticCurvePublicKey,
    "dsa": dsa.DSAPublicKey,
    "ed25519": ed25519.Ed25519PublicKey,
    "ed448": ed448.Ed448PublicKey,
    "ml-dsa-44": mldsa.MLDSA44PublicKey,
    "ml-dsa-65": mldsa.MLDSA65PublicKey,
    "ml-dsa-87": mldsa.MLDSA87PublicKey,
}


def key_problem(scheme: Scheme, certificate: bytes, key: object) -> Problem | None:
    """Why a scheme and the key in a certificate (DER) do not go together, or None.

    A key that its certificate gives to PSS alone must not be used for PKCS #1 v1.5, and only with
    the digests it names (RFC 4055 §1.2, §3.3): one key under two schemes is how one is used
    against the other (threat S5).
    """
    if not isinstance(key, _KINDS[scheme.name]):
        return problem(
            "signature.key",
            "a signature by {scheme} cannot come from the kind of key in the certificate",
            scheme=scheme.name,
        )
    if scheme.name not in ("rsa-pkcs1", "rsa-pss"):
        return None
    limits = _pss_key(certificate)
    if limits is None or isinstance(limits, Problem):
        return limits
    stated = scheme.pss
    if stated is not None and (
        limits is _NO_LIMITS
        or (
            stated.digest is limits.digest
            and stated.mask is limits.mask
            and stated.salt >= limits.salt
        )
    ):
        return None
    return problem(
        "signature.key", "the certificate allows its key for RSASSA-PSS only, or only with others"
    )


def pss_digests(certificate: bytes) -> tuple[str, ...] | None:
    """With which digests the key in a certificate (DER) may make PSS signatures, and no others.

    Empty: with any. None: the key is not limited to PSS, or the certificate cannot be read.
    """
    limits = _pss_key(certificate)
    if limits is None or isinstance(limits, Problem):
        return None
    return () if limits is _NO_LIMITS else (limits.digest.name,)


_NO_LIMITS = Pss(NAMED["sha1"], NAMED["sha1"], 0)


# The same people's certificates come with mail after mail.
@lru_cache(maxsize=512)
def _pss_key(certificate: bytes) -> Pss | Problem | None:
    """What an id-RSASSA-PSS key is limited to, perhaps to `_NO_LIMITS`; None for other keys."""
    try:
        # Walked, not read whole: only this one field counts, of each certificate that is tried.
        fields = children(certificate, children(certificate)[0][1])
        _, start, _ = fields[6 if fields[0][0] == cms.CONSTRUCTED else 5]
        _, start, end = children(certificate, start)[0]
        named = algorithm(cms.read(certificate[start:end]))
    except (ValueError, IndexError):
        return problem("structure.certificate", "the certificate of the signer cannot be read")
    if named.oid != algorithms.RSASSA_PSS:
        return None
    return _NO_LIMITS if named.parameters is None else pss_of(named.parameters)


def holds(
    scheme: Scheme, key: object, signature: bytes, *, message: bytes | None, digest: Digest,
    hashed: bytes,
) -> bool:  # fmt: skip
    """Whether `key` made `signature` over the message.

    digest, hashed: the digest algorithm and the message's digest. message: the message itself,
    which only schemes that are `whole` look at; for others None will do.
    False for whatever does not fit each other; never raises for what strangers wrote.
    """
    if not isinstance(key, _KINDS[scheme.name]):
        return False
    if scheme.whole:
        return message is not None and made_by(key, signature, message, None)
    return made_by(key, signature, hashed, utils.Prehashed(digest.hashing), _padding(scheme))


def _padding(scheme: Scheme) -> padding.PKCS1v15 | padding.PSS:
    if scheme.pss is None:
        return padding.PKCS1v15()
    # The salt's length as stated, not whatever length is found: RFC 8017 §9.1.2 step 10.
    return padding.PSS(padding.MGF1(scheme.pss.mask.hashing), scheme.pss.salt)
