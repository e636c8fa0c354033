"""What the finder learned about one address, and what it concludes from that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pki.certificate import ParsedCertificate
from pki.errors import Problem, problem
from pki.key_watch import KeyWatch
from pki.models import (
    Candidate,
    CannotTell,
    Certified,
    CheckedCertificate,
    Finding,
    NoCertificate,
    Refusal,
)
from pki.recipient_keys import Familiar, Sighting
from pki.verdict import Judged

_BESIDE_ONLY = problem(
    "algorithm.beside-only",
    "its ML-KEM key is for a second envelope, and there is no certificate for the first one",
)
_OTHER_KIND = problem(
    "identity.passed-over",
    "its ML-KEM key does not go with the other certificate: one is a person's own, one of the "
    "whole domain",
)


@dataclass(slots=True)
class Second:
    """What was learned of certificates for a second envelope: nothing of it counts for the first.

    trouble: what nobody can tell, with the domain for which that certificate is pinned.
    """

    usable: list[Judged] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    trouble: list[tuple[str, Problem]] = field(default_factory=list)

    @property
    def seen(self) -> bool:
        """Whether there are any, good or bad."""
        return bool(self.usable or self.refused or self.trouble)


@dataclass(slots=True)
class Evidence:
    """What was learned while looking for one address.

    pinned: certificates for its whole domain. signatures: how many were tried. second: of
    certificates with ML-KEM keys.
    """

    looked_in: list[str] = field(default_factory=list)
    usable: list[Judged] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    trouble: list[Problem] = field(default_factory=list)
    pinned: list[Judged] = field(default_factory=list)
    second: Second = field(default_factory=Second)
    signatures: int = 0


@dataclass(frozen=True, slots=True)
class Conclusion:
    """until: until when the finding may be kept (not after the moment of asking: not at all).

    sightings: keys that somebody is to be told of.
    """

    finding: Finding
    until: datetime
    sightings: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True)
class TimesToLive:
    """How long a finding may be used again at most."""

    found: timedelta
    missing: timedelta


def conclude(
    address: str,
    seen: Evidence,
    keys: KeyWatch,
    known: Mapping[str, Familiar],
    *,
    moment: datetime,
    live: TimesToLive,
    second_wanted: bool = False,
) -> Conclusion:
    """The certificate to be used, that there is none, or that nobody can tell (I3).

    keys, known: the rule for keys that the address was not seen with, and those it was.
    second_wanted: whether mail may need a second envelope; that there is none is then not kept
        for longer than that there is no certificate.
    """
    looked_in = tuple(seen.looked_in)
    watched = keys.sort(address, seen.usable, known)
    refused = [*seen.refused, *(_held(one, why) for one, why in watched.held)]
    if fit := watched.fit or ([] if watched.held else seen.pinned):
        ranked = sorted(fit, key=_preference)
        chosen = ranked[0]
        sha256 = chosen.certificate.sha256
        others = [one.certificate for one in ranked if one.certificate.sha256 != sha256]
        refused += [_passed_over(one, chosen.certificate) for one in others]
        until = min(moment + live.found, chosen.until)
        second = _second_for(chosen.certificate, seen, refused)
        if isinstance(second, Judged):
            until = min(until, second.until)
        elif second is not None or second_wanted:
            until = min(until, moment + live.missing)
        return Conclusion(
            Certified(
                chosen.certificate,
                looked_in,
                tuple(refused),
                second.certificate if isinstance(second, Judged) else second,
            ),
            until,
            tuple(watched.to_report(sha256)),
        )
    if watched.held:
        # Whoever swaps a key must not get clear text either.
        why = watched.held[0][1]
        refused += seen.second.refused
        finding = CannotTell(looked_in, tuple(refused), why, person=True)
        return Conclusion(finding, moment, tuple(watched.to_report("")))
    if seen.trouble:
        refused += seen.second.refused
        return Conclusion(CannotTell(looked_in, tuple(refused), seen.trouble[0]), moment)
    # What is the matter with an ML-KEM key is no reason why mail goes without encryption.
    reason = _BESIDE_ONLY
    if refused or not seen.second.seen:
        reason = _main_reason(address, looked_in, refused)
    refused += seen.second.refused
    refused += [_refused(one.certificate, _BESIDE_ONLY) for one in seen.second.usable]
    alone: CheckedCertificate | Problem | None = None
    if seen.second.usable:
        alone = seen.second.usable[0].certificate
    elif seen.second.trouble:
        alone = seen.second.trouble[0][1]
    nothing = NoCertificate(looked_in, tuple(refused), reason, alone)
    return Conclusion(nothing, moment + live.missing)


def _second_for(
    first: CheckedCertificate, seen: Evidence, refused: list[Refusal]
) -> Judged | Problem | None:
    """The best that goes with it, both a person's own or both of his whole domain; or why nobody
    can tell; or None. `refused` gets all others.
    """
    refused += seen.second.refused
    fit = [one for one in seen.second.usable if one.certificate.domain == first.domain]
    misfits = [one for one in seen.second.usable if one.certificate.domain != first.domain]
    refused += [_refused(one.certificate, _OTHER_KIND) for one in misfits]
    if fit:
        best = min(fit, key=_preference)
        others = [
            one.certificate for one in fit if one.certificate.sha256 != best.certificate.sha256
        ]
        refused += [_passed_over(one, best.certificate) for one in others]
        return best
    trouble = [why for domain, why in seen.second.trouble if domain == first.domain]
    # A directory that was asked first and is away may be the one that has it (I3).
    return next(iter(trouble or seen.trouble), None)


def _preference(judged: Judged) -> tuple[float, str]:
    """The newest certificate first (people renew), the smaller SHA-256 where that is equal."""
    checked = judged.certificate
    return -checked.certificate.not_valid_before_utc.timestamp(), checked.sha256


def _held(judged: Judged, why: Problem) -> Refusal:
    return _refused(
        judged.certificate,
        problem(
            "identity.key-held",
            "it waits for a person to accept its key: " + why.template,
            **why.facts,
        ),
    )


def _passed_over(other: CheckedCertificate, chosen: CheckedCertificate) -> Refusal:
    return _refused(
        other,
        problem(
            "identity.passed-over",
            "it is usable too, but {chosen} is newer or comes first",
            chosen=chosen.sha256[:16],
        ),
    )


def _refused(checked: CheckedCertificate, why: Problem) -> Refusal:
    return Refusal(
        sha256=checked.sha256,
        subject=checked.certificate.subject.rfc4514_string()[:300],
        source=checked.source,
        problem=why,
    )


def refusal(candidate: Candidate, cert: ParsedCertificate | None, reason: Problem) -> Refusal:
    """Why a candidate is not used. cert: what could be read of it."""
    return Refusal(
        sha256=cert.sha256 if cert else "",
        subject=cert.subject_text if cert else "",
        source=candidate.source,
        problem=reason,
    )


def fault(error: Exception) -> Problem:
    """An error nobody foresaw: "cannot tell", for this address alone (I3)."""
    return problem(
        "limits.internal",
        "an internal fault kept a certificate from being looked at ({kind})",
        kind=type(error).__name__,
    )


def _main_reason(address: str, looked_in: tuple[str, ...], refused: list[Refusal]) -> Problem:
    """A revoked certificate first: people must hear of it. Then the first refusal, if any."""
    for one in refused:
        if one.problem.code == "revocation.revoked":
            return one.problem
    if refused:
        return refused[0].problem
    return problem(
        "directory.none",
        "no certificate for {address} was found (looked in: {places})",
        address=address,
        places=", ".join(looked_in),
    )
