"""What `--anchor`, `--cert`, `--crl` and `--ocsp` name, for the commands that judge."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.output import Output
from gateway.errors import SceauError
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.cli.pki_input import Input
    from pki.anchors import Anchor
    from pki.certificate import ParsedCertificate
    from pki.crl import Crl
    from pki.errors import Problem
    from pki.ocsp import OcspResponse


def add_trust(parser: ArgumentParser, certificates: str) -> None:
    """`--anchor`, `--cert`, `--crl`, `--ocsp`, `--revocation`. certificates: help of `--cert`."""
    for option, line in (
        ("--anchor", message("trusted certificate: file or folder, repeatable")),
        ("--cert", certificates),
        ("--crl", message("revocation list: file or folder, repeatable")),
        ("--ocsp", message("OCSP response, looked at where no CRL can tell: file or folder")),
    ):
        parser.add_argument(
            option, action="append", default=[], type=Path, metavar="FILE", help=line
        )
    parser.add_argument(
        "--revocation",
        choices=("require", "if-available", "off"),
        default="require",
        help="what must be known of revocation; otherwise require: a CRL or OCSP response for "
        "each certificate",
    )


def anchors(paths: Sequence[Path], output: Output) -> list[Anchor]:
    """Trust anchors for every purpose and domain. Raises SceauError."""
    from pki.anchors import Anchor, RevocationSources
    from pki.models import Purpose

    return [
        Anchor(
            name=cert.subject_text,
            certificate=cert.der,
            sha256=cert.sha256,
            purposes=frozenset(Purpose),
            sources=RevocationSources.CRL_THEN_OCSP,
        )
        for cert in certificates(paths, output)
    ]


def certificates(paths: Sequence[Path], output: Output) -> list[ParsedCertificate]:
    """All certificates in the files. Raises SceauError."""
    from gateway.cli.pki_input import certificates_in, inputs

    found: list[ParsedCertificate] = []
    for file in inputs(paths):
        certs, problems = certificates_in(file)
        _complain(file, problems, output)
        found += certs
    return found


def crls(paths: Sequence[Path], output: Output) -> list[Crl]:
    """All CRLs in the files. Raises SceauError."""
    from gateway.cli.pki_input import crls_in, inputs

    found: list[Crl] = []
    for file in inputs(paths):
        listed, problems = crls_in(file, str(file.path))
        _complain(file, problems, output)
        found += listed
    return found


def ocsp_responses(paths: Sequence[Path], output: Output) -> list[OcspResponse]:
    """The OCSP responses in the files. Raises SceauError."""
    from gateway.cli.pki_input import inputs, ocsp_in
    from pki.errors import Problem

    found: list[OcspResponse] = []
    for file in inputs(paths):
        response = ocsp_in(file, str(file.path))
        if isinstance(response, Problem):
            _complain(file, [response], output)
        else:
            found.append(response)
    return found


def _complain(file: Input, problems: Sequence[Problem], output: Output) -> None:
    """What cannot be used of a file: an error where the file was named itself, else a note.

    A CRL of a kind that is not supported is a note in any case: without it the verdict is
    "cannot tell" where revocation data are required.
    """
    from gateway.cli.pki_input import unreadable

    for problem in problems:
        if not file.of_folder and unreadable(problem.code):
            raise SceauError(
                "{file}: {reason}",
                facts={"file": str(file.path), "reason": output.problem(problem)},
            )
        output.note(
            "{file} is not used: {reason}",
            file=str(file.path),
            reason=output.problem(problem),
        )
