"""RSA key transport (RFC 3370 §4.2.1, RFC 3560, RFC 4055 §4). Pure."""

from __future__ import annotations

from gateway.smime.algorithms import MGF1, RSA_ENCRYPTION, RSAES_OAEP
from gateway.smime.cms import CONSTRUCTED, Algorithm, algorithm, octets, refused
from gateway.smime.digests import DIGESTS
from gateway.smime.recipients import KeyTransport
from gateway.smime.ways import Unsupported, Way, own_uses
from pki import ber
from pki.ber import Element
from pki.decrypter import HASHES, CannotDecrypt, Decrypter, Oaep, RsaCiphertext

_SPECIFIED = "1.2.840.113549.1.1.9"  # id-pSpecified: the label stands in the message


def transport_way(info: KeyTransport, owner: Decrypter) -> Way:
    """The way through an RSA key of ours. Raises Unsupported, ValueError (parameters)."""
    if info.algorithm.oid == RSAES_OAEP:
        sealed = RsaCiphertext(info.encrypted_key, oaep_of(info.algorithm.parameters))
        return Way(
            "rsa-oaep",
            info.encrypted_key,
            owner,
            own_uses("rsa-oaep", owner),
            lambda size: _of_size(owner.secret(sealed), size),
        )
    if info.algorithm.oid != RSA_ENCRYPTION:
        raise Unsupported(info.algorithm.oid)
    if not owner.pkcs1:
        raise Unsupported("rsa-pkcs1 with this key")
    asked = RsaCiphertext(info.encrypted_key, None)
    return Way(
        "rsa-pkcs1",
        info.encrypted_key,
        owner,
        own_uses("rsa-pkcs1", owner),
        lambda _size: owner.secret(asked),
        tells=False,
    )


def oaep_of(parameters: Element | None) -> Oaep:
    """RSAES-OAEP-params (RFC 4055 §4.1); what is absent is SHA-1, MGF1 with SHA-1, no label.

    Raises Unsupported, ValueError.
    """
    digest, mask, label = "sha1", "sha1", b""
    before = -1
    for part in () if parameters is None else parameters.expect(ber.SEQUENCE).children:
        number = part.tag - CONSTRUCTED
        if not before < number <= 2 or len(part.children) != 1:
            raise refused("unreadable OAEP parameters")
        before = number
        named = algorithm(part[0])
        if number == 0:
            digest = _hash(named)
        elif number == 1:
            if named.oid != MGF1:
                raise Unsupported(named.oid)
            if named.parameters is None:
                raise refused("a mask generation function without its hash")
            mask = _hash(algorithm(named.parameters))
        else:
            if named.oid != _SPECIFIED:
                raise Unsupported(named.oid)
            if named.parameters is None:
                raise refused("a label is announced and missing")
            label = octets(named.parameters)
    return Oaep(digest, mask, label)


def _hash(named: Algorithm) -> str:
    """Name of a hash that the library can put into OAEP. Which one is no question of strength:
    OAEP asks no resistance to collisions of it (RFC 8017 appendix B.1).
    """
    found = DIGESTS.get(named.oid)
    if found is None or found.name not in HASHES or not named.plain:
        raise Unsupported(named.oid)
    return found.name


def _of_size(key: bytes, size: int) -> bytes:
    if len(key) != size:
        raise CannotDecrypt
    return key
