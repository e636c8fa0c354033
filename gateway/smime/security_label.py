"""The signed attribute that says how sensitive a mail is (RFC 2634 §3), written. Pure.

What a label means is for the policy that it names; for the engine it is data under the signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from pki import der_writing as der

SECURITY_LABEL = "1.2.840.113549.1.9.16.2.2"

# SecurityClassification (RFC 2634 §3.2). 6 to 256 mean what the policy says.
CLASSIFICATIONS = (
    "unmarked",
    "unclassified",
    "restricted",
    "confidential",
    "secret",
    "top-secret",
)
_LEVELS, _CATEGORIES, _MARK = 256, 64, 128  # ub-… of RFC 2634 appendix A
_UTF8, _PRINTABLE = 0x0C, 0x13
_PRINTABLE_TEXT = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]+")
_OID = re.compile(r"(?:[01]\.(?:\d|[1-3]\d)|2\.\d{1,9})(?:\.(?:0|[1-9]\d{0,17}))*")


class Category(NamedTuple):
    """A security category. type: dotted. value: DER of what the policy defines for it."""

    type: str
    value: bytes


@dataclass(frozen=True, slots=True)
class SecurityLabel:
    """ESSSecurityLabel (RFC 2634 §3.2).

    policy: object identifier of the security policy, dotted.
    classification: 0 to 256; those below 6 have names. None leaves it out.
    privacy_mark: words for people, at most 128 characters; "" leaves it out.
    Raises ValueError for what the RFC has no room for.
    """

    policy: str
    classification: int | None = None
    privacy_mark: str = ""
    categories: tuple[Category, ...] = ()

    def __post_init__(self) -> None:
        for oid in (self.policy, *(category.type for category in self.categories)):
            if not _OID.fullmatch(oid) or len(der.oid(oid)) > 66:
                raise ValueError(f"{oid[:80]!r} is not an object identifier")
        if self.classification is not None and not 0 <= self.classification <= _LEVELS:
            raise ValueError(f"a classification is a number from 0 to {_LEVELS}")
        if len(self.privacy_mark) > _MARK:
            raise ValueError(f"a privacy mark has at most {_MARK} characters")
        if len(self.categories) > _CATEGORIES:
            raise ValueError(f"a label has at most {_CATEGORIES} categories")

    def value(self) -> bytes:
        """The attribute's value in DER.

        The parts of a SET stand in the order of their tag numbers (X.690 §10.3): INTEGER,
        OBJECT IDENTIFIER, UTF8String, SET, PrintableString. It is not the order of their octets.
        """
        parts: list[tuple[int, bytes]] = [(der.OID, der.oid(self.policy))]
        if self.classification is not None:
            parts.append((der.INTEGER, der.integer(self.classification)))
        if self.privacy_mark:
            # Old readers know the PrintableString of X.411 only.
            printable = _PRINTABLE_TEXT.fullmatch(self.privacy_mark)
            tag = _PRINTABLE if printable else _UTF8
            parts.append((tag, der.element(tag, self.privacy_mark.encode())))
        if self.categories:
            categories = (_category(*category) for category in self.categories)
            parts.append((der.SET, der.set_of(categories)))
        parts.sort(key=lambda part: part[0] & 0x1F)
        return der.element(der.SET, *(encoded for _, encoded in parts))

    def as_dict(self) -> dict[str, object]:
        """Plain data for JSON."""
        level = self.classification
        names: dict[int | None, str] = dict(enumerate(CLASSIFICATIONS))
        return {
            "policy": self.policy,
            "classification": level,
            "classification_name": names.get(level),
            "privacy_mark": self.privacy_mark or None,
        }


def _category(type_: str, value: bytes) -> bytes:
    """SecurityCategory: type [0] IMPLICIT, value [1] EXPLICIT, as for any open type."""
    oid = der.oid(type_)
    return der.sequence(b"\x80" + oid[1:], der.element(0xA1, value))


def parse_security_label(text: str) -> SecurityLabel:
    """A label from POLICY-OID[:CLASSIFICATION[:MARK]], as on the command line.

    The classification is a number or one of the six names; empty leaves it out. The mark may have
    colons. Raises ValueError.
    """
    policy, _, rest = text.partition(":")
    level, _, mark = rest.partition(":")
    classification: int | None = None
    if level in CLASSIFICATIONS:
        classification = CLASSIFICATIONS.index(level)
    elif re.fullmatch(r"[0-9]{1,3}", level):
        classification = int(level)
    elif level:
        raise ValueError(f"{level!r} is not a classification")
    return SecurityLabel(policy, classification, mark)
