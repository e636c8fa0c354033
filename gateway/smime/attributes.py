"""What the signed attributes of one signer say, and whether they may say so (RFC 5652 §11). Pure.

A signature over attributes vouches for the content only through them, so each that binds something
must be there once, with one value, and be right (threat S10).
"""

from __future__ import annotations

import hmac
from datetime import UTC, datetime

from gateway.smime import algorithms
from gateway.smime.cms import Algorithm, algorithm, octets
from gateway.smime.signed import Attribute, SignerInfo
from pki import ber
from pki.ber import Element
from pki.errors import Problem, problem

_NAMES = {
    algorithms.CONTENT_TYPE: "contentType",
    algorithms.MESSAGE_DIGEST: "messageDigest",
    algorithms.SIGNING_TIME: "signingTime",
    algorithms.ALGORITHM_PROTECTION: "CMSAlgorithmProtection",
    algorithms.SIGNING_CERTIFICATE_V2: "signingCertificateV2",
    "1.2.840.113549.1.9.16.2.12": "signingCertificate",
    "1.2.840.113549.1.9.15": "SMIMECapabilities",
    "1.2.840.113549.1.9.16.2.1": "receiptRequest",
    "1.2.840.113549.1.9.16.2.2": "securityLabel",
    "1.2.840.113549.1.9.16.2.3": "mlExpansionHistory",
    "1.2.840.113549.1.9.16.2.5": "msgSigDigest",
    "1.2.840.113549.1.9.16.2.11": "encryptionKeyPreference",
}
# RFC 5652 §11.1 to §11.3, RFC 6211 §2, RFC 2634 §1.3.4, §5.4: outside of the signature anybody
# could write these, and readers exist that look there.
_NEVER_UNSIGNED = frozenset(_NAMES)


def attribute_problems(
    info: SignerInfo, *, content_type: str, content_digest: bytes
) -> list[Problem]:
    """What is wrong with the attributes of a SignerInfo.

    content_type: of the EncapsulatedContentInfo. content_digest: of the content as it came, by the
    SignerInfo's digest algorithm. Without signed attributes the signature is over the content
    itself, and only its type is looked at here.
    """
    found = [
        problem(
            "attributes.unsigned",
            "the attribute {name} is not under the signature, where it belongs",
            name=_NAMES[one.oid],
        )
        for one in info.unsigned
        if one.oid in _NEVER_UNSIGNED
    ]
    if info.signed is None:
        if content_type != algorithms.DATA:
            # §5.3: without signed attributes nothing vouches for the type of the content.
            found.append(
                problem(
                    "attributes.missing",
                    "content of the type {type} is signed without signed attributes",
                    type=content_type,
                )
            )
        return found
    found += _repeated(info.signed.attributes)
    found += _content_type(info, content_type)
    found += _message_digest(info, content_digest)
    found += _protection(info)
    if info.signed.all(algorithms.SIGNING_TIME) and signing_time(info) is None:
        found.append(_unreadable("signingTime"))
    return found


def signing_time(info: SignerInfo) -> datetime | None:
    """When the signer claims to have signed; nothing is ever checked at it (threat S11)."""
    values = _values(info, algorithms.SIGNING_TIME)
    if len(values) != 1:
        return None
    text = values[0].content.decode("ascii", "replace")
    try:
        if values[0].tag == _UTC_TIME:
            two = int(text[:2])
            text = f"{1900 + two if two >= 50 else 2000 + two}{text[2:]}"
        elif values[0].tag != _GENERALIZED_TIME:
            return None
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


def _repeated(attributes: tuple[Attribute, ...]) -> list[Problem]:
    """Each type once (§11, RFC 2634 §1.3.4): readers differ in which of two they believe."""
    seen: set[str] = set()
    found = []
    for one in attributes:
        if one.oid in seen:
            found.append(
                problem(
                    "attributes.repeated",
                    "the signed attribute {name} is there more than once",
                    name=_NAMES.get(one.oid, one.oid),
                )
            )
        seen.add(one.oid)
    return found[:1]


def _content_type(info: SignerInfo, expected: str) -> list[Problem]:
    values = _values(info, algorithms.CONTENT_TYPE)
    if len(values) != 1:
        return [_not_one("contentType", len(values))]
    try:
        stated = ber.dotted(values[0])
    except ValueError:
        return [_unreadable("contentType")]
    if stated == expected:
        return []
    return [
        problem(
            "attributes.content-type",
            "the signer signed content of the type {signed}, and it is given as {found}",
            signed=stated,
            found=expected,
        )
    ]


def _message_digest(info: SignerInfo, expected: bytes) -> list[Problem]:
    values = _values(info, algorithms.MESSAGE_DIGEST)
    if len(values) != 1:
        return [_not_one("messageDigest", len(values))]
    try:
        stated = octets(values[0])
    except ValueError:
        return [_unreadable("messageDigest")]
    if hmac.compare_digest(stated, expected):
        return []
    return [
        problem("signature.digest", "the content is not what was signed: its digest is another one")
    ]


def _protection(info: SignerInfo) -> list[Problem]:
    """CMSAlgorithmProtection, where there is one, names the algorithms in use (RFC 6211 §2)."""
    assert info.signed is not None
    if not info.signed.all(algorithms.ALGORITHM_PROTECTION):
        return []
    values = _values(info, algorithms.ALGORITHM_PROTECTION)
    if len(values) != 1:
        return [_not_one("CMSAlgorithmProtection", len(values))]
    try:
        parts = values[0].expect(ber.SEQUENCE).children
        if len(parts) != 2:
            raise ValueError("digest and signature")
        digest, signature = algorithm(parts[0]), algorithm(parts[1], 0xA1)
    except ValueError:
        return [_unreadable("CMSAlgorithmProtection")]
    if _same(digest, info.digest) and _same(signature, info.algorithm):
        return []
    return [
        problem(
            "attributes.algorithm-protection",
            "the signer named other algorithms than those that the signature carries",
        )
    ]


def _same(one: Algorithm, other: Algorithm) -> bool:
    """Equal, where absent parameters and NULL are the same (RFC 6211 §2, RFC 5754 §2)."""
    if one.oid != other.oid or one.plain != other.plain:
        return False
    if one.parameters is None or other.parameters is None or one.plain:
        return True
    return one.parameters.raw == other.parameters.raw


def _values(info: SignerInfo, oid: str) -> list[Element]:
    """All values of all attributes of one type."""
    if info.signed is None:
        return []
    return [value for one in info.signed.all(oid) for value in one.values]


def _not_one(name: str, count: int) -> Problem:
    if not count:
        return problem("attributes.missing", "the signed attribute {name} is missing", name=name)
    return problem(
        "attributes.repeated",
        "the signed attribute {name} has {count} values instead of one",
        name=name,
        count=str(count),
    )


def _unreadable(name: str) -> Problem:
    return problem("attributes.unreadable", "the signed attribute {name} cannot be read", name=name)
