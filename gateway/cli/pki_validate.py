"""`sceau pki validate`: a certification path from given files, no configuration needed.

Nothing is taken from the system: only what is named is trusted, known or looked at.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli import pki_named
from gateway.cli.exits import CANNOT_TELL, DONE, NO, USAGE, worst
from gateway.cli.options import add_json, add_moment
from gateway.cli.output import Output, output_of, time_json
from gateway.cli.pki_named import add_trust
from gateway.errors import SceauError
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.cli.pki_input import Input
    from pki.anchors import Anchor
    from pki.certificate import ParsedCertificate
    from pki.crl import Crl
    from pki.errors import Problem
    from pki.ocsp_known import KnownResponses
    from pki.path import ValidPath

_CODES = {"valid": DONE, "invalid": NO, "malformed": USAGE, "indeterminate": CANNOT_TELL}
_WORDS = {
    "valid": message("valid"),
    "invalid": message("invalid"),
    "malformed": message("malformed"),
    "indeterminate": message("cannot be told"),
}


def add_validate(parser: ArgumentParser) -> None:
    """The options of `sceau pki validate`."""
    parser.add_argument(
        "certificates",
        nargs="+",
        type=Path,
        metavar="CERT",
        help="PEM, DER or PKCS#7; of several the one that issued none of the others is checked",
    )
    add_trust(parser, message("certificate between anchor and CERT: file or folder, repeatable"))
    add_moment(parser)
    parser.add_argument(
        "--purpose",
        choices=("sign", "encrypt", "any"),
        default="any",
        help="of mail; any (otherwise) looks at the path alone",
    )
    parser.add_argument(
        "--no-any-eku", action="store_true", help="for mail anyExtendedKeyUsage is not enough"
    )
    parser.add_argument("--email", metavar="ADDRESS", help="it must be for this mail address")
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="OID",
        help="acceptable certificate policy, repeatable; otherwise any",
    )
    parser.add_argument(
        "--require-explicit-policy", action="store_true", help="a policy must be valid for the path"
    )
    parser.add_argument(
        "--inhibit-policy-mapping", action="store_true", help="policies may not be mapped"
    )
    parser.add_argument(
        "--inhibit-any-policy", action="store_true", help="anyPolicy counts for no policy"
    )
    parser.add_argument(
        "--allow-legacy",
        action="store_true",
        help="for old evidence only: SHA-1, MD5, DSA, RSA below 2048 bits count, too",
    )
    add_json(parser)
    parser.set_defaults(run=_validate)


@dataclass(slots=True)
class _Verdict:
    """What was found out about one file."""

    file: str
    cert: ParsedCertificate | None = None
    path: ValidPath | None = None
    status: str = "valid"
    problems: list[Problem] = field(default_factory=list)

    def worsen(self, status: str, problem: Problem) -> None:
        """One more problem; the worst status counts."""
        self.problems.append(problem)
        if worst((_CODES[self.status], _CODES[status])) == _CODES[status]:
            self.status = status


@dataclass(frozen=True, slots=True)
class _Given:
    """What the command line says about all files."""

    anchors: Sequence[Anchor]
    extra: Sequence[ParsedCertificate]
    crls: Sequence[Crl]
    ocsp: KnownResponses
    moment: datetime
    args: Namespace


def _validate(args: Namespace) -> int:
    from gateway import clock
    from gateway.cli.pki_input import inputs
    from pki.addresses import canonical
    from pki.ocsp_known import ResponsesGiven

    output = output_of(args)
    if args.email is not None:
        canonical(args.email)  # an address that cannot be compared is a wrong command line
    _check_policies(args.policy)
    files = inputs(args.certificates)
    given = _Given(
        anchors=pki_named.anchors(args.anchor, output),
        extra=pki_named.certificates(args.cert, output),
        crls=pki_named.crls(args.crl, output),
        ocsp=ResponsesGiven(pki_named.ocsp_responses(args.ocsp, output)),
        moment=args.at or clock.now(),
        args=args,
    )
    codes = []
    for file in files:
        verdict = _judge(file, given)
        _print(verdict, given, output)
        codes.append(_CODES[verdict.status])
    return worst(codes)


def _judge(file: Input, given: _Given) -> _Verdict:
    from gateway.cli.pki_input import certificates_in
    from pki.errors import CannotJudge, CertificateRefused, problem
    from pki.models import Purpose
    from pki.path import Material, Revocation, find_path
    from pki.policies import PolicyInputs
    from pki.usage import address_problem, purpose_problem

    args = given.args
    verdict = _Verdict(str(file.path))
    certs, unreadable = certificates_in(file)
    for reason in unreadable:
        verdict.worsen("malformed", reason)
    if not certs or unreadable:
        return verdict
    verdict.cert = cert = _meant(certs)
    if args.email is not None and (unfit := address_problem(cert, args.email)):
        verdict.worsen("invalid", unfit)
    if args.purpose != "any" and (
        unfit := purpose_problem(
            cert, Purpose(args.purpose), given.moment, allow_legacy=args.allow_legacy
        )
    ):
        verdict.worsen("invalid", unfit)
    if not given.anchors:
        verdict.worsen(
            "indeterminate",
            problem("path.anchor-missing", "no trust anchor was given: name one by --anchor"),
        )
        return verdict
    try:
        verdict.path = find_path(
            cert,
            Material(
                given.anchors,
                [*certs, *given.extra],
                given.crls,
                given.ocsp,
                any_usage=not args.no_any_eku,
            ),
            moment=given.moment,
            revocation=Revocation(args.revocation),
            policies=PolicyInputs(
                acceptable=frozenset(args.policy),
                require_explicit=args.require_explicit_policy,
                inhibit_mapping=args.inhibit_policy_mapping,
                inhibit_any=args.inhibit_any_policy,
            ),
            allow_legacy=args.allow_legacy,
            for_mail=args.purpose != "any",
        )
    except CannotJudge as error:
        verdict.worsen("indeterminate", error.problem)
    except CertificateRefused as error:
        verdict.worsen("invalid", error.problem)
    return verdict


def _meant(certs: Sequence[ParsedCertificate]) -> ParsedCertificate:
    """Which certificate of a file is checked; the others are there to build the path.

    The first that issued none of the others: chains begin with it as a rule, but a PKCS#7 bundle
    has no order, and a CA's "valid" would be taken for the person's.
    """
    for cert in certs:
        if not any(other.issuer == cert.subject and other is not cert for other in certs):
            return cert
    return certs[0]


def _print(verdict: _Verdict, given: _Given, output: Output) -> None:
    from gateway.cli.pki_facts import evidence_json, print_beside_only, print_evidence
    from gateway.cli.pki_input import as_json

    path, cert = verdict.path, verdict.cert
    subjects = [one.subject_text for one in path.certificates] if path else []
    if output.as_json:
        output.record(
            {
                "file": verdict.file,
                "status": verdict.status,
                "subject": cert.subject_text if cert else None,
                "sha256": cert.sha256 if cert else None,
                "purpose": given.args.purpose,
                "at": time_json(given.moment),
                "path": subjects,
                "policies": sorted(path.policies) if path else [],
                "beside_only": cert.encapsulates if cert else None,
                "revocation": [evidence_json(one) for one in path.revocation] if path else [],
                "problems": as_json(verdict.problems),
            }
        )
        return
    output.say(
        "{file}: {status}", file=verdict.file, status=output.text(_WORDS.get(verdict.status, ""))
    )
    if cert is not None and cert.encapsulates:
        print_beside_only(output)
    for problem in verdict.problems:
        output.line(f"  {output.problem(problem)}")
    if path is not None:
        output.say("  trusted through: {path}", path=" > ".join(subjects))
        print_evidence(path.revocation, output)
        if path.policies:
            output.say("  policies: {policies}", policies=", ".join(sorted(path.policies)))


# -- what the options name -----------------------------------------------------------------------


def _check_policies(oids: Sequence[str]) -> None:
    from cryptography import x509

    for oid in oids:
        try:
            x509.ObjectIdentifier(oid)
        except ValueError as error:
            raise SceauError(
                "{value} is not an object identifier",
                hint="write it with dots: 1.2.250.1.35.30.1",
                facts={"value": oid},
            ) from error
