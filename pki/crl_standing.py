"""How the known CRLs stand: what counts, until when, and which delta is late. Pure.

For those who watch; what a CRL says of a certificate is `pki.revocation`'s to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from pki.anchors import Anchor, RevocationSources
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_scope import ALL_REASONS, IssuingScope
from pki.crl_series import Series
from pki.errors import PkiError, Problem, problem
from pki.names import NameKey
from pki.path import Material, Revocation, find_path
from pki.revocation import may_sign_crls


@dataclass(frozen=True, slots=True)
class CrlStanding:
    """The CRLs of one issuer, key and scope, as they count together (RFC 5280 §5.2.4).

    complete: the newest complete one; None if only deltas are known. delta: the newest one, if any.
    alone: whether that delta completes nothing that is known, though it is newer.
    current: the one of the two that holds longer; without a complete one, the delta.
    """

    issuer: str
    complete: Crl | None
    delta: Crl | None
    alone: bool
    current: Crl

    @property
    def until(self) -> datetime:
        """Until when they tell that a certificate is not revoked."""
        return self.current.next_update

    def delta_is_late(self, moment: datetime) -> bool:
        """Whether a newer delta should be there, and the complete CRL counts without it.

        A delta that had ended before the complete one was issued is replaced by that one; only
        if the complete one says that there are deltas (§5.2.6) is one missing then.
        """
        if self.complete is None or self.delta is None:
            return False
        if not self.delta.next_update < moment <= self.complete.next_update:
            return False
        replaced = self.delta.next_update < self.complete.this_update
        return not replaced or bool(self.complete.freshest)


def crl_standings(material: Material, moment: datetime) -> list[CrlStanding]:
    """All that speak for somebody: the first to end comes first.

    Left out are CRLs whose signer is not known any more, since they count for nothing, and those
    of authorities below anchors that ask OCSP responders alone, since nobody looks at them.
    """
    unasked = by_ocsp_alone(material, moment)
    found: dict[tuple[NameKey, bytes, IssuingScope], Series] = {}
    for name, crls in material.crls.items():
        signers = [cert for cert in material.signers_named(name) if may_sign_crls(cert)]
        for crl in sorted(crls, key=lambda crl: (crl.this_update, crl.number or 0), reverse=True):
            signer = next((cert for cert in signers if crl.signed_by(cert)), None)
            if signer is not None and crl.issuer_text not in unasked:
                reasons = ALL_REASONS if crl.scope.reasons is None else crl.scope.reasons
                key = (name, signer.spki, crl.scope)
                found.setdefault(key, Series(signer, reasons)).add(crl, moment)
    standings = [_standing(one) for one in found.values() if one.base or one.deltas]
    return sorted(standings, key=lambda one: (one.until, one.issuer))


def _standing(series: Series) -> CrlStanding:
    complete = series.base
    delta = series.deltas[0] if series.deltas else None
    counting = [one for one in series.deltas if series.combined(one)]
    counting += [complete] if complete is not None else series.deltas
    current = max(counting, key=lambda crl: crl.next_update)
    alone = delta is not None and series.newer(delta) and not series.combined(delta)
    return CrlStanding(current.issuer_text, complete, delta, alone, current)


def by_ocsp_alone(material: Material, moment: datetime) -> frozenset[str]:
    """Names of authorities of which no CRL is ever looked at: all their anchors say "ocsp".

    One that leads to no anchor is not among them.
    """
    if not any(_asks_ocsp_alone(anchor) for anchor, _ in material.anchors):
        return frozenset()
    asked: set[str] = set()
    unasked: set[str] = set()
    for anchor, cert in material.anchors:
        (unasked if _asks_ocsp_alone(anchor) else asked).add(cert.subject_text)
    for certs in material.intermediates.values():
        for cert in certs:
            only_ocsp = not _has_path(cert, material, moment, _refuse_ocsp_alone) and _has_path(
                cert, material, moment, lambda _anchor: None
            )
            (unasked if only_ocsp else asked).add(cert.subject_text)
    return frozenset(unasked - asked)


def _asks_ocsp_alone(anchor: Anchor) -> bool:
    return anchor.sources is RevocationSources.OCSP


def _refuse_ocsp_alone(anchor: Anchor) -> Problem | None:
    if not _asks_ocsp_alone(anchor):
        return None
    return problem(
        "path.other-anchor",
        "below the trust anchor {anchor} no CRL is looked at",
        anchor=anchor.name,
    )


def _has_path(
    cert: ParsedCertificate,
    material: Material,
    moment: datetime,
    accept: Callable[[Anchor], Problem | None],
) -> bool:
    try:
        find_path(cert, material, moment=moment, revocation=Revocation.OFF, accept=accept)
    except PkiError:
        return False
    return True
