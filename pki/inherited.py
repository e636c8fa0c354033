"""DSA keys whose parameters stand in the certificate of their issuer (RFC 3279 §2.3.2). Pure.

Found in evidence of the nineties only. The algorithm table calls DSA legacy, so such a key is
completed only for who asks for legacy; before that it is no key.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import dsa

from pki import ber
from pki.der import element
from pki.der_writing import sequence

_DSA = "1.2.840.10040.4.1"
_PLACEHOLDER = sequence(bytes.fromhex("020101") * 3)  # p = q = g = 1: no key can be made of it


def public_value(der: bytes) -> int | None:
    """y of the DSA key without parameters in a certificate; None if its key is anything else."""
    try:
        begin, end = _public_key_info(der)
        algorithm, key = ber.read(der[begin:end], max_elements=6)
        if ber.dotted(algorithm[0]) != _DSA or len(algorithm.children) != 1:
            return None
        inner = ber.read(key.expect(0x03).content[1:], max_elements=1).expect(ber.INTEGER)
        return int.from_bytes(inner.content, "big", signed=True)
    except (ValueError, IndexError):
        return None


def with_placeholder(der: bytes) -> bytes:
    """The certificate with something in the place of the parameters.

    `cryptography` takes no certificate without them; this one it reads, but for its key and its
    signature. For a certificate that has a `public_value` only.
    """
    tbs, end = element(der, 0)
    fields, tbs_end = element(der, tbs)
    begin, behind = _public_key_info(der)
    algorithm, key = ber.read(der[begin:behind], max_elements=6)
    info = sequence(sequence(algorithm[0].raw + _PLACEHOLDER) + key.raw)
    whole = sequence(der[fields:begin] + info + der[behind:tbs_end])
    return sequence(whole + der[tbs_end:end])


def complete(value: int, issuer_key: object) -> dsa.DSAPublicKey | None:
    """The key with the parameters of its issuer's; None if they do not make one.

    §6.1.4 (e): the parameters of a key of another algorithm are nothing to it.
    """
    if not isinstance(issuer_key, dsa.DSAPublicKey):
        return None
    parameters = issuer_key.public_numbers().parameter_numbers
    try:
        return dsa.DSAPublicNumbers(value, parameters).public_key()
    except ValueError:
        return None


def _public_key_info(der: bytes) -> tuple[int, int]:
    """Where subjectPublicKeyInfo begins and ends (RFC 5280 §4.1)."""
    tbs, _ = element(der, 0)
    at, _ = element(der, tbs)
    if der[at] == 0xA0:  # version
        at = element(der, at)[1]
    for _ in range(5):  # serialNumber, signature, issuer, validity, subject
        at = element(der, at)[1]
    return at, element(der, at)[1]
