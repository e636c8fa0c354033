"""OCSP responses read (RFC 6960 §4.2): structure only, nothing is believed. Pure.

Read by `pki.ber`: `cryptography` shows extensions of the first SingleResponse only and no
parameters of the signature, and both decide here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from pki import ber, pem
from pki.ber import Element
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, OcspRefused, problem
from pki.names import NameKey, name_key_of, name_text_of
from pki.ocsp_id import CertId
from pki.ocsp_signature import ResponseSignature

# Honest responses have one to five thousand octets; with a chain of ML-DSA certificates, forty.
MAX_OCTETS = 64 * 1024
_MAX_CERTIFICATES = 10
_MAX_RESPONSES = 1000

# RFC 6960 §4.2.2.1: without nextUpdate "newer revocation information is available all the time".
# Mail decided an hour ago was decided in time; a day would be a gift to whoever replays.
WITHOUT_NEXT_UPDATE = timedelta(hours=1)

BASIC = "1.3.6.1.5.5.7.48.1.1"
NONCE = "1.3.6.1.5.5.7.48.1.2"
_CRL_REFERENCE = "1.3.6.1.5.5.7.48.1.3"
_ARCHIVE_CUTOFF = "1.3.6.1.5.5.7.48.1.6"
_EXTENDED_REVOKED = "1.3.6.1.5.5.7.48.1.9"
# Their meaning is applied or shown here; any other one that is critical refuses the response
# (RFC 6960 §4.4: what is critical and not understood must not be passed over).
_UNDERSTOOD = frozenset({NONCE, _CRL_REFERENCE, _ARCHIVE_CUTOFF, _EXTENDED_REVOKED})

_GENERALIZED_TIME, _ENUMERATED, _BIT_STRING, _BOOLEAN = 0x18, 0x0A, 0x03, 0x01
_EXPLICIT = (0xA0, 0xA1, 0xA2)

# RFC 6960 §4.2.1: OCSPResponseStatus.
STATUSES = {
    1: "malformedRequest",
    2: "internalError",
    3: "tryLater",
    5: "sigRequired",
    6: "unauthorized",
}
# RFC 5280 §5.3.1, the names that CRLs have here too.
_REASONS = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
HOLD = "certificateHold"


@dataclass(frozen=True, slots=True)
class SingleResponse:
    """What is said of one certificate (RFC 6960 §4.2.1).

    status: "good", "revoked" or "unknown". reason: RFC 5280 §5.3.1 name, or "".
    stated_next_update: as it stands there; `next_update` is never None.
    archive_cutoff: the responder keeps what it knew back to then (§4.4.4).
    """

    cert_id: CertId
    status: str
    this_update: datetime
    stated_next_update: datetime | None
    revoked_at: datetime | None = None
    reason: str = ""
    archive_cutoff: datetime | None = None

    @property
    def next_update(self) -> datetime:
        """Until when it may be used."""
        return self.stated_next_update or self.this_update + WITHOUT_NEXT_UPDATE

    @property
    def revoked_for_good(self) -> bool:
        """Whether it says revoked, and no later word can undo that: this does not go stale.

        RFC 6960 §2.2: revoked is "temporarily (the revocation reason is certificateHold) or
        permanently", so one without a reason is for good. A hold may have been lifted since
        (RFC 5280 §5.3.1). removeFromCRL lifts one in delta CRLs alone: a responder that gives it
        for a reason still says revoked.
        """
        return self.status == "revoked" and self.reason != HOLD

    @property
    def says_for_good(self) -> bool:
        """`revoked_for_good` with a reason that says so. A responder that leaves reasons out may
        leave out that of a hold: lifted, an old answer played back would condemn for ever.
        """
        return self.revoked_for_good and self.reason != ""


class OcspResponse:
    """A successful BasicOCSPResponse. Nothing about it has been checked but its structure.

    certificates: those that came along and can be read. nonce: None where there is none.
    Raises OcspRefused: not readable (structure.ocsp), too large (limits.ocsp), or an error of the
    responder (revocation.ocsp-status).
    """

    def __init__(self, der: bytes, source: str = "") -> None:
        if len(der) > MAX_OCTETS:
            raise OcspRefused(
                problem(
                    "limits.ocsp",
                    "this OCSP response is larger than {limit} octets",
                    limit=str(MAX_OCTETS),
                )
            )
        self.der = der
        self.source = source
        self.sha256 = hashlib.sha256(der).hexdigest()
        try:
            basic = _basic(ber.read(der), source)
            self._read(_strict(ber.read(basic)).expect(ber.SEQUENCE))
        except ValueError as error:
            raise OcspRefused(
                problem(
                    "structure.ocsp",
                    "this is not an OCSP response that can be read: {detail}",
                    detail=str(error)[:200],
                )
            ) from error

    def _read(self, basic: Element) -> None:
        """BasicOCSPResponse and ResponseData."""
        parts = _Parts(basic)
        data = _Parts(parts.take(ber.SEQUENCE))
        self.signature = ResponseSignature(
            basic.raw, parts.take(ber.SEQUENCE), parts.take(_BIT_STRING)
        )
        self._certificates = tuple(
            each.raw
            for listed in parts.explicit(0, ber.SEQUENCE)
            for each in listed.children[:_MAX_CERTIFICATES]
        )
        parts.end()

        for version in data.explicit(0, ber.INTEGER):
            if version.content != b"\0":
                raise ValueError("its version is not v1")
        self.responder_name: NameKey | None = None
        self.responder_key_hash: bytes | None = None
        for name in data.explicit(1, ber.SEQUENCE):
            self.responder_name, self.responder = name_key_of(name), name_text_of(name)
        for key in data.explicit(2, ber.OCTET_STRING):
            self.responder_key_hash, self.responder = key.content, f"key {key.content.hex()}"
        if (self.responder_name is None) == (self.responder_key_hash is None):
            raise ValueError("it does not say who made it")
        self.produced_at: datetime = _time(data.take(_GENERALIZED_TIME))
        responses = data.take(ber.SEQUENCE).children
        if len(responses) > _MAX_RESPONSES:
            raise ValueError("it speaks of too many certificates")
        self.singles: tuple[SingleResponse, ...] = tuple(map(_single, responses))
        self.nonce: bytes | None = None
        self.extended_revoked = False
        for oid, value in _extensions(data, 1):
            if oid == NONCE:
                self.nonce = ber.read(value).expect(ber.OCTET_STRING).content
            self.extended_revoked |= oid == _EXTENDED_REVOKED
        data.end()

    @cached_property
    def certificates(self) -> tuple[ParsedCertificate, ...]:
        """Certificates that came along; what cannot be read is left out."""
        found = []
        for der in self._certificates:
            try:
                found.append(ParsedCertificate(der))
            except CertificateRefused:
                continue
        return tuple(found)


def from_pem(data: bytes) -> bytes:
    """DER of a response from PEM ("OCSP RESPONSE", as Bouncy Castle and NSS write it) or DER.

    Raises OcspRefused for a broken PEM block.
    """
    try:
        return pem.der_of(data, "OCSP RESPONSE")
    except ValueError as error:
        raise OcspRefused(
            problem("structure.ocsp", "this is not an OCSP response in PEM or DER")
        ) from error


def _basic(root: Element, source: str) -> bytes:
    """The octets of the BasicOCSPResponse. Raises ValueError; OcspRefused for an error status."""
    parts = _Parts(_strict(root).expect(ber.SEQUENCE))
    number = _enumerated(parts.take(_ENUMERATED))
    if number != 0:
        raise OcspRefused(
            problem(
                "revocation.ocsp-status",
                "the OCSP responder answered {status}, which says nothing about a certificate "
                "({source})",
                status=STATUSES.get(number, str(number)),
                source=source or "-",
            )
        )
    content = parts.explicit(0, ber.SEQUENCE)
    parts.end()
    if not content:
        raise ValueError("it is called successful and has no content")
    kind, octets = _Parts(content[0]).all()
    if ber.dotted(kind) != BASIC:
        raise ValueError("it is not a basic response (RFC 6960 §4.2.1)")
    return octets.expect(ber.OCTET_STRING).content


def _single(element: Element) -> SingleResponse:
    parts = _Parts(element.expect(ber.SEQUENCE))
    cert_id = CertId.of(parts.take(ber.SEQUENCE))
    state = parts.any()
    status = {0x80: "good", 0xA1: "revoked", 0x82: "unknown"}.get(state.tag)
    if status is None:
        raise ValueError("a status is neither good, revoked nor unknown")
    revoked_at, reason = None, ""
    if status == "revoked":
        info = _Parts(state)
        revoked_at = _time(info.take(_GENERALIZED_TIME))
        for code in info.explicit(0, _ENUMERATED):
            number = _enumerated(code)
            reason = _REASONS.get(number, str(number))
        info.end()
    this_update = _time(parts.take(_GENERALIZED_TIME))
    next_update = next(map(_time, parts.explicit(0, _GENERALIZED_TIME)), None)
    cutoff = None
    for oid, value in _extensions(parts, 1):
        if oid == _ARCHIVE_CUTOFF:
            cutoff = _time(ber.read(value).expect(_GENERALIZED_TIME))
    parts.end()
    return SingleResponse(cert_id, status, this_update, next_update, revoked_at, reason, cutoff)


def _extensions(parts: _Parts, number: int) -> list[tuple[str, bytes]]:
    """Extensions in an explicit tag. Raises ValueError for a critical one that is not known."""
    found: dict[str, bytes] = {}
    for listed in parts.explicit(number, ber.SEQUENCE):
        for each in listed:
            fields = _Parts(each.expect(ber.SEQUENCE))
            oid = ber.dotted(fields.take(ber.OID))
            critical = any(flag.content != b"\0" for flag in fields.optional(_BOOLEAN))
            value = fields.take(ber.OCTET_STRING).content
            fields.end()
            if critical and oid not in _UNDERSTOOD:
                raise ValueError(f"it has the critical extension {oid}, which is not known here")
            if oid in found:
                raise ValueError(f"it has the extension {oid} twice")
            found[oid] = value
    return list(found.items())


def _enumerated(element: Element) -> int:
    """A small ENUMERATED."""
    if len(element.content) != 1:
        raise ValueError("a number has not one octet")
    return element.content[0]


def _time(element: Element) -> datetime:
    """GeneralizedTime as RFC 5280 §4.1.2.5.2 writes it, which RFC 6960 §4.2.2.1 asks for."""
    text = element.content
    if len(text) != 15 or not text.endswith(b"Z") or not text[:14].isdigit():
        raise ValueError("a time is not written as YYYYMMDDHHMMSSZ")
    return datetime.strptime(text[:14].decode(), "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _strict(element: Element) -> Element:
    """DER writes a length in one way only: two readers shall not see two structures."""
    waiting = [element]
    while waiting:
        one = waiting.pop()
        size = one.stop - one.body
        shortest = 2 if size < 0x80 else 2 + (size.bit_length() + 7) // 8
        if not one.definite or one.body - one.start != shortest:
            raise ValueError("an element has a length that is not DER")
        waiting += one.children
    return element


class _Parts:
    """The elements of a SEQUENCE, taken one after the other. All raise ValueError."""

    def __init__(self, sequence: Element) -> None:
        self._left = list(sequence.children)

    def any(self) -> Element:
        """The next one."""
        if not self._left:
            raise ValueError("an element is missing")
        return self._left.pop(0)

    def take(self, tag: int) -> Element:
        """The next one, which must have this tag."""
        return self.any().expect(tag)

    def optional(self, tag: int) -> list[Element]:
        """The next one if it has this tag, else nothing."""
        return [self._left.pop(0)] if self._left and self._left[0].tag == tag else []

    def explicit(self, number: int, tag: int) -> list[Element]:
        """What stands in [number] EXPLICIT, if that is the next one."""
        found = []
        for wrapper in self.optional(_EXPLICIT[number]):
            inner = _Parts(wrapper)
            found.append(inner.take(tag))
            inner.end()
        return found

    def all(self) -> tuple[Element, Element]:
        """Exactly two."""
        first, second = self.any(), self.any()
        self.end()
        return first, second

    def end(self) -> None:
        """Nothing may be left."""
        if self._left:
            raise ValueError("there is an element too many")
