"""What people name on the command line of `sceau pki`: files, folders, fingerprints."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE, NO, USAGE
from gateway.cli.output import Explained
from gateway.errors import SceauError

if TYPE_CHECKING:
    from pki.certificate import ParsedCertificate
    from pki.crl import Crl
    from pki.errors import Problem
    from pki.ocsp import OcspResponse


@dataclass(frozen=True, slots=True)
class Input:
    """One file. of_folder: not named itself, but found in a folder that was."""

    path: Path
    of_folder: bool = False

    def read(self) -> bytes | Problem:
        """The content, or why it cannot be read."""
        from pki.bounded_file import read_bounded
        from pki.errors import problem

        try:
            return read_bounded(self.path)
        except OSError as error:
            return problem(
                "structure.file",
                "cannot be read: {reason}",
                reason=error.strerror or type(error).__name__,
            )


def inputs(paths: Iterable[Path]) -> list[Input]:
    """The files named, and for a folder all files in it, by name. Raises SceauError, OSError."""
    found: list[Input] = []
    for path in paths:
        if not path.is_dir():
            found.append(Input(path))
            continue
        within = sorted(file for file in path.iterdir() if file.is_file())
        if not within:
            raise SceauError("there is no file in {folder}", facts={"folder": str(path)})
        found += (Input(file, of_folder=True) for file in within)
    return found


def fingerprint(text: str) -> str | None:
    """A SHA-256 as 64 small hex digits; None if it is none. Colons, blanks, case do not matter."""
    digits = re.sub(r"[\s:]", "", text).lower()
    return digits if re.fullmatch("[0-9a-f]{64}", digits) else None


def fingerprint_of(text: str) -> str:
    """The same for an argument that must be one. Raises SceauError."""
    found = fingerprint(text)
    if found is None:
        raise SceauError(
            "{value} is not a fingerprint",
            hint="write the SHA-256 of the certificate or CRL: 64 hex digits, colons are allowed",
            facts={"value": text},
        )
    return found


def file_or_fingerprint(text: str) -> Path | str:
    """A file or folder that exists, else a fingerprint. Raises SceauError for neither."""
    path = Path(text)
    if os.path.lexists(path):
        return path
    found = fingerprint(text)
    if found is None:
        raise SceauError(
            "{value} is neither a file nor a fingerprint (64 hex digits of a SHA-256)",
            facts={"value": text},
        )
    return found


def as_json(problems: Sequence[Explained]) -> list[dict[str, str]]:
    """Problems as every command prints them for programs."""
    return [{"code": problem.code, "text": problem.text} for problem in problems]


def certificates_in(file: Input) -> tuple[list[ParsedCertificate], list[Problem]]:
    """The certificates of a file that can be read, and why others, or the file, cannot."""
    from pki import bundle
    from pki.certificate import ParsedCertificate
    from pki.errors import CertificateRefused, problem

    data = file.read()
    if not isinstance(data, bytes):
        return [], [data]
    try:
        ders = bundle.certificates(data)
    except ValueError:
        return [], [problem("structure.certificate", "there is no certificate in it")]
    certs: list[ParsedCertificate] = []
    problems: list[Problem] = []
    for number, der in enumerate(ders, 1):
        try:
            certs.append(ParsedCertificate(der))
        except CertificateRefused as error:
            problems.append(numbered(error.problem, number, len(ders)))
    return certs, problems


def crls_in(file: Input, source: str) -> tuple[list[Crl], list[Problem]]:
    """The CRLs of a file that can be used, and why others, or the file, cannot."""
    from pki.crl import Crl
    from pki.errors import CrlRefused

    ders, problems = crl_octets_in(file)
    crls: list[Crl] = []
    for number, der in enumerate(ders, 1):
        try:
            crls.append(Crl(der, source))
        except CrlRefused as error:
            problems.append(numbered(error.problem, number, len(ders)))
    return crls, problems


def crl_octets_in(file: Input) -> tuple[Sequence[bytes], list[Problem]]:
    """What may be the CRLs of a file, as DER, or why the file cannot be read."""
    from pki import bundle
    from pki.errors import problem

    data = file.read()
    if not isinstance(data, bytes):
        return [], [data]
    try:
        return bundle.crls(data), []
    except ValueError:
        return [], [problem("structure.crl", "there is no CRL in it")]


def ocsp_in(file: Input, source: str) -> OcspResponse | Problem:
    """The OCSP response in a file (DER, or one PEM block), or why it cannot be used."""
    from pki.errors import OcspRefused
    from pki.ocsp import OcspResponse, from_pem

    data = file.read()
    if not isinstance(data, bytes):
        return data
    try:
        return OcspResponse(from_pem(data), source)
    except OcspRefused as error:
        return error.problem


def numbered(reason: Problem, number: int, count: int) -> Problem:
    """The problem of one of several in a file says which one it is about."""
    from pki.errors import problem

    if count == 1:
        return reason
    return problem(
        reason.code, "no. {number} in it: {reason}", number=str(number), reason=reason.text
    )


def code_of(problems: Sequence[Explained]) -> int:
    """2 if one is about input that cannot be read, 1 for any other, 0 for none."""
    if not problems:
        return DONE
    return USAGE if any(unreadable(each.code) for each in problems) else NO


def unreadable(code: str) -> bool:
    """Whether a problem is that a file is not what was meant, or is too large to be it."""
    return code.startswith("structure.") or code in ("limits.crl", "limits.ocsp")
