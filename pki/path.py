"""Certification paths: built and validated at a moment (RFC 5280 §6). Pure.

Building is in pki.path_building, the steps of §6.1 in pki.path_steps, revocation along a path in
pki.path_revocation.

Why not a library: docs/decisions/0003-path-validation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import islice

from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.errors import CannotJudge, CertificateRefused, PkiError, Problem, problem
from pki.models import RevocationEvidence
from pki.names import NameKey
from pki.ocsp_known import NO_RESPONSES, KnownResponses
from pki.path_building import MAX_LENGTH, Budget, Builder
from pki.path_revocation import JudgedIssuers, Witnesses
from pki.path_steps import PathInputs, because, walk
from pki.policies import PolicyInputs

MAX_PATHS = 16  # chains that are validated; the signatures in them are counted while building


class Revocation(Enum):
    """How much must be known about revocation."""

    REQUIRE = "require"  # every certificate below the anchor needs a CRL that speaks for it
    IF_AVAILABLE = "if-available"  # a known revocation counts, a missing CRL does not
    OFF = "off"


class Material:
    """Anchors, intermediates and CRLs, parsed and indexed once, used for many paths.

    any_usage: a rule of the house, see `pki.path_steps.PathInputs`.
    Raises CertificateRefused if an anchor or intermediate cannot be read.
    """

    def __init__(
        self,
        anchors: Sequence[Anchor],
        intermediates: Iterable[bytes | ParsedCertificate] = (),
        crls: Iterable[Crl] = (),
        ocsp: KnownResponses = NO_RESPONSES,
        ended: Sequence[Anchor] = (),
        any_usage: bool = True,
    ) -> None:
        self.ocsp = ocsp
        self.any_usage = any_usage
        # Anchors in which people ended the trust: they vouch for nothing, and say why.
        self.ended = tuple((anchor, ParsedCertificate(anchor.certificate)) for anchor in ended)
        self.issuers = JudgedIssuers()
        # SHA-256 of SubjectPublicKeyInfos that stand in no path, with the reason
        # (`pki.refused_keys`).
        self.refused_keys: Mapping[str, Problem] = {}
        self.anchors = tuple((anchor, ParsedCertificate(anchor.certificate)) for anchor in anchors)
        self.intermediates: dict[NameKey, list[ParsedCertificate]] = {}
        known = {cert.sha256 for _, cert in self.anchors}
        for item in intermediates:
            cert = item if isinstance(item, ParsedCertificate) else ParsedCertificate(item)
            if cert.sha256 not in known:
                known.add(cert.sha256)
                self.intermediates.setdefault(cert.subject, []).append(cert)
        self.crls: dict[NameKey, list[Crl]] = {}
        for crl in crls:
            self.crls.setdefault(crl.issuer, []).append(crl)

    def with_crls(self, crls: Iterable[Crl]) -> Material:
        """With these CRLs in place of its own."""
        other = self._other()
        other.crls = {}
        for crl in crls:
            other.crls.setdefault(crl.issuer, []).append(crl)
        return other

    def with_chain(self, chain: Sequence[bytes | ParsedCertificate]) -> Material:
        """With intermediates that came along with a certificate, behind the known ones.

        They only help to build a path; each must hold on its own (RFC 5280 §6.1), and none is an
        anchor. What cannot be read, or is no CA's, is left out.
        """
        if not chain:
            return self
        more = self._other()
        more.intermediates = {name: list(certs) for name, certs in self.intermediates.items()}
        known = {cert.sha256 for _, cert in self.anchors}
        known |= {cert.sha256 for certs in self.intermediates.values() for cert in certs}
        for item in chain[:MAX_LENGTH]:
            try:
                cert = item if isinstance(item, ParsedCertificate) else ParsedCertificate(item)
            except CertificateRefused:
                continue
            if cert.is_ca and cert.sha256 not in known:
                known.add(cert.sha256)
                more.intermediates.setdefault(cert.subject, []).append(cert)
        return more

    def with_anchors(self, anchors: Sequence[Anchor]) -> Material:
        """With these anchors in place of its own: what would be, if they were trusted.

        Raises CertificateRefused if one cannot be read.
        """
        other = self._other()
        other.anchors = tuple((each, ParsedCertificate(each.certificate)) for each in anchors)
        return other

    def refusing(self, keys: Mapping[str, Problem]) -> Material:
        """The same, with other refused keys."""
        other = self._other()
        other.refused_keys = keys
        return other

    def _other(self) -> Material:
        """To be changed: what was found out with this material does not hold for it."""
        other = copy(self)
        other.issuers = JudgedIssuers()
        return other

    def refusal_of(self, cert: ParsedCertificate) -> CertificateRefused | None:
        """Why its key is never used, or None."""
        if not self.refused_keys:
            return None
        why = self.refused_keys.get(cert.key_sha256)
        return None if why is None else because(cert, why)

    def issued_by(self, issuer: ParsedCertificate) -> list[ParsedCertificate]:
        """Certificates that name this issuer: an OCSP responder's may be among them."""
        return [
            cert
            for certs in self.intermediates.values()
            for cert in certs
            if cert.issuer == issuer.subject
        ]

    def signers_named(self, name: NameKey) -> list[ParsedCertificate]:
        """All certificates with this subject, anchors too."""
        return [
            *(cert for _, cert in self.anchors if cert.subject == name),
            *self.intermediates.get(name, ()),
        ]


@dataclass(frozen=True, slots=True)
class ValidPath:
    """A path that holds. certificates: anchor first, the certificate itself last.

    until: the moment from which the verdict must be made anew.
    policies: the user-constrained policy set (§6.1.5 (g)); {anyPolicy} or empty = not constrained.
    """

    anchor: Anchor
    certificates: tuple[ParsedCertificate, ...]
    revocation: tuple[RevocationEvidence, ...]
    policies: frozenset[str]
    until: datetime


def _accept_all(_anchor: Anchor) -> None:
    return None


_ANY_POLICY = PolicyInputs()


def find_path(
    cert: ParsedCertificate,
    material: Material,
    *,
    moment: datetime,
    revocation: Revocation = Revocation.REQUIRE,
    policies: PolicyInputs = _ANY_POLICY,
    accept: Callable[[Anchor], Problem | None] = _accept_all,
    allow_legacy: bool = False,
    for_mail: bool = False,
    budget: Budget | None = None,
) -> ValidPath:
    """The first valid path from an anchor to `cert`.

    accept: says why an anchor may not vouch for what is being checked, or None.
    allow_legacy: for old evidence; keys and digests that the table calls legacy pass.
    for_mail: a CA below the anchor whose extKeyUsage says what its certificates are for vouches for
    mail only if that is in it. RFC 5280 §4.2.1.12 leaves this open, CAs rely on it and OpenSSL and
    NSS hold them to it: else a CA that was cut down to web servers could make a minister's mail.
    budget: counts what the search costs, for a caller who has many certificates to judge.
    Raises CertificateRefused (the first path's first failing step), CannotJudge (a path would
    hold, but a CRL is missing or stale).
    """
    inputs = PathInputs(
        moment, policies, accept, allow_legacy, for_mail, any_usage=material.any_usage
    )
    return _Search(material, revocation, inputs, budget or Budget()).run(cert)


class _Search:
    """One search for one certificate."""

    def __init__(
        self,
        material: Material,
        revocation: Revocation,
        inputs: PathInputs,
        budget: Budget,
        pending: frozenset[str] = frozenset(),
    ) -> None:
        self._material = material
        self._revocation = revocation
        self._inputs = inputs
        self._budget = budget
        self._builder = Builder(
            material.anchors,
            material.intermediates,
            moment=inputs.moment,
            budget=budget,
            allow_legacy=inputs.allow_legacy,
            ended=material.ended,
        )
        self._witnesses = Witnesses(
            material,
            moment=inputs.moment,
            allow_legacy=inputs.allow_legacy,
            required=revocation is Revocation.REQUIRE,
            budget=budget,
            pending=pending,
            has_path=self._signer_has_path,
        )

    def run(self, cert: ParsedCertificate) -> ValidPath:
        """Raises as `find_path`."""
        refused: CertificateRefused | None = None
        cannot_judge: CannotJudge | None = None
        for anchor, chain in islice(self._builder.paths(cert), MAX_PATHS):
            try:
                return self._validate(anchor, chain)
            except CannotJudge as error:
                cannot_judge = cannot_judge or error
            except CertificateRefused as error:
                refused = refused or error
        if cannot_judge is not None:
            raise cannot_judge
        if refused is not None:
            raise refused
        raise CertificateRefused(self._builder.why_none(cert))

    def _validate(self, anchor: Anchor, chain: Sequence[ParsedCertificate]) -> ValidPath:
        for cert in chain:
            if (refusal := self._material.refusal_of(cert)) is not None:
                raise refusal
        walked = walk(anchor, chain, self._inputs)
        # §6.1.3 (a)(3) comes last: what is wrong for good shall not look like a missing CRL.
        off = self._revocation is Revocation.OFF
        spoken = [] if off else self._witnesses.ask(anchor, walked.certificates)
        ends = [cert.not_after for cert in walked.certificates]
        ends += [said.until for _, said in spoken]
        if anchor.trusted_until is not None:
            ends.append(anchor.trusted_until)
        evidence = tuple(one for cert, said in spoken for one in said.evidence(cert))
        return ValidPath(anchor, walked.certificates, evidence, walked.policies, min(ends))

    def _signer_has_path(
        self, signer: ParsedCertificate, anchor: Anchor, pending: frozenset[str]
    ) -> bool:
        inputs = PathInputs(
            self._inputs.moment,
            _ANY_POLICY,
            lambda other: None if other.sha256 == anchor.sha256 else _other_anchor(other),
            self._inputs.allow_legacy,
            demand_policies=False,
        )
        try:
            _Search(self._material, self._revocation, inputs, self._budget, pending).run(signer)
        except PkiError:
            return False
        return True


def _other_anchor(anchor: Anchor) -> Problem:
    return problem(
        "path.other-anchor",
        "the trust anchor {anchor} vouches for another certificate of this path",
        anchor=anchor.name,
    )
