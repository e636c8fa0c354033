"""Signature algorithms by their CMS names, with their parameters. Pure.

RFC 3370 and RFC 5754 (RSA, DSA, ECDSA), RFC 4056 (PSS), RFC 9688 (SHA-3), RFC 8419 (EdDSA),
RFC 9882 (ML-DSA).
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.smime import algorithms
from gateway.smime.cms import CONSTRUCTED, Algorithm, algorithm, integer
from gateway.smime.digests import NAMED, Digest, digest_of
from pki import ber
from pki.ber import Element
from pki.errors import Problem, problem


@dataclass(frozen=True, slots=True)
class Pss:
    """RSASSA-PSS-params (RFC 4055 §3.1). The trailer field is 1, always. salt: octets."""

    digest: Digest
    mask: Digest
    salt: int


@dataclass(frozen=True, slots=True)
class Scheme:
    """A signature algorithm. name: as the dated table has it.

    digest: the one that it names, None where that of the SignerInfo is used (rsaEncryption) or
    none at all (`whole`: the message itself is signed).
    """

    name: str
    digest: Digest | None = None
    pss: Pss | None = None

    @property
    def whole(self) -> bool:
        """The message is signed, not a digest of it."""
        return self.name in _WHOLE


_NIST = "2.16.840.1.101.3.4.3."
_WHOLE = {"ed25519", "ed448", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"}


def _scheme(name: str, digest: str) -> Scheme:
    return Scheme(name, NAMED[digest])


# With the digest that each of them names, if it names one.
_SCHEMES: dict[str, Scheme] = {
    algorithms.RSA_ENCRYPTION: Scheme("rsa-pkcs1"),
    "1.2.840.113549.1.1.4": _scheme("rsa-pkcs1", "md5"),
    "1.2.840.113549.1.1.5": _scheme("rsa-pkcs1", "sha1"),
    "1.3.14.3.2.29": _scheme("rsa-pkcs1", "sha1"),  # OIW, in mails of the nineties
    "1.2.840.113549.1.1.14": _scheme("rsa-pkcs1", "sha224"),
    "1.2.840.113549.1.1.11": _scheme("rsa-pkcs1", "sha256"),
    "1.2.840.113549.1.1.12": _scheme("rsa-pkcs1", "sha384"),
    "1.2.840.113549.1.1.13": _scheme("rsa-pkcs1", "sha512"),
    _NIST + "13": _scheme("rsa-pkcs1", "sha3-224"),
    _NIST + "14": _scheme("rsa-pkcs1", "sha3-256"),
    _NIST + "15": _scheme("rsa-pkcs1", "sha3-384"),
    _NIST + "16": _scheme("rsa-pkcs1", "sha3-512"),
    algorithms.EC_PUBLIC_KEY: Scheme("ecdsa"),  # some senders name the kind of key
    "1.2.840.10045.4.1": _scheme("ecdsa", "sha1"),
    "1.2.840.10045.4.3.1": _scheme("ecdsa", "sha224"),
    "1.2.840.10045.4.3.2": _scheme("ecdsa", "sha256"),
    "1.2.840.10045.4.3.3": _scheme("ecdsa", "sha384"),
    "1.2.840.10045.4.3.4": _scheme("ecdsa", "sha512"),
    _NIST + "9": _scheme("ecdsa", "sha3-224"),
    _NIST + "10": _scheme("ecdsa", "sha3-256"),
    _NIST + "11": _scheme("ecdsa", "sha3-384"),
    _NIST + "12": _scheme("ecdsa", "sha3-512"),
    "1.2.840.10040.4.1": Scheme("dsa"),  # some senders name the kind of key
    "1.2.840.10040.4.3": _scheme("dsa", "sha1"),
    _NIST + "1": _scheme("dsa", "sha224"),
    _NIST + "2": _scheme("dsa", "sha256"),
    "1.3.101.112": Scheme("ed25519"),
    "1.3.101.113": Scheme("ed448"),
    _NIST + "17": Scheme("ml-dsa-44"),
    _NIST + "18": Scheme("ml-dsa-65"),
    _NIST + "19": Scheme("ml-dsa-87"),
}


def scheme_of(given: Algorithm) -> Scheme | Problem:
    """The scheme that an AlgorithmIdentifier names, or why there is none."""
    if given.oid == algorithms.RSASSA_PSS:
        pss = pss_of(given.parameters)
        return pss if isinstance(pss, Problem) else Scheme("rsa-pss", pss.digest, pss)
    found = _SCHEMES.get(given.oid)
    if found is None:
        return problem(
            "algorithm.unsupported",
            "the signature algorithm {algorithm} is not known here",
            algorithm=given.oid,
        )
    if not (given.parameters is None if found.whole else _harmless(given, found)):
        return _bad_parameters(found.name)
    return found


def _harmless(given: Algorithm, scheme: Scheme) -> bool:
    """Absent or NULL; where the kind of key is named, its parameters, which the key has anyway."""
    by_key = scheme.digest is None and scheme.name in ("dsa", "ecdsa")
    return given.plain or by_key


def pss_of(parameters: Element | None) -> Pss | Problem:
    """RSASSA-PSS-params as a signature states them (RFC 4055 §3.1, RFC 4056 §2.2).

    They must be there; what they leave out has its default. Anything that is no such structure is
    refused: a field that one reader skips would let the sender choose what the others check.
    """
    try:
        if parameters is None:
            raise ValueError("they are missing")
        fields = _tagged(parameters)
        digest = _digest(fields.get(0))
        mask = NAMED["sha1"]
        if 1 in fields:
            generation = algorithm(fields[1])
            if generation.oid != algorithms.MGF1 or generation.parameters is None:
                raise ValueError("the mask is not made by MGF1")
            mask = _digest(generation.parameters)
        salt = integer(fields[2]) if 2 in fields else 20
        if not 0 <= salt <= 1024:
            raise ValueError("nobody uses such a salt")
        if 3 in fields and integer(fields[3]) != 1:
            raise ValueError("the trailer field is not 1")
        return Pss(digest, mask, salt)
    except ValueError:
        return _bad_parameters("rsa-pss")


def _tagged(parameters: Element) -> dict[int, Element]:
    """Contents of [0] to [3] EXPLICIT, each at most once and in order. Raises ValueError."""
    fields: dict[int, Element] = {}
    last = -1
    for one in parameters.expect(ber.SEQUENCE):
        number = one.tag - CONSTRUCTED
        if not last < number <= 3 or len(one.children) != 1:
            raise ValueError("a field is not where it belongs")
        fields[number] = one[0]
        last = number
    return fields


def _digest(element: Element | None) -> Digest:
    """Raises ValueError. The default is SHA-1."""
    if element is None:
        return NAMED["sha1"]
    found = digest_of(algorithm(element))
    if isinstance(found, Problem):
        raise ValueError(found.text)
    return found


def _bad_parameters(name: str) -> Problem:
    return problem(
        "algorithm.parameters",
        "the parameters of {algorithm} are not as they must be",
        algorithm=name,
    )
