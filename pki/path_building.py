"""Chains of certificates from an anchor to one that is to be validated (RFC 4158). Pure.

The search is bounded: a hostile set of cross-certificates must cost milliseconds, not hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pki.algorithms import judge_signature
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, Problem, problem
from pki.names import NameKey
from pki.path_steps import bad_signature, because

MAX_LENGTH = 12
MAX_SIGNATURES = 200


@dataclass(slots=True)
class Budget:
    """What a search and those for the signers of its CRLs have spent and found together.

    signers: whether a signer of CRLs has a path to an anchor, by the SHA-256 of both.
    responders: whether an OCSP responder is not revoked, by the SHA-256 of its certificate, its
    issuer's and the anchor's. vouchers: how often that was looked for.
    """

    signatures: int = 0
    signers: dict[tuple[str, str], bool] = field(default_factory=dict)
    responders: dict[tuple[str, str, str], bool] = field(default_factory=dict)
    vouchers: int = 0


class Builder:
    """Builds the chains for one certificate; knows afterwards why there was none."""

    def __init__(
        self,
        anchors: Sequence[tuple[Anchor, ParsedCertificate]],
        intermediates: Mapping[NameKey, Sequence[ParsedCertificate]],
        *,
        moment: datetime,
        budget: Budget,
        allow_legacy: bool,
        ended: Sequence[tuple[Anchor, ParsedCertificate]] = (),
    ) -> None:
        self._anchors = anchors
        self._ended = ended
        self._intermediates = intermediates
        self._moment = moment
        self._budget = budget
        self._legacy = allow_legacy
        self._suspended: Problem | None = None  # an anchor that people ended the trust in
        self._broken: Problem | None = None  # a signature that does not hold
        self._unknown: Problem | None = None  # an issuer that is not known

    def why_none(self, cert: ParsedCertificate) -> Problem:
        """Why `paths` found nothing."""
        return self._suspended or self._broken or self._unknown or _no_issuer(cert)

    def paths(self, cert: ParsedCertificate) -> Iterator[tuple[Anchor, list[ParsedCertificate]]]:
        """Chains from an anchor to `cert` in which every signature holds, anchor first.

        Raises CertificateRefused (limits.path) when too many signatures were checked.
        """
        for anchor, root in self._anchors:
            if root.sha256 == cert.sha256:
                yield anchor, [root]
                return
        yield from self._extend([cert])

    def _extend(
        self, below: list[ParsedCertificate]
    ) -> Iterator[tuple[Anchor, list[ParsedCertificate]]]:
        cert = below[0]
        named = False
        for anchor, root in self._anchors:
            if root.subject == cert.issuer:
                named = True
                if self._signature_holds(cert, root):
                    yield anchor, [root, *below]
        for issuer in self._issuers(cert):
            named = True
            if any(issuer.subject == c.subject and issuer.spki == c.spki for c in below):
                continue  # RFC 4158 §2.4.2: a loop
            if self._signature_holds(cert, issuer) and len(below) < MAX_LENGTH:
                yield from self._extend([issuer, *below])
        if not named and not self._ends_here(cert):
            self._unknown = self._unknown or _no_issuer(cert)

    def _ends_here(self, cert: ParsedCertificate) -> bool:
        """Whether an anchor that is suspended issued it: not an authority that nobody knows."""
        for anchor, root in self._ended:
            if root.subject == cert.issuer and self._signature_holds(cert, root):
                self._suspended = self._suspended or problem(
                    "path.anchor-suspended",
                    "no trusted path: the trust anchor {anchor} ({issuer}) is suspended",
                    anchor=anchor.name,
                    issuer=root.subject_text,
                )
                return True
        return False

    def _issuers(self, cert: ParsedCertificate) -> list[ParsedCertificate]:
        """Certificates with the issuer's name; those whose key identifier fits first."""
        wanted = cert.authority_key_id
        return sorted(
            self._intermediates.get(cert.issuer, ()),
            key=lambda issuer: wanted is not None and issuer.subject_key_id != wanted,
        )

    def _signature_holds(self, cert: ParsedCertificate, issuer: ParsedCertificate) -> bool:
        self._budget.signatures += 1
        if self._budget.signatures > MAX_SIGNATURES:
            raise CertificateRefused(
                problem(
                    "limits.path",
                    "the search for a path of {subject} was given up after {count} signatures",
                    subject=cert.subject_text,
                    count=str(MAX_SIGNATURES),
                )
            )
        weak = judge_signature(cert.x509, self._moment, allow_legacy=self._legacy)
        if weak is not None:
            self._broken = self._broken or because(cert, weak).problem
            return False
        costly = issuer.key_too_large
        if costly is not None:
            self._broken = self._broken or because(issuer, costly).problem
            return False
        if cert.signed_by(issuer):
            return True
        if self._legacy and issuer.dsa_value is not None:
            return True  # for now: the key is whole when the path above it is known
        self._broken = self._broken or bad_signature(cert, issuer)
        return False


def _no_issuer(cert: ParsedCertificate) -> Problem:
    return problem(
        "path.no-anchor",
        "no trusted path: {issuer}, which issued the certificate of {subject}, is not known",
        issuer=cert.issuer_text,
        subject=cert.subject_text,
    )
