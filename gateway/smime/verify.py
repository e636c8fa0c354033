"""One SignedData over given octets: who signed them, and what that is worth at a moment. Pure.

RFC 5652 §5.4 and §5.6, RFC 8550, RFC 8551 §2. The plan, for each signer:

1. the digest and the signature algorithm are known, agree, and the dated table allows them;
2. signed attributes bind type, digest and algorithms of the content, and nothing is ambiguous;
3. a certificate is found that the SignerInfo means;
4. its key made the signature;
5. the signer named this certificate and no other;
6. it may sign mail (key usage, extended key usage, key), and
7. a path to a trust anchor holds at the moment, which never is the signingTime;
8. it is bound to the one From address.

All that is wrong is reported, not only the first; the worst counts. No signer is never valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from gateway.smime.attributes import attribute_problems, signing_time
from gateway.smime.cms import Algorithm
from gateway.smime.digests import Digest, digest_of
from gateway.smime.identity import Author, Binding, bind
from gateway.smime.schemes import Scheme, scheme_of
from gateway.smime.signature import holds, key_problem
from gateway.smime.signed import SignedData, SignerInfo, parses_as_attributes
from gateway.smime.signer_certificate import binding_problem, identifier_text, meant
from gateway.smime.signer_paths import SignerPaths
from gateway.smime.verdicts import Findings, Match, Role, SignerReport, Status
from pki import ber
from pki.algorithms import Operation, describe_key, judge, judge_signature
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, Problem, StructureRefused, problem
from pki.models import Purpose
from pki.path import Material, Revocation, ValidPath
from pki.usage import purpose_problem

# Certificates that are tried where an identifier fits several: each costs a signature.
_MEANT = 8
# Signatures that are checked in one SignedData: one for a signer, two where he wrote BER, and some.
# One over the content itself, and not over a digest of it, counts for as many as an eighth.
_CHECKS = 96


@dataclass(frozen=True, slots=True)
class Rules:
    """What the one who asks trusts and demands.

    material: anchors, intermediates, CRLs. known: certificates that a SignerInfo may mean, beside
    those that came along. domain_certificates: SHA-256 of those pinned for their domains.
    allow_legacy: for old evidence, what the dated table calls legacy may be read. paths: what was
    found for earlier mails; who judges many hands the same on.
    """

    material: Material
    moment: datetime
    revocation: Revocation = Revocation.REQUIRE
    allow_legacy: bool = False
    known: tuple[ParsedCertificate, ...] = ()
    domain_certificates: frozenset[str] = frozenset()
    paths: SignerPaths = field(default_factory=SignerPaths, compare=False)


def verify_signed(
    data: SignedData, content: bytes, author: Author, rules: Rules
) -> tuple[SignerReport, ...]:
    """A report for each SignerInfo, in order. Empty for none: that is never valid.

    content: the octets that are said to be signed, detached or encapsulated. Never raises for
    what strangers wrote.
    """
    certificates = _readable(data.certificates)
    chain = [cert for cert in certificates if cert.is_ca]
    anchors = [cert for _, cert in rules.material.anchors]
    check = _Check(
        content=content,
        content_type=data.content_type,
        certificates=_once([*certificates, *rules.known, *anchors]),
        author=author,
        rules=rules,
        chain=chain,
    )
    return tuple(check.signer(info) for info in data.signers)


def _readable(ders: Iterable[bytes]) -> list[ParsedCertificate]:
    return [cert for cert in map(_parsed, ders) if cert is not None]


# The same CAs and people come again and again. Some 10 MB when it is full.
@lru_cache(maxsize=512)
def _parsed(der: bytes) -> ParsedCertificate | None:
    """None for what cannot be read: no signer can be one whose certificate that is."""
    try:
        ber.read(der)  # bounded in every way before a library sees it, as all else
        return ParsedCertificate(der)
    except (StructureRefused, CertificateRefused):
        return None


def _once(certificates: Iterable[ParsedCertificate]) -> tuple[ParsedCertificate, ...]:
    return tuple({cert.sha256: cert for cert in certificates}.values())


@dataclass(slots=True)
class _Check:
    """What is the same for all signers of one SignedData."""

    content: bytes
    content_type: str
    certificates: Sequence[ParsedCertificate]
    author: Author
    rules: Rules
    chain: Sequence[ParsedCertificate]
    _digests: dict[str, bytes] = field(default_factory=dict)
    _checks: int = _CHECKS  # that are left

    def signer(self, info: SignerInfo) -> SignerReport:
        """Steps 1 to 8."""
        findings = Findings()
        digest, scheme = digest_of(info.digest), scheme_of(info.algorithm)
        cert: ParsedCertificate | None = None
        path: ValidPath | None = None
        bound = Binding(Role.UNKNOWN, Match.NO, self.author.problem)
        candidates = meant(info, self.certificates)
        if isinstance(digest, Problem) or isinstance(scheme, Problem):
            findings.add(*(one for one in (digest, scheme) if isinstance(one, Problem)))
            cert = candidates[0] if candidates else None
        else:
            findings.add(*self._algorithms(digest, scheme))  # 1
            findings.add(*self._attributes(info, digest))  # 2
            cert = self._made_by(info, digest, scheme, candidates, findings)  # 3, 4
        if cert is None:
            if not candidates:
                findings.add(_no_certificate(info), status=Status.INDETERMINATE)
            findings.add(self.author.problem)
        else:
            findings.add(binding_problem(info, cert))  # 5
            findings.add(self._purpose(cert))  # 6
            path = self._path(cert, findings)  # 7
            bound = bind(self.author, cert, self.rules.domain_certificates)  # 8
            findings.add(bound.problem)
        return SignerReport(
            status=findings.status,
            role=bound.role,
            certificate_sha256=cert.sha256 if cert else None,
            subject=cert.subject_text if cert else "",
            emails=cert.addresses.usable if cert else (),
            from_matches=bound.match,
            digest=_name(info.digest, digest),
            signature=_name(info.algorithm, scheme),
            signing_time=signing_time(info),
            problems=tuple(findings.problems),
            path=path,
            attributes=info.signed.attributes if info.signed else (),
            legacy=self._legacy(digest, scheme, path),
        )

    def _legacy(
        self, digest: Digest | Problem, scheme: Scheme | Problem, path: ValidPath | None
    ) -> tuple[str, ...]:
        """What the table refuses and the caller read nevertheless: it must be said."""
        if not self.rules.allow_legacy:
            return ()
        used: dict[str, bool] = {}
        moment = self.rules.moment
        if isinstance(digest, Digest):
            bits = digest.size * 8
            used[digest.name] = judge(Operation.VERIFY_DIGEST, digest.name, bits, moment).allowed
        if isinstance(scheme, Scheme):
            used[scheme.name] = judge(Operation.VERIFY_SCHEME, scheme.name, 0, moment).allowed
        certificates = path.certificates if path else ()
        for cert in certificates:
            name, bits = describe_key(cert.public_key)
            allowed = judge(Operation.VERIFY_KEY, name, bits, moment).allowed
            used[f"{name} {bits}"] = allowed
            if cert is not certificates[0] and judge_signature(cert.x509, moment):
                hashing = cert.x509.signature_hash_algorithm
                used[hashing.name if hashing else "?"] = False
        return tuple(name for name, allowed in used.items() if not allowed)

    def _algorithms(self, digest: Digest, scheme: Scheme) -> list[Problem]:
        """Step 1. One digest for attributes and content (RFC 8933 §3)."""
        found = []
        if scheme.digest is not None and scheme.digest is not digest:
            found.append(
                problem(
                    "algorithm.disagreement",
                    "the signature is over a digest by {signature}, the content's is by {digest}",
                    signature=scheme.digest.name,
                    digest=digest.name,
                )
            )
        for operation, name, bits in (
            (Operation.VERIFY_DIGEST, digest.name, digest.size * 8),
            (Operation.VERIFY_SCHEME, scheme.name, 0),
        ):
            verdict = judge(operation, name, bits, self.rules.moment)
            if not verdict.readable(self.rules.allow_legacy):
                found.append(
                    problem(
                        "algorithm.refused",
                        "{algorithm} is not allowed for signatures at this time ({source})",
                        algorithm=name,
                        source=verdict.source,
                    )
                )
        return found

    def _attributes(self, info: SignerInfo, digest: Digest) -> list[Problem]:
        """Step 2."""
        found = attribute_problems(
            info, content_type=self.content_type, content_digest=self._digest(digest)
        )
        if info.signed is None and parses_as_attributes(self.content):
            found.append(
                problem(
                    "attributes.ambiguous",
                    "the content looks like signed attributes, and there are none beside it: "
                    "the signature may be that of another message",
                )
            )
        return found

    def _digest(self, digest: Digest) -> bytes:
        """Of the content, computed once for all signers."""
        if digest.name not in self._digests:
            self._digests[digest.name] = digest.of(self.content)
        return self._digests[digest.name]

    def _made_by(
        self,
        info: SignerInfo,
        digest: Digest,
        scheme: Scheme,
        candidates: list[ParsedCertificate],
        findings: Findings,
    ) -> ParsedCertificate | None:
        """Steps 3 and 4: the certificate whose key made the signature, else the first candidate."""
        wrong: Problem | None = None
        tried = False
        for cert in candidates[:_MEANT]:
            if cert.public_key is None or cert.key_too_large is not None:
                continue  # step 6 says why
            tried = True
            unfit = key_problem(scheme, cert.der, cert.public_key)
            if unfit is None and self._holds(info, digest, scheme, cert.public_key):
                return cert
            wrong = wrong or unfit
        if not candidates:
            return None
        if not tried:
            wrong = problem(
                "signature.unchecked",
                "the signature was not checked: the key in the certificate cannot be used",
            )
        elif self._checks <= 0:
            wrong = problem(
                "limits.signatures",
                "its signers want more than {limit} signatures to be checked",
                limit=str(_CHECKS),
            )
        findings.add(
            wrong
            or problem(
                "signature.wrong", "the signature was not made over this content by this key"
            )
        )
        return candidates[0]

    def _holds(self, info: SignerInfo, digest: Digest, scheme: Scheme, key: object) -> bool:
        if info.signed is None:  # RFC 5652 §5.4: the content itself
            self._checks -= _CHECKS // 8 if scheme.whole else 1
            return self._checks >= 0 and holds(
                scheme, key, info.signature,
                message=self.content, digest=digest, hashed=self._digest(digest),
            )  # fmt: skip
        for octets in info.signed.encodings():
            self._checks -= 1
            if self._checks >= 0 and holds(
                scheme, key, info.signature,
                message=octets, digest=digest, hashed=digest.of(octets),
            ):  # fmt: skip
                return True
        return False

    def _purpose(self, cert: ParsedCertificate) -> Problem | None:
        """Step 6."""
        return purpose_problem(
            cert, Purpose.SIGN, self.rules.moment, allow_legacy=self.rules.allow_legacy
        )

    def _path(self, cert: ParsedCertificate, findings: Findings) -> ValidPath | None:
        """Step 7. A certificate that is an anchor itself has an empty path; its dates count."""
        if not self.rules.material.anchors:
            findings.add(
                problem("path.anchor-missing", "no trust anchor was given: name one by --anchor"),
                status=Status.INDETERMINATE,
            )
            return None
        address = self.author.canonical or ""
        try:
            return self.rules.paths.find(
                cert,
                self.rules.material,
                self.chain,
                address=address,
                moment=self.rules.moment,
                revocation=self.rules.revocation,
                allow_legacy=self.rules.allow_legacy,
            )
        except CannotJudge as error:
            findings.add(error.problem, status=Status.INDETERMINATE)
        except CertificateRefused as error:
            findings.add(error.problem)
        return None


def _no_certificate(info: SignerInfo) -> Problem:
    return problem(
        "signature.certificate-missing",
        "the certificate of the signer ({identifier}) is neither in the mail nor given",
        identifier=identifier_text(info),
    )


def _name(given: Algorithm, found: Digest | Scheme | Problem) -> str:
    return given.oid if isinstance(found, Problem) else found.name
