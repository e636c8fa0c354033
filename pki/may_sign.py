"""May a certificate of ours sign at a moment? Path and revocation, remembered.

Readers will ask the same of each signature. "Cannot tell" is never "yes": whoever keeps our CRLs
from us must not have a stolen key sign on.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, Problem
from pki.models import Purpose
from pki.person_keys import check_fit
from pki.trust import Trust
from pki.verdict import judge

# A verdict is made anew when a CRL is new, or a date on the path is reached; and after this time
# in any case, for the table of algorithms has dates too. Bad news is looked at again sooner.
_GOOD_FOR = timedelta(hours=1)
_BAD_FOR = timedelta(minutes=1)
_REMEMBERED = 50_000  # less than 1 kB each


@dataclass(frozen=True, slots=True)
class MaySign:
    """A certificate that may sign. anchor: name of the trust anchor. moment: of the check.

    crls: SHA-256 of the CRLs that say that nothing on its path is revoked.
    """

    anchor: str
    moment: datetime
    crls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unfit:
    """A certificate that must not sign now. certain: False where nobody can tell (no CRL)."""

    problem: Problem
    certain: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """It holds from `start` on and before `until`, as long as the CRLs are the same.

    crls: version of the CRLs (`pki.trust.Trust.crls`).
    """

    answer: MaySign | Unfit
    start: datetime
    until: datetime
    crls: int

    def holds(self, moment: datetime, trust: Trust) -> bool:
        """Whether it need not be made anew."""
        return self.crls == trust.crls and self.start <= moment < self.until


def judge_signer(
    cert: ParsedCertificate,
    chain: tuple[bytes, ...],
    *,
    address: str,
    moment: datetime,
    trust: Trust,
) -> Verdict:
    """Address, usage, dates, key, path, revocation. chain: intermediates that came along; they
    only help to build a path.
    """
    try:
        check_fit(cert, address, moment)
        found = judge(
            cert,
            address=address,
            purpose=Purpose.SIGN,
            moment=moment,
            material=trust.material.with_chain(chain),
            source="store",
        )
    except CertificateRefused as error:
        return unfit(error.problem, moment, trust, certain=True)
    except CannotJudge as error:
        return unfit(error.problem, moment, trust, certain=False)
    checked = found.certificate
    crls = tuple(crl.sha256 for crl in checked.revocation)
    return good(checked.anchor, crls, found.until, moment, trust)


def good(
    anchor: str, crls: tuple[str, ...], until: datetime, moment: datetime, trust: Trust
) -> Verdict:
    """It may sign. until: when a date on its path is reached."""
    answer = MaySign(anchor, moment, crls)
    return Verdict(answer, moment, min(until, moment + _GOOD_FOR), trust.crls)


def unfit(problem: Problem, moment: datetime, trust: Trust, *, certain: bool) -> Verdict:
    """It must not sign now."""
    return Verdict(Unfit(problem, certain), moment, moment + _BAD_FOR, trust.crls)


class SigningVerdicts:
    """Verdicts by name: canonical address and fingerprint. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], Verdict] = {}

    def judge(
        self,
        name: tuple[str, str],
        cert: ParsedCertificate,
        chain: tuple[bytes, ...],
        *,
        moment: datetime,
        trust: Trust,
    ) -> MaySign | Unfit:
        """The verdict on a person's certificate, made now."""
        verdict = judge_signer(cert, chain, address=name[0], moment=moment, trust=trust)
        with self._lock:
            if len(self._known) >= _REMEMBERED:
                self._known = {}
            self._known[name] = verdict
        return verdict.answer

    def remembered(
        self, name: tuple[str, str], moment: datetime, trust: Trust
    ) -> MaySign | Unfit | None:
        """What was found before, if it still holds."""
        known = self._known.get(name)
        return known.answer if known is not None and known.holds(moment, trust) else None
