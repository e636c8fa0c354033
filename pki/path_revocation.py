"""Who says that no certificate of a path is revoked: CRLs, OCSP, and the paths of their signers.

Pure. RFC 5280 §6.1.3 (a)(3), §6.3.3 (f); RFC 6960 §4.2.2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from pki.anchors import Anchor, RevocationSources
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused
from pki.ocsp_judge import OcspStatement, check_ocsp, has_nocheck
from pki.path_building import Budget
from pki.revocation import CrlJudge, check_revocation
from pki.revocation_sources import Spoken, ask_in_order

if TYPE_CHECKING:
    from pki.path import Material

MAX_CRL_SIGNERS = 3  # a CRL's signer, whose CRL has another signer, whose CRL …
MAX_VOUCHERS = 24  # of the responders of one search
MAX_RESPONDERS = 3  # an OCSP responder, whose certificate another responder speaks of …

# A CA and the key that signed it, the anchor with its rules, allow_legacy, required.
_Asked = tuple[str, str, Anchor, bool, bool]

# Whether a signer of CRLs has a path to this anchor while the signers named are being checked.
HasPath = Callable[[ParsedCertificate, Anchor, frozenset[str]], bool]


class JudgedIssuers:
    """CAs that no CRL revokes at one moment, of one material: an import of 200,000 people judges
    all of them at the same moment, below a handful of CAs. Thread-safe.
    """

    def __init__(self) -> None:
        self._known: tuple[datetime | None, dict[_Asked, Spoken]] = None, {}

    def known(self, moment: datetime) -> dict[_Asked, Spoken]:
        """What was found out about this moment; other moments are forgotten."""
        known = self._known
        if known[0] != moment:
            known = self._known = moment, {}
        return known[1]


class Witnesses:
    """Asks all that is known about revocation, for the paths of one search.

    required: whether what cannot be told stops a path. pending: signers of CRLs and OCSP responses
    who are being checked themselves.
    """

    def __init__(
        self,
        material: Material,
        *,
        moment: datetime,
        allow_legacy: bool,
        required: bool,
        budget: Budget,
        pending: frozenset[str],
        has_path: HasPath,
    ) -> None:
        self._material = material
        self._moment = moment
        self._legacy = allow_legacy
        self._required = required
        self._budget = budget
        self._pending = pending
        self._has_path = has_path

    def ask(
        self, anchor: Anchor, chain: Sequence[ParsedCertificate]
    ) -> list[tuple[ParsedCertificate, Spoken]]:
        """What speaks for each certificate below the anchor.

        Raises CertificateRefused (one is revoked), CannotJudge (one cannot be told).
        """
        spoken: list[tuple[ParsedCertificate, Spoken]] = []
        for issuer, cert in pairwise(chain):
            try:
                if cert is chain[-1]:
                    spoken.append((cert, self._not_revoked(cert, issuer, anchor)))
                else:
                    spoken.append((cert, self._issuer_not_revoked(cert, issuer, anchor)))
            except CannotJudge:
                if self._required:
                    raise
        return spoken

    def _not_revoked(
        self, cert: ParsedCertificate, issuer: ParsedCertificate, anchor: Anchor
    ) -> Spoken:
        """What says so, by the anchor's order of sources. Raises as `check_revocation`."""
        crls = CrlJudge(
            moment=self._moment,
            grace=anchor.grace,
            crls=self._material.crls,
            signers=self._material.signers_named,
            trusted=lambda signer, cert: self._trusted_crl_signer(signer, cert, anchor),
            allow_legacy=self._legacy,
        )
        return ask_in_order(
            cert,
            anchor.sources,
            crl=lambda: check_revocation(cert, issuer, crls),
            ocsp=lambda: self._by_ocsp(cert, issuer, anchor),
        )

    def _issuer_not_revoked(
        self, cert: ParsedCertificate, issuer: ParsedCertificate, anchor: Anchor
    ) -> Spoken:
        """The same of a CA, which thousands of paths share."""
        if anchor.sources is not RevocationSources.CRL or self._pending:
            return self._not_revoked(cert, issuer, anchor)  # responses come at any time
        asked = (cert.sha256, issuer.key_sha256, anchor, self._legacy, self._required)
        known = self._material.issuers.known(self._moment)
        spoken = known.get(asked)
        if spoken is None:
            spoken = known[asked] = self._not_revoked(cert, issuer, anchor)
        return spoken

    def _by_ocsp(
        self, cert: ParsedCertificate, issuer: ParsedCertificate, anchor: Anchor
    ) -> OcspStatement:
        return check_ocsp(
            cert,
            issuer,
            moment=self._moment,
            grace=anchor.grace,
            responses=self._material.ocsp.about(cert, issuer),
            signers=self._material.issued_by(issuer),
            vouched=lambda responder: self._vouched(responder, issuer, anchor),
            allow_legacy=self._legacy,
        )

    def _vouched(
        self, responder: ParsedCertificate, issuer: ParsedCertificate, anchor: Anchor
    ) -> bool:
        """RFC 6960 §4.2.2.2.1: a delegated responder is not revoked, or need not be asked about."""
        if has_nocheck(responder):
            return True
        if responder.sha256 in self._pending or len(self._pending) >= MAX_RESPONDERS:
            return False  # its own response, or one of its kind, would have to speak for it
        key = (responder.sha256, issuer.sha256, anchor.sha256)
        known = self._budget.responders.get(key)
        if known is None:
            # A CA may appoint ten to each response and ten to theirs: a thousand to be asked.
            if self._budget.vouchers >= MAX_VOUCHERS:
                return False
            self._budget.vouchers += 1
            known = self._not_revoked_itself(responder, issuer, anchor)
            # What was found while others were pending depends on them.
            if known or not self._pending:
                self._budget.responders[key] = known
        return known

    def _not_revoked_itself(
        self, responder: ParsedCertificate, issuer: ParsedCertificate, anchor: Anchor
    ) -> bool:
        self._pending |= {responder.sha256}
        try:
            self._not_revoked(responder, issuer, anchor)
        except CannotJudge:
            return not self._required
        except CertificateRefused:
            return False
        finally:
            self._pending -= {responder.sha256}
        return True

    def _trusted_crl_signer(
        self, signer: ParsedCertificate, cert: ParsedCertificate, anchor: Anchor
    ) -> bool:
        """§6.3.3 (f): the signer of a CRL needs a path of its own to the same anchor.

        A CRL that speaks for its own signer is seen (PKITS 4.14.30): then the path in question is
        the one that is being validated. Not for a CA: a stolen CA key could clear itself.
        """
        if signer.sha256 == cert.sha256:
            return not cert.is_ca
        if signer.sha256 in self._pending or len(self._pending) >= MAX_CRL_SIGNERS:
            return False  # its CRL would have to speak for itself, or the way is too long
        known = self._budget.signers.get((signer.sha256, anchor.sha256))
        if known is None:
            known = self._has_path(signer, anchor, self._pending | {signer.sha256})
            # What was found while other signers were pending depends on them.
            if known or not self._pending:
                self._budget.signers[signer.sha256, anchor.sha256] = known
        return known
