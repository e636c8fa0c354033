"""`sceau smime verify`: who signed a mail, and what that is worth, from given files alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.exits import VERIFICATION
from gateway.cli.options import add_moment
from gateway.cli.pki_named import add_trust
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.cli.output import Output
    from gateway.smime.layers import OpenLayer
    from gateway.smime.verdicts import SignerReport, Verification
    from gateway.smime.verify import Rules

_EMPTY = {"status": "malformed", "from": [], "signers": [], "layers": []}
_WORDS = {
    "valid": message("valid"),
    "invalid": message("invalid"),
    "unsigned": message("not signed"),
    "partly-signed": message("signed in part only"),
    "indeterminate": message("cannot be told"),
    "malformed": message("malformed"),
}


def add_verify(parser: ArgumentParser) -> None:
    """The options of `sceau smime verify`, but for the files and `--json`."""
    add_trust(
        parser,
        message("certificate of a signer or between him and an anchor: file or folder, repeatable"),
    )
    add_moment(parser)
    parser.add_argument(
        "--allow-legacy",
        action="store_true",
        help="for old evidence only: SHA-1, MD5, DSA, RSA below 2048 bits count, too",
    )
    parser.add_argument(
        "--domain-cert",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="certificate that signs for its whole domain (RFC 3183), repeatable",
    )


def verify_files(args: Namespace, open_layer: OpenLayer | None = None) -> int:
    """`smime verify`. open_layer: opens encrypted layers on the way.

    Raises SceauError, OSError before the first file.
    """
    from gateway.cli.files import each_file, expand
    from gateway.cli.foreign import judging
    from gateway.cli.output import output_of
    from gateway.guard.answer import Answer
    from gateway.smime.layers import verify

    output = output_of(args)
    rules = _rules(args, output)

    def judge(data: bytes, path: Path, output: Output) -> Answer:
        found = verify(data, rules, open_layer=open_layer)
        if not output.as_json:
            _show(output, path, found)
        return Answer(found.as_dict())

    with judging(judge, output) as judged:
        return each_file(
            args,
            expand(args.files),
            lambda path: dict(judged(path).value),
            codes=VERIFICATION,
            empty=_EMPTY,
        )


def _rules(args: Namespace, output: Output) -> Rules:
    from gateway import clock
    from gateway.cli import pki_named
    from gateway.smime.verify import Rules
    from pki.ocsp_known import ResponsesGiven
    from pki.path import Material, Revocation

    domains = pki_named.certificates(args.domain_cert, output)
    known = [*pki_named.certificates(args.cert, output), *domains]
    return Rules(
        material=Material(
            pki_named.anchors(args.anchor, output),
            known,
            pki_named.crls(args.crl, output),
            ResponsesGiven(pki_named.ocsp_responses(args.ocsp, output)),
        ),
        moment=args.at or clock.now(),
        revocation=Revocation(args.revocation),
        allow_legacy=args.allow_legacy,
        known=tuple(known),
        domain_certificates=frozenset(cert.sha256 for cert in domains),
    )


def _show(output: Output, path: Path, found: Verification) -> None:
    from gateway.smime.protected_header import hidden_fields

    output.say("{file}: {status}", file=str(path), status=output.text(_WORDS[found.status.value]))
    if found.authors:
        output.say("  from: {addresses}", addresses=", ".join(found.authors))
    for number, layer in enumerate(found.layers, 1):
        output.line(f"  {number}  {layer.kind}")
    for signer in found.signers:
        _show_signer(output, signer)
    for name, value in hidden_fields(found.protection):
        output.say("  {field}, not shown outside: {value}", field=name, value=value)
    for problem in found.problems:
        output.line("  " + output.problem(problem))
    for remark in found.remarks:
        output.line("  " + output.problem(remark))


def _show_signer(output: Output, signer: SignerReport) -> None:
    output.say(
        "     signer {who}: {status} ({signature}, {digest})",
        who=", ".join(signer.emails[:5]) or signer.subject or "?",
        status=output.text(_WORDS[signer.status.value]),
        signature=signer.signature,
        digest=signer.digest,
    )
    if signer.path is not None:
        names = [cert.subject_text for cert in signer.path.certificates]
        output.say("     trusted through: {path}", path=" > ".join(names))
    if signer.from_matches.value == "domain":
        output.say("     signed by the domain, not the person")
    if signer.attributes:
        from gateway.cli.smime_said import show_said

        show_said(output, signer.attributes)
    if signer.signing_time is not None:
        from gateway.cli.output import time_text

        output.say(
            "     the signer says that it was signed at {time}", time=time_text(signer.signing_time)
        )
