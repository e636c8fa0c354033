"""Signed attributes of Enhanced Security Services (RFC 2634, RFC 5035), as plain data. Pure.

What is read here is said by the signer and decides nothing by itself; whether the signature holds
is for the verifier, and who acts on a label or a request looks at its verdict first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gateway.smime import cms
from gateway.smime.capabilities import SMIME_CAPABILITIES, capabilities
from gateway.smime.general_names import (
    general_names,
    hexadecimal,
    identifier,
    issuer_and_serial,
    utf8,
)
from gateway.smime.receipt_request import RECEIPT_REQUEST
from gateway.smime.signing_certificate import (
    SIGNING_CERTIFICATE,
    SIGNING_CERTIFICATE_V2,
    signing_certificate,
    signing_certificate_v2,
)
from pki import ber
from pki.ber import Element
from pki.errors import problem

SECURITY_LABEL = "1.2.840.113549.1.9.16.2.2"
ML_EXPANSION_HISTORY = "1.2.840.113549.1.9.16.2.3"
CONTENT_HINTS = "1.2.840.113549.1.9.16.2.4"
MSG_SIG_DIGEST = "1.2.840.113549.1.9.16.2.5"
CONTENT_IDENTIFIER = "1.2.840.113549.1.9.16.2.7"
EQUIVALENT_LABELS = "1.2.840.113549.1.9.16.2.9"
CONTENT_REFERENCE = "1.2.840.113549.1.9.16.2.10"
ENCRYPTION_KEY_PREFERENCE = "1.2.840.113549.1.9.16.2.11"  # RFC 8551 §2.5.3

# The upper bounds of RFC 2634 appendix A; where it has none, more than any mail needs.
_RECEIPTS_TO, _CATEGORIES, _EXPANSIONS, _MANY = 16, 64, 64, 200
_PRIVACY_MARK = 128  # RFC 2634 §3.2; twice that in octets of UTF-8

_PRINTABLE, _UTF8, _GENERALIZED_TIME = 0x13, 0x0C, 0x18
_CLASSIFICATIONS = (
    "unmarked", "unclassified", "restricted", "confidential", "secret", "top-secret",
)  # fmt: skip
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:\.\d{1,9})?Z")


def facts(oid: str, values: Sequence[Element]) -> dict[str, Any] | None:
    """What an attribute says, as plain data for JSON; None for one that is not read here.

    oid: its type, dotted. values: its AttributeValues.
    `attribute` is its name in the RFCs. Where it cannot be read (not exactly one value, which each
    of these has; another structure; more of something than the RFC allows) there is nothing beside
    the name but `problems`, with one of the code `attributes.unreadable`. Never raises.
    """
    known = _ATTRIBUTES.get(oid)
    if known is None:
        return None
    name, read = known
    try:
        if len(values) != 1:
            raise ValueError("it has one value")
        return {"attribute": name, **read(values[0])}
    except ValueError:
        unreadable = problem(
            "attributes.unreadable", "the signed attribute {name} cannot be read", name=name
        )
        return {
            "attribute": name,
            "problems": [{"code": unreadable.code, "text": unreadable.text}],
        }


def _receipt_request(value: Element) -> dict[str, Any]:
    """RFC 2634 §2.7. `from`: "all", "first-tier" or those who are asked, as names each."""
    content_identifier, asked, to = _parts(value, 3)
    if asked.tag == 0x80:
        tier = int.from_bytes(asked.content, "big") if asked.content else -1
        if tier not in (0, 1):
            raise ValueError("nobody knows who is asked")
        receipts_from: Any = ("all", "first-tier")[tier]
    else:
        receipts_from = [
            general_names(one.expect(ber.SEQUENCE), _MANY)
            for one in _some(asked.expect(0xA1), _MANY)
        ]
    return {
        "content_identifier": hexadecimal(content_identifier),
        "receipts_from": receipts_from,
        "receipts_to": [
            general_names(one.expect(ber.SEQUENCE), _MANY)
            for one in _some(to.expect(ber.SEQUENCE), _RECEIPTS_TO)
        ],
    }


def _security_label(value: Element) -> dict[str, Any]:
    """RFC 2634 §3.2: a SET, so its parts are told by their kinds and may stand in any order."""
    parts: dict[int, Element] = {}
    for part in value.expect(ber.SET):
        tag = _PRINTABLE if part.tag == _UTF8 else part.tag
        if tag not in (ber.OID, ber.INTEGER, _PRINTABLE, ber.SET) or tag in parts:
            raise ValueError("a security label has other parts, or one of them twice")
        parts[tag] = part
    if ber.OID not in parts:
        raise ValueError("a security label has a policy")
    label: dict[str, Any] = {
        "policy": ber.dotted(parts[ber.OID]),
        "classification": None,
        "classification_name": None,
        "privacy_mark": None,
        "categories": [],
    }
    if ber.INTEGER in parts:
        level = cms.integer(parts[ber.INTEGER])
        if not 0 <= level <= 256:  # ub-integer-options
            raise ValueError("a security classification is out of range")
        label["classification"] = level
        # Above 5 the policy says what it means.
        label["classification_name"] = dict(enumerate(_CLASSIFICATIONS)).get(level)
    if _PRINTABLE in parts:
        label["privacy_mark"] = _privacy_mark(parts[_PRINTABLE])
    if ber.SET in parts:
        label["categories"] = [_category(one) for one in _some(parts[ber.SET], _CATEGORIES)]
    return label


def _privacy_mark(element: Element) -> str:
    text = element.content.decode("ascii") if element.tag == _PRINTABLE else utf8(element)
    if not 1 <= len(text) <= 2 * _PRIVACY_MARK:
        raise ValueError("a privacy mark is empty or too long")
    return text


def _category(element: Element) -> dict[str, Any]:
    """SecurityCategory: type [0] IMPLICIT, value [1]. The value is the policy's own: in hex, and
    as text where it is a plain string."""
    kind, value = _parts(element, 2)
    oid = kind.expect(0x80).content
    if len(oid) > ber.MAX_OID:
        raise ValueError("an object identifier is too long")
    category: dict[str, Any] = {
        "type": ber.dotted(ber.read(bytes((ber.OID, len(oid))) + oid)),
        "value": value.expect(0xA1).content.hex()[:1000],
        "text": None,
    }
    if len(value.children) == 1 and value[0].tag in (_PRINTABLE, _UTF8):
        category["text"] = value[0].content.decode("utf-8")[:1000]
    return category


def _equivalent_labels(value: Element) -> dict[str, Any]:
    """RFC 2634 §3.4: other names for the label; its own rules say who may add them."""
    return {
        "labels": [_security_label(one) for one in _some(value.expect(ber.SEQUENCE), _CATEGORIES)]
    }


def _content_hints(value: Element) -> dict[str, Any]:
    """RFC 2634 §2.9."""
    parts = value.expect(ber.SEQUENCE).children
    described = len(parts) == 2
    if not 1 <= len(parts) <= 2:
        raise ValueError("ContentHints has one or two parts")
    return {
        "description": utf8(parts[0]) if described else None,
        "content_type": ber.dotted(parts[-1]),
    }


def _content_reference(value: Element) -> dict[str, Any]:
    """RFC 2634 §2.11: the message that this one answers or goes with."""
    content_type, content_identifier, signature = _parts(value, 3)
    return {
        "content_type": ber.dotted(content_type),
        "content_identifier": hexadecimal(content_identifier),
        "signature": hexadecimal(signature),
    }


def _content_identifier(value: Element) -> dict[str, Any]:
    """RFC 2634 §2.7."""
    return {"content_identifier": hexadecimal(value)}


def _msg_sig_digest(value: Element) -> dict[str, Any]:
    """RFC 2634 §2.10: in a receipt, the digest of what the receipt answers."""
    return {"digest": hexadecimal(value)}


def _expansion_history(value: Element) -> dict[str, Any]:
    """RFC 2634 §4.4: the lists that a message came through, first one first."""
    return {"lists": [_expansion(one) for one in _some(value.expect(ber.SEQUENCE), _EXPANSIONS)]}


def _expansion(element: Element) -> dict[str, Any]:
    parts = element.expect(ber.SEQUENCE).children
    if not 2 <= len(parts) <= 3:
        raise ValueError("MLData has two or three parts")
    found: dict[str, Any] = {
        "list": identifier(parts[0]),
        "time": _time(parts[1]),
        "receipts": None,
        "receipts_to": [],
    }
    if len(parts) == 3:
        kinds = {0x80: "none", 0xA1: "instead-of", 0xA2: "in-addition-to"}
        policy = parts[2]
        if policy.tag not in kinds:
            raise ValueError("nobody knows this receipt policy")
        found["receipts"] = kinds[policy.tag]
        if policy.tag != 0x80:
            found["receipts_to"] = [
                general_names(one.expect(ber.SEQUENCE), _MANY) for one in _some(policy, _MANY)
            ]
    return found


def _key_preference(value: Element) -> dict[str, Any]:
    """RFC 8551 §2.5.3: the certificate that the signer wants to be encrypted to."""
    if value.tag == 0xA0:
        return {"certificate": issuer_and_serial(value, 0xA0)}
    key = value[0] if value.tag == 0xA1 else value
    tag = ber.OCTET_STRING if value.tag == 0xA1 else 0x82
    return {"certificate": {"key_identifier": hexadecimal(key, tag)}}


def _time(element: Element) -> str:
    """A GeneralizedTime in UTC, as RFC 3339. Raises ValueError."""
    match = _TIME.fullmatch(element.expect(_GENERALIZED_TIME).content.decode("ascii"))
    if match is None:
        raise ValueError("a time is not of the form that RFC 5652 asks for")
    year, month, day, hour, minute, second = match.groups()
    return f"{year}-{month}-{day}T{hour}:{minute}:{second}Z"


def _parts(element: Element, count: int) -> Sequence[Element]:
    children = element.expect(ber.SEQUENCE).children
    if len(children) != count:
        raise ValueError("a structure has more or fewer parts than it must have")
    return children


def _some(element: Element, limit: int) -> Sequence[Element]:
    if not 1 <= len(element.children) <= limit:
        raise ValueError("a list is empty or too long")
    return element.children


_ATTRIBUTES: dict[str, tuple[str, Callable[[Element], dict[str, Any]]]] = {
    RECEIPT_REQUEST: ("receiptRequest", _receipt_request),
    SECURITY_LABEL: ("securityLabel", _security_label),
    EQUIVALENT_LABELS: ("equivalentLabels", _equivalent_labels),
    ML_EXPANSION_HISTORY: ("mlExpansionHistory", _expansion_history),
    CONTENT_HINTS: ("contentHint", _content_hints),
    CONTENT_IDENTIFIER: ("contentIdentifier", _content_identifier),
    CONTENT_REFERENCE: ("contentReference", _content_reference),
    MSG_SIG_DIGEST: ("msgSigDigest", _msg_sig_digest),
    ENCRYPTION_KEY_PREFERENCE: ("encryptionKeyPreference", _key_preference),
    SIGNING_CERTIFICATE: ("signingCertificate", signing_certificate),
    SIGNING_CERTIFICATE_V2: ("signingCertificateV2", signing_certificate_v2),
    SMIME_CAPABILITIES: ("SMIMECapabilities", capabilities),
}
