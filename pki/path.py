"""Certification paths: built and validated at a moment (RFC 5280 §6). Pure.

Why not a library: docs/decisions/0003-path-validation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from itertools import pairwise

from cryptography import x509

from pki.algorithms import Operation, judge_key, judge_signature
from pki.anchors import Anchor
from pki.certificate import ANY_POLICY, ParsedCertificate
from pki.constraints import NameConstraintState
from pki.crl import Crl
from pki.errors import CannotJudge, CertificateRefused, PkiError, Problem, problem
from pki.models import RevocationEvidence
from pki.names import NameKey
from pki.ocsp_judge import OcspStatement, check_ocsp, has_nocheck
from pki.ocsp_known import NO_RESPONSES, KnownResponses
from pki.policies import PolicyInputs, PolicyState
from pki.revocation import CrlJudge, check_revocation
from pki.revocation_sources import Spoken, ask_in_order
from pki.usage import extended_usage_problem

# Limits of the search: a hostile set of cross-certificates must cost milliseconds, not hours.
MAX_LENGTH = 12
MAX_SIGNATURES = 200
MAX_PATHS = 16
MAX_CRL_SIGNERS = 3  # a CRL's signer, whose CRL has another signer, whose CRL …
MAX_RESPONDERS = 3  # an OCSP responder, whose certificate another responder speaks of …


class Revocation(Enum):
    """How much must be known about revocation."""

    REQUIRE = "require"  # every certificate below the anchor needs a CRL that speaks for it
    IF_AVAILABLE = "if-available"  # a known revocation counts, a missing CRL does not
    OFF = "off"


class Material:
    """Anchors, intermediates and CRLs, parsed and indexed once, used for many paths.

    Raises CertificateRefused if an anchor or intermediate cannot be read.
    """

    def __init__(
        self,
        anchors: Sequence[Anchor],
        intermediates: Iterable[bytes | ParsedCertificate] = (),
        crls: Iterable[Crl] = (),
        ocsp: KnownResponses = NO_RESPONSES,
    ) -> None:
        self.ocsp = ocsp
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
        more = Material.__new__(Material)
        more.anchors, more.crls, more.ocsp = self.anchors, self.crls, self.ocsp
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
        other = Material.__new__(Material)
        other.anchors = tuple((each, ParsedCertificate(each.certificate)) for each in anchors)
        other.intermediates, other.crls, other.ocsp = self.intermediates, self.crls, self.ocsp
        return other

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
) -> ValidPath:
    """The first valid path from an anchor to `cert`.

    accept: says why an anchor may not vouch for what is being checked, or None.
    allow_legacy: for old evidence; keys and digests that the table calls legacy pass.
    for_mail: a CA below the anchor whose extKeyUsage says what its certificates are for vouches for
    mail only if that is in it. RFC 5280 §4.2.1.12 leaves this open, CAs rely on it and OpenSSL and
    NSS hold them to it: else a CA that was cut down to web servers could make a minister's mail.
    Raises CertificateRefused (the first path's first failing step), CannotJudge (a path would
    hold, but a CRL is missing or stale).
    """
    search = _Search(
        material,
        moment,
        revocation,
        policies,
        accept,
        _Budget(),
        allow_legacy=allow_legacy,
        for_mail=for_mail,
    )
    return search.run(cert)


@dataclass(slots=True)
class _Budget:
    """What a search and those for the signers of its CRLs have spent and found together.

    signers: whether a signer of CRLs has a path to an anchor, by the SHA-256 of both.
    """

    signatures: int = 0
    signers: dict[tuple[str, str], bool] = field(default_factory=dict)


class _Search:
    """One search for one certificate. `_pending`: signers of CRLs and OCSP responses who are being
    checked themselves."""

    def __init__(
        self,
        material: Material,
        moment: datetime,
        revocation: Revocation,
        policies: PolicyInputs,
        accept: Callable[[Anchor], Problem | None],
        budget: _Budget,
        pending: frozenset[str] = frozenset(),
        *,
        allow_legacy: bool = False,
        for_mail: bool = False,
    ) -> None:
        self._material = material
        self._moment = moment
        self._revocation = revocation
        self._policies = policies
        self._accept = accept
        self._budget = budget
        self._pending = pending
        self._legacy = allow_legacy
        self._for_mail = for_mail
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
            self._broken = self._broken or _because(cert, weak).problem
            return False
        if cert.signed_by(issuer):
            return True
        if self._legacy and issuer.dsa_value is not None:
            return True  # for now: the key is whole when the path above it is known
        self._broken = self._broken or _bad_signature(cert, issuer)
        return False

    # Validation (RFC 5280 §6.1): the step labels are those of the RFC

    def _validate(self, anchor: Anchor, chain: list[ParsedCertificate]) -> ValidPath:
        chain = _working_keys(chain)
        root, *certs = chain
        unfit = self._accept(anchor)
        if unfit is not None:
            raise CertificateRefused(unfit)
        # An anchor has no signature to check, but people expect its dates to count.
        _check_dates(root, self._moment)
        _check_trusted(anchor, self._moment)
        if not certs:
            until = _earlier(root.not_after, anchor.trusted_until)
            return ValidPath(anchor, (root,), (), frozenset(), until)

        if not _may_issue(root):
            raise _refused(
                "path.not-a-ca", "it may not issue certificates (basicConstraints)", root
            )

        # §6.1.2. An anchor's own constraints count from the start (RFC 5937 §3.2).
        # The signer of a CRL bears no policies of people, so none are demanded of him.
        demanded = self._policies if self._pending else _demanded(self._policies, anchor)
        policies = PolicyState(demanded, len(certs))
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
                unfit = extended_usage_problem(cert) if self._for_mail else None
                if unfit is not None:
                    raise CertificateRefused(unfit)
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
        spoken = self._check_revocation(anchor, chain)
        ends = [cert.not_after for cert in chain]
        ends += [said.until for _, said in spoken]
        evidence = tuple(one for cert, said in spoken for one in said.evidence(cert))
        until = _earlier(min(ends), anchor.trusted_until)
        return ValidPath(anchor, tuple(chain), evidence, valid_policies, until)

    def _check_revocation(
        self, anchor: Anchor, chain: list[ParsedCertificate]
    ) -> list[tuple[ParsedCertificate, Spoken]]:
        if self._revocation is Revocation.OFF:
            return []
        spoken: list[tuple[ParsedCertificate, Spoken]] = []
        for issuer, cert in pairwise(chain):
            try:
                spoken.append((cert, self._not_revoked(cert, issuer, anchor)))
            except CannotJudge:
                if self._revocation is Revocation.REQUIRE:
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
        self._pending |= {responder.sha256}
        try:
            self._not_revoked(responder, issuer, anchor)
        except CannotJudge:
            return self._revocation is not Revocation.REQUIRE
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
            search = _Search(
                self._material,
                self._moment,
                self._revocation,
                _ANY_POLICY,
                lambda other: None if other.sha256 == anchor.sha256 else _other_anchor(other),
                self._budget,
                self._pending | {signer.sha256},
                allow_legacy=self._legacy,
            )
            try:
                search.run(signer)
                known = True
            except PkiError:
                known = False
            # What was found while other signers were pending depends on them.
            if known or not self._pending:
                self._budget.signers[signer.sha256, anchor.sha256] = known
        return known


def _other_anchor(anchor: Anchor) -> Problem:
    return problem(
        "path.other-anchor",
        "the trust anchor {anchor} vouches for another certificate of this path",
        anchor=anchor.name,
    )


def _working_keys(chain: list[ParsedCertificate]) -> list[ParsedCertificate]:
    """§6.1.4 (d)–(f): DSA keys without parameters get those of their issuers; the signatures that
    could not be checked while building are checked now.
    """
    working = chain[:1]
    for cert in chain[1:]:
        issuer = working[-1]
        if issuer.dsa_value is not None and not cert.signed_by(issuer):
            raise CertificateRefused(_bad_signature(cert, issuer))
        working.append(cert if cert.dsa_value is None else cert.completed_by(issuer))
    return working


def _bad_signature(cert: ParsedCertificate, issuer: ParsedCertificate) -> Problem:
    return problem(
        "path.signature",
        "the signature on the certificate of {subject} was not made by the key of {issuer}",
        subject=cert.subject_text,
        issuer=issuer.subject_text,
    )


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


def _may_issue(anchor: ParsedCertificate) -> bool:
    """Whether an anchor may have issued anything: a person's certificate may be one, for itself.

    People pin a partner's self-signed certificate; that person's key must not become a CA for
    everybody. Version 1 has no extension to say it, so there the anchor is one by being it.
    """
    if anchor.key_usage is not None and not anchor.key_usage.key_cert_sign:
        return False
    if anchor.basic is not None:
        return anchor.basic.ca
    return anchor.key_usage is not None or anchor.x509.version is x509.Version.v1


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


def _check_trusted(anchor: Anchor, moment: datetime) -> None:
    """The trust in an anchor may begin and end on a day of its own."""
    if anchor.trusted_from is not None and moment < anchor.trusted_from:
        raise CertificateRefused(
            problem(
                "path.anchor-not-yet",
                "the trust anchor {anchor} is trusted from {day}",
                anchor=anchor.name,
                day=anchor.trusted_from.strftime("%Y-%m-%d %H:%M UTC"),
            )
        )
    if anchor.trusted_until is not None and moment > anchor.trusted_until:
        raise CertificateRefused(
            problem(
                "path.anchor-ended",
                "the trust anchor {anchor} was trusted until {day}",
                anchor=anchor.name,
                day=anchor.trusted_until.strftime("%Y-%m-%d %H:%M UTC"),
            )
        )


def _demanded(inputs: PolicyInputs, anchor: Anchor) -> PolicyInputs:
    """§6.1.1 (c), (e): what the caller demands, narrowed to the policies the anchor is trusted for.

    Raises CertificateRefused where the two have none in common.
    """
    if not anchor.policies:
        return inputs
    limited = bool(inputs.acceptable) and ANY_POLICY not in inputs.acceptable
    common = anchor.policies & inputs.acceptable if limited else anchor.policies
    if not common:
        raise CertificateRefused(
            problem(
                "path.anchor-policy",
                "the trust anchor {anchor} is not trusted for the policies that are demanded",
                anchor=anchor.name,
            )
        )
    return replace(inputs, acceptable=common, require_explicit=True)


def _earlier(end: datetime, limit: datetime | None) -> datetime:
    return end if limit is None else min(end, limit)


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
