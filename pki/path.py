"""Certification paths: built and validated at a moment (RFC 5280 §6). Pure.

Why not a library: docs/decisions/0003-path-validation.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import pairwise
from types import MappingProxyType

from pki.algorithms import Operation, judge_key, judge_signature
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.constraints import NameConstraintState
from pki.crl import Crl
from pki.errors import CannotJudge, CertificateRefused, PkiError, Problem, problem
from pki.models import RevocationEvidence
from pki.names import NameKey
from pki.policies import PolicyInputs, PolicyState
from pki.revocation import check_revocation

# Limits of the search: a hostile set of cross-certificates must cost milliseconds, not hours.
MAX_LENGTH = 12
MAX_SIGNATURES = 200
MAX_PATHS = 16


class Revocation(Enum):
    """How much must be known about revocation."""

    REQUIRE = "require"  # every certificate below the anchor needs a CRL that speaks for it
    IF_AVAILABLE = "if-available"  # a known revocation counts, a missing CRL does not
    OFF = "off"


class Material:
    """Anchors, intermediates and CRLs, parsed and indexed once, used for many paths.

    refused_keys: SHA-256 of SubjectPublicKeyInfos in no path (`pki.refused_keys`), with the reason.
    Raises CertificateRefused if an anchor or intermediate cannot be read.
    """

    def __init__(
        self,
        anchors: Sequence[Anchor],
        intermediates: Iterable[bytes | ParsedCertificate] = (),
        crls: Iterable[Crl] = (),
        refused_keys: Mapping[str, Problem] = MappingProxyType({}),
    ) -> None:
        self.refused_keys = refused_keys
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

    def with_chain(self, chain: Sequence[bytes | ParsedCertificate]) -> Material:
        """With intermediates that came along with a certificate, behind the known ones.

        They only help to build a path; each must hold on its own (RFC 5280 §6.1), and none is an
        anchor. What cannot be read, or is no CA's, is left out.
        """
        if not chain:
            return self
        more = copy(self)
        more.anchors, more.crls = self.anchors, self.crls
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

    def refusing(self, keys: Mapping[str, Problem]) -> Material:
        """The same, with other refused keys."""
        other = copy(self)
        other.refused_keys = keys
        return other

    def refusal_of(self, cert: ParsedCertificate) -> CertificateRefused | None:
        """Why its key is never used, or None."""
        if not self.refused_keys:
            return None
        why = self.refused_keys.get(hashlib.sha256(cert.spki).hexdigest())
        return None if why is None else _because(cert, why)

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
) -> ValidPath:
    """The first valid path from an anchor to `cert`.

    accept: says why an anchor may not vouch for what is being checked, or None.
    allow_legacy: for old evidence; keys and digests that the table calls legacy pass.
    Raises CertificateRefused (the first path's first failing step), CannotJudge (a path would
    hold, but a CRL is missing or stale).
    """
    search = _Search(material, moment, revocation, policies, accept, allow_legacy=allow_legacy)
    return search.run(cert)


class _Search:
    """One search for one certificate. `_pending`: CRL signers whose own path is being checked."""

    def __init__(
        self,
        material: Material,
        moment: datetime,
        revocation: Revocation,
        policies: PolicyInputs,
        accept: Callable[[Anchor], Problem | None],
        pending: frozenset[str] = frozenset(),
        *,
        allow_legacy: bool = False,
    ) -> None:
        self._material = material
        self._moment = moment
        self._revocation = revocation
        self._policies = policies
        self._accept = accept
        self._pending = pending
        self._legacy = allow_legacy
        self._signatures = 0
        self._broken: Problem | None = None  # a signature that does not hold
        self._unknown: Problem | None = None  # an issuer that is not known

    def run(self, cert: ParsedCertificate) -> ValidPath:
        refused: CertificateRefused | None = None
        cannot_judge: CannotJudge | None = None
        for count, (anchor, chain) in enumerate(self._paths(cert)):
            if count == MAX_PATHS:
                break
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
        raise CertificateRefused(self._broken or self._unknown or _no_issuer(cert))

    # Building (RFC 4158)

    def _paths(self, cert: ParsedCertificate) -> Iterator[tuple[Anchor, list[ParsedCertificate]]]:
        """Chains from an anchor to `cert` in which every signature holds, anchor first."""
        for anchor, root in self._material.anchors:
            if root.sha256 == cert.sha256:
                yield anchor, [root]
                return
        yield from self._extend([cert])

    def _extend(
        self, below: list[ParsedCertificate]
    ) -> Iterator[tuple[Anchor, list[ParsedCertificate]]]:
        cert = below[0]
        named = False
        for anchor, root in self._material.anchors:
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
        if not named:
            self._unknown = self._unknown or _no_issuer(cert)

    def _issuers(self, cert: ParsedCertificate) -> list[ParsedCertificate]:
        """Certificates with the issuer's name; those whose key identifier fits first."""
        wanted = cert.authority_key_id
        return sorted(
            self._material.intermediates.get(cert.issuer, ()),
            key=lambda issuer: wanted is not None and issuer.subject_key_id != wanted,
        )

    def _signature_holds(self, cert: ParsedCertificate, issuer: ParsedCertificate) -> bool:
        self._signatures += 1
        if self._signatures > MAX_SIGNATURES:
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
            self._broken = self._broken or _because(cert, weak).problem
            return False
        if cert.signed_by(issuer):
            return True
        self._broken = self._broken or problem(
            "path.signature",
            "the signature on the certificate of {subject} was not made by the key of {issuer}",
            subject=cert.subject_text,
            issuer=issuer.subject_text,
        )
        return False

    # Validation (RFC 5280 §6.1): the step labels are those of the RFC

    def _validate(self, anchor: Anchor, chain: list[ParsedCertificate]) -> ValidPath:
        root, *certs = chain
        for cert in chain:
            if (refusal := self._material.refusal_of(cert)) is not None:
                raise refusal
        unfit = self._accept(anchor)
        if unfit is not None:
            raise CertificateRefused(unfit)
        # An anchor has no signature to check, but people expect its dates to count.
        _check_dates(root, self._moment)
        if not certs:
            return ValidPath(anchor, (root,), (), frozenset(), root.not_after)

        # §6.1.2. An anchor's own constraints count from the start (RFC 5937 §3.2).
        policies = PolicyState(self._policies, len(certs))
        names = NameConstraintState()
        names.add(root)
        max_path_length = len(certs)
        if root.basic is not None and root.basic.path_length is not None:
            max_path_length = min(max_path_length, root.basic.path_length)

        issuer = root
        for cert in certs:
            last = cert is certs[-1]
            # §6.1.3 (a)(1): the signature was checked while building; may that key make it?
            weak = judge_key(
                Operation.VERIFY_KEY, issuer.public_key, self._moment, allow_legacy=self._legacy
            )
            if weak is not None:
                raise _because(issuer, weak)
            _check_dates(cert, self._moment)  # (a)(2); (a)(3) below; (a)(4) while building
            if last or not cert.self_issued:  # (b), (c)
                outside = names.violation(cert)
                if outside:
                    raise _refused(
                        "path.name-constraints",
                        "its name {name} is outside of what its issuers may certify",
                        cert,
                        name=outside,
                    )
            if not policies.process(cert, last=last):  # (d)–(f)
                raise _refused("path.policy", "no certificate policy is valid for it", cert)
            if not last:
                max_path_length = _prepare(cert, policies, names, max_path_length)
            if cert.unknown_critical:  # §6.1.4 (o), §6.1.5 (f)
                raise _refused(
                    "path.critical-extension",
                    "it has the critical extension {oid}, which is not known here",
                    cert,
                    oid=cert.unknown_critical[0],
                )
            issuer = cert

        valid_policies = policies.finish(certs[-1])  # §6.1.5
        if valid_policies is None:
            raise _refused("path.policy", "no certificate policy is valid for it", certs[-1])
        # §6.1.3 (a)(3) comes last: what is wrong for good shall not look like a missing CRL.
        crls = self._check_revocation(anchor, chain)
        ends = [cert.not_after for cert in chain]
        ends += [crl.next_update + anchor.grace for _, crl in crls]
        evidence = tuple(crl.evidence(cert) for cert, crl in crls)
        return ValidPath(anchor, tuple(chain), evidence, valid_policies, min(ends))

    def _check_revocation(
        self, anchor: Anchor, chain: list[ParsedCertificate]
    ) -> list[tuple[ParsedCertificate, Crl]]:
        if self._revocation is Revocation.OFF:
            return []
        spoken: list[tuple[ParsedCertificate, Crl]] = []
        for issuer, cert in pairwise(chain):
            try:
                crl = check_revocation(
                    cert,
                    issuer,
                    moment=self._moment,
                    grace=anchor.grace,
                    crls=self._material.crls.get(cert.issuer, ()),
                    signers=self._material.signers_named(cert.issuer),
                    trusted=lambda signer: self._trusted_crl_signer(signer, anchor),
                    allow_legacy=self._legacy,
                )
            except CannotJudge:
                if self._revocation is Revocation.REQUIRE:
                    raise
            else:
                spoken.append((cert, crl))
        return spoken

    def _trusted_crl_signer(self, signer: ParsedCertificate, anchor: Anchor) -> bool:
        """§6.3.3 (f): the signer of a CRL needs a path of its own to the same anchor."""
        if signer.sha256 in self._pending:
            return False  # its CRL would have to speak for itself
        search = _Search(
            self._material,
            self._moment,
            self._revocation,
            _ANY_POLICY,
            _accept_all,
            self._pending | {signer.sha256},
            allow_legacy=self._legacy,
        )
        try:
            return search.run(signer).anchor.sha256 == anchor.sha256
        except PkiError:
            return False


def _prepare(
    cert: ParsedCertificate,
    policies: PolicyState,
    names: NameConstraintState,
    max_path_length: int,
) -> int:
    """§6.1.4 for a certificate that is not the last; returns max_path_length."""
    if not policies.prepare(cert):  # (a), (b), (h)–(j)
        raise _refused("path.policy-mapping", "it maps the policy anyPolicy", cert)
    names.add(cert)  # (g)
    if not cert.is_ca:  # (k)
        raise _refused("path.not-a-ca", "it may not issue certificates (basicConstraints)", cert)
    if not cert.self_issued:  # (l)
        if max_path_length <= 0:
            raise _refused("path.length", "the path below its issuer is too long", cert)
        max_path_length -= 1
    if cert.basic is not None and cert.basic.path_length is not None:  # (m)
        max_path_length = min(max_path_length, cert.basic.path_length)
    if cert.key_usage is not None and not cert.key_usage.key_cert_sign:  # (n)
        raise _refused("path.key-usage", "its key may not sign certificates (keyUsage)", cert)
    return max_path_length


def _check_dates(cert: ParsedCertificate, moment: datetime) -> None:
    if moment < cert.not_before:
        raise _refused(
            "path.not-yet-valid",
            "it is valid from {day}",
            cert,
            day=cert.not_before.strftime("%Y-%m-%d %H:%M UTC"),
        )
    if moment > cert.not_after:
        raise _refused(
            "path.expired",
            "it was valid until {day}",
            cert,
            day=cert.not_after.strftime("%Y-%m-%d %H:%M UTC"),
        )


def _refused(code: str, why: str, cert: ParsedCertificate, **facts: str) -> CertificateRefused:
    template = "the certificate of {subject} cannot be used: " + why
    return CertificateRefused(problem(code, template, subject=cert.subject_text, **facts))


def _because(cert: ParsedCertificate, why: Problem) -> CertificateRefused:
    return _refused(why.code, why.template, cert, **why.facts)


def _no_issuer(cert: ParsedCertificate) -> Problem:
    return problem(
        "path.no-anchor",
        "no trusted path: {issuer}, which issued the certificate of {subject}, is not known",
        issuer=cert.issuer_text,
        subject=cert.subject_text,
    )
