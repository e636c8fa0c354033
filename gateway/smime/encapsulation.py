"""KEMRecipientInfo with ML-KEM (RFC 9629 §3, RFC 9936), written. Experimental.

Nobody gets it alone: `choose` refuses such keys, and `choose_outer` takes them for the second of
two envelopes, where that was agreed. Otherwise only who names a certificate by hand gets here.
"""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from gateway.smime import algorithms
from pki import der_writing as der

Public = mlkem.MLKEM768PublicKey | mlkem.MLKEM1024PublicKey

# OtherRecipientInfo is [4] in RecipientInfo (RFC 5652 §6.2); EnvelopedData looks at it.
OTHER = 0xA4

_KEK_SIZE = 32
# RFC 9936 §2.1: HKDF with SHA-256; AES-256 wrap for ML-KEM-768 and ML-KEM-1024.
_KDF = der.algorithm(algorithms.HKDF_SHA256)
_WRAP = der.algorithm(algorithms.AES_256_WRAP)
# CMSORIforKEMOtherInfo (RFC 9629 §5): binds the key to how it is used. No ukm.
_OTHER_INFO = der.sequence(_WRAP, der.integer(_KEK_SIZE))


def encapsulation(public: Public, name: bytes) -> Callable[[bytes], bytes]:
    """What makes the RecipientInfo of an ML-KEM key for a content key.

    name: IssuerAndSerialNumber of its certificate.
    """
    kem = der.algorithm(
        algorithms.ML_KEM_768
        if isinstance(public, mlkem.MLKEM768PublicKey)
        else algorithms.ML_KEM_1024
    )

    def wrap(key: bytes) -> bytes:
        secret, ciphertext = public.encapsulate()
        # RFC 9629 §5: no salt, the shared secret as input.
        kek = HKDF(SHA256(), _KEK_SIZE, None, _OTHER_INFO).derive(secret)
        info = der.sequence(
            der.integer(0),
            name,
            kem,
            der.octets(ciphertext),
            _KDF,
            der.integer(_KEK_SIZE),
            _WRAP,
            der.octets(aes_key_wrap(kek, key)),
        )
        return der.element(OTHER, der.oid(algorithms.ORI_KEM), info)

    return wrap
