"""Key encapsulation: ML-KEM through KEMRecipientInfo (RFC 9629, RFC 9936). Pure."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.smime.cms import refused
from gateway.smime.key_agreement import wrap_uses
from gateway.smime.key_wrap import WRAPS, unwrap
from gateway.smime.recipients import Encapsulated
from gateway.smime.ways import Unsupported, Way, own_uses
from pki import der_writing as der
from pki.decrypter import Decrypter, KemCiphertext

# `cryptography` 50 has no ML-KEM-512: neither a key nor a certificate with one can be read.
ML_KEM_512 = "2.16.840.1.101.3.4.4.1"
KEMS = {
    "2.16.840.1.101.3.4.4.2": "ml-kem-768",
    "2.16.840.1.101.3.4.4.3": "ml-kem-1024",
}
_KDFS: dict[str, hashes.HashAlgorithm] = {  # RFC 8619 §2; RFC 9936 §2.1 demands the first
    "1.2.840.113549.1.9.16.3.28": hashes.SHA256(),
    "1.2.840.113549.1.9.16.3.29": hashes.SHA384(),
    "1.2.840.113549.1.9.16.3.30": hashes.SHA512(),
}


def encapsulation_way(info: Encapsulated, owner: Decrypter) -> Way:
    """The way through a KEM key of ours. Raises Unsupported, ValueError."""
    if info.kdf.oid not in _KDFS:
        raise Unsupported(info.kdf.oid)
    if info.wrap.oid not in WRAPS:
        raise Unsupported(info.wrap.oid)
    if info.kek_length != WRAPS[info.wrap.oid]:  # RFC 9629 §3: consistent with the wrap
        raise refused("the length of the wrapping key is not that of its algorithm")
    transport = KEMS[info.kem.oid]
    asked = KemCiphertext(info.ciphertext)
    hashing, other_info = _KDFS[info.kdf.oid], _other_info(info)

    def take(size: int) -> bytes:
        kek = HKDF(hashing, info.kek_length, None, other_info).derive(owner.secret(asked))
        return unwrap(info.wrap.oid, kek, info.encrypted_key, size)

    uses = (*own_uses(transport, owner), *wrap_uses(info.wrap.oid))
    return Way(transport, info.encrypted_key, owner, uses, take)


def _other_info(info: Encapsulated) -> bytes:
    """CMSORIforKEMOtherInfo (RFC 9629 §5)."""
    ukm = b"" if info.ukm is None else der.element(0xA0, der.octets(info.ukm))
    return der.sequence(info.wrap_raw, der.integer(info.kek_length), ukm)
