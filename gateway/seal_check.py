"""May the organisation's seal sign now? Its path and revocation, remembered.

A seal whose issuer none of our anchors leads to signs all the same: `[[seals]]` names the key
itself, and what counts is whom its readers trust; `sceau check` says so. One that a known CA has
revoked, or whose path is broken, signs nothing; nor does one of which nobody can tell.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused
from pki.may_sign import MaySign, Unfit, Verdict, good, unfit
from pki.models import Purpose, Signer
from pki.path import find_path
from pki.trust import Trust
from pki.usage import anchor_problem

# Nobody here vouches for it: the issuer is not known, or not trusted any more, or no anchor of its
# is for signatures.
NOT_OURS = frozenset(
    {"path.no-anchor", "path.anchor-suspended", "path.anchor-purpose", "path.anchor-domain"}
)


def blocks(answer: Unfit) -> bool:
    """Whether a seal of which this is said signs nothing."""
    return not answer.certain or answer.problem.code not in NOT_OURS


class SealCheck:
    """Says whether a seal may sign for a domain. Thread-safe: verdicts are replaced whole."""

    def __init__(self, trust: Callable[[], Trust]) -> None:
        self._trust = trust
        self._known: dict[tuple[bytes, str], Verdict] = {}

    def __call__(self, seal: Signer, domain: str, moment: datetime) -> MaySign | Unfit:
        """A seal of no CA of ours gives Unfit with a code of `NOT_OURS`."""
        trust = self._trust()
        name = (seal.certificate, domain)
        known = self._known.get(name)
        if known is None or not known.holds(moment, trust):
            known = self._known[name] = _judge(seal, domain, moment, trust)
        return known.answer


def _judge(seal: Signer, domain: str, moment: datetime, trust: Trust) -> Verdict:
    # RFC 3183 §3.1: the name of a domain's signing authority, whatever the certificate has.
    address = f"domain-signing-authority@{domain}"
    try:
        path = find_path(
            ParsedCertificate(seal.certificate),
            trust.material.with_chain(seal.chain),
            moment=moment,
            accept=lambda anchor: anchor_problem(anchor, address=address, purpose=Purpose.SIGN),
            for_mail=True,
        )
    except CertificateRefused as error:
        return unfit(error.problem, moment, trust, certain=True)
    except CannotJudge as error:
        return unfit(error.problem, moment, trust, certain=False)
    crls = tuple(crl.sha256 for crl in path.revocation)
    return good(path.anchor.name, crls, path.until, moment, trust)
