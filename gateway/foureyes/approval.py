"""A person's signature over a request: CMS SignedData, detached or with the request inside. Pure.

Checked by the same steps as a signed mail (`gateway.smime.verify`), with one difference: only the
certificates of enrolled persons count, each for itself, and never one that came along.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

from gateway.foureyes.errors import ActRefused
from gateway.i18n import message
from gateway.smime import cms
from gateway.smime.algorithms import DATA, SIGNED_DATA
from gateway.smime.identity import Author
from gateway.smime.sign import sign_detached
from gateway.smime.signed import SignedData, read_signed
from gateway.smime.signer_certificate import meant
from gateway.smime.verify import Rules, verify_signed
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.errors import Problem, minute, problem
from pki.models import Purpose, Signer
from pki.path import Material, Revocation
from pki.usage import purpose_problem

MAX_OCTETS = 1 << 20
_OTHER = message("it is about other octets than those of the request")
_NOBODY = Author((), None, None)  # no mail: there is no From that could be a problem
_ARMOUR = re.compile(rb"-----BEGIN (?:CMS|PKCS7)-----(.*?)-----END (?:CMS|PKCS7)-----", re.DOTALL)


def approve(octets: bytes, signer: Signer) -> bytes:
    """DER of a detached signature over a request. Raises ValueError for what the key cannot do."""
    return sign_detached(octets, signer)


def unfit(cert: ParsedCertificate, moment: datetime) -> Problem | None:
    """Why this certificate cannot approve anything at this moment, whoever has it; or None."""
    if moment < cert.not_before or moment > cert.not_after:
        return problem(
            "person.certificate-dates",
            "the certificate of {subject} is valid from {start} to {end}, not now",
            subject=cert.subject_text,
            start=minute(cert.not_before),
            end=minute(cert.not_after),
        )
    return purpose_problem(cert, Purpose.SIGN, moment)


def read_approval(approval: bytes) -> SignedData:
    """The CMS structure (RFC 5652 §5), in DER, BER or PEM; nothing in it is believed.

    Raises ActRefused: there is none.
    """
    if len(approval) > MAX_OCTETS:
        raise _refused("it is larger than a signature is")
    try:
        info = cms.content_info(_unarmoured(approval))
        if info.type != SIGNED_DATA:
            raise _refused("it is not SignedData")
        return read_signed(info.content)
    except ValueError:
        raise _refused("it is not SignedData") from None


def signer_of(
    approval: bytes, octets: bytes, known: Iterable[ParsedCertificate], moment: datetime
) -> ParsedCertificate:
    """Whose signature over exactly these octets it is: one of `known`, fit at `moment`.

    approval: CMS in DER, BER or PEM. Raises ActRefused.
    """
    data = read_approval(approval)
    if len(data.signers) != 1:
        raise _refused("it must have one signer")
    if data.content_type != DATA or (data.content is not None and data.content != octets):
        raise _refused(_OTHER)
    if data.signers[0].signed is None:
        # Without signed attributes the octets might have been signed as something else.
        raise _refused("it has no signed attributes")
    certificates = tuple(meant(data.signers[0], known))
    if not certificates:
        raise _refused("no enrolled person has the certificate that it names")
    rules = Rules(_material(tuple(cert.der for cert in certificates)), moment, Revocation.OFF)
    # Certificates that came along are dropped: an identifier is no secret, and one with the
    # issuer and serial of an enrolled person would be tried first.
    (report,) = verify_signed(replace(data, certificates=(), crls=()), octets, _NOBODY, rules)
    wrong = [one for one in report.problems if not one.code.startswith("identity.")]
    if any(one.code == "signature.digest" for one in wrong):
        raise _refused(_OTHER)
    if wrong:
        raise ActRefused(wrong[0])
    return next(cert for cert in certificates if cert.sha256 == report.certificate_sha256)


def _unarmoured(approval: bytes) -> bytes:
    """PEM as `openssl cms -outform PEM` writes it, or the octets as they are. Raises ValueError."""
    match = _ARMOUR.search(approval)
    return (
        approval if match is None else base64.b64decode(b"".join(match[1].split()), validate=True)
    )


# The same few people sign again and again.
@lru_cache(maxsize=256)
def _material(ders: tuple[bytes, ...]) -> Material:
    """Enrolment is what a person's certificate is trusted by; a CA could make another one."""
    signs = frozenset({Purpose.SIGN})
    return Material([Anchor("person", der, sha256(der).hexdigest(), signs) for der in ders])


def _refused(why: str) -> ActRefused:
    return ActRefused(problem("person.approval", "this is no approval of the request: " + why))
