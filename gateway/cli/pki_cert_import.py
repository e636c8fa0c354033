"""`sceau pki cert import`: certificates of files into the local store."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import worst
from gateway.cli.output import Output, output_of

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway.cli.pki_input import Input
    from gateway.installation import Installation
    from pki.certificate import ParsedCertificate
    from pki.errors import Problem

# Certificates stored in one transaction: while it runs, mail waits for its turn to write.
_AT_ONCE = 100


@dataclass(slots=True)
class _Report:
    """What came of one file."""

    file: str
    imported: list[tuple[ParsedCertificate, tuple[str, ...], bool]] = field(default_factory=list)
    passed_over: list[ParsedCertificate] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def run_import(args: Namespace, installation: Installation) -> int:
    """Store the certificates of all files; a bad one does not stop the others."""
    from gateway.cli.pki_input import code_of, inputs
    from pki.addresses import canonical

    output = output_of(args)
    addresses = (canonical(args.address),) if args.address else ()
    files = inputs(args.files)
    reports = []
    with output.progress("importing", len(files)) as bar:
        for file in files:
            source = args.source or file.path.name
            report = _import(file, addresses, source, installation)
            _print(report, output)
            reports.append(report)
            bar.step()
    if not output.as_json:
        _tell_of_held(
            {a for r in reports for _, one, _ in r.imported for a in one}, installation, output
        )
    return worst([code_of(report.problems) for report in reports])


def _tell_of_held(addresses: set[str], installation: Installation, output: Output) -> None:
    """Held mail waits for a person, also where this certificate is what it lacked."""
    from gateway.queue import view
    from gateway.queue.states import State

    with installation.database.read() as conn:
        held = view.lines(conn, states=(State.HELD,))
    ids = dict.fromkeys(line.archive_id for line in held if line.recipient in addresses)
    if ids:
        output.note(
            "Mail is held for these addresses; to have it decided anew: sceau queue release {ids}",
            ids=" ".join(ids),
        )


def _import(
    file: Input, addresses: tuple[str, ...], source: str, installation: Installation
) -> _Report:
    from gateway.cli.pki_input import certificates_in
    from pki.errors import problem

    report = _Report(str(file.path))
    certs, report.problems = certificates_in(file)
    for start in range(0, len(certs), _AT_ONCE):
        with installation.database.write() as conn:
            for cert in certs[start : start + _AT_ONCE]:
                _store(conn, cert, addresses, source, report)
    if report.passed_over and not report.imported and not report.problems:
        report.problems.append(
            problem(
                "identity.ca-certificate",
                "{subject} is a certification authority without a mail address; "
                "authorities are named in pki.anchors or pki.intermediates",
                subject=report.passed_over[0].subject_text,
            )
        )
    return report


def _store(
    conn: sa.Connection,
    cert: ParsedCertificate,
    addresses: tuple[str, ...],
    source: str,
    report: _Report,
) -> None:
    from gateway import clock
    from pki.errors import CertificateRefused
    from pki.store import certificate_history, import_certificate

    if cert.is_ca and not cert.addresses.usable:
        report.passed_over.append(cert)  # it came along in a bundle, as it usually does
        return
    known = {row.address for row in certificate_history(conn, cert.sha256) if not row.removed_at}
    try:
        stored = import_certificate(
            conn, cert.der, addresses=addresses, by=operator(), source=source, moment=clock.now()
        )
    except CertificateRefused as error:
        report.problems.append(error.problem)
        return
    report.imported.append((cert, stored, not known.issuperset(stored)))


def _print(report: _Report, output: Output) -> None:
    from gateway import clock
    from gateway.cli.output import time_json, time_text
    from gateway.cli.pki_facts import validity_note
    from gateway.cli.pki_input import as_json

    if output.as_json:
        output.record(
            {
                "file": report.file,
                "imported": [
                    {
                        "sha256": cert.sha256,
                        "subject": cert.subject_text,
                        "addresses": list(addresses),
                        "not_after": time_json(cert.not_after),
                        "new": new,
                    }
                    for cert, addresses, new in report.imported
                ],
                "passed_over": [
                    {"sha256": cert.sha256, "subject": cert.subject_text}
                    for cert in report.passed_over
                ],
                "problems": as_json(report.problems),
            }
        )
        return
    now = clock.now()
    for cert, addresses, new in report.imported:
        state = output.text("stored") if new else output.text("known already")
        until = f"{time_text(cert.not_after)} {validity_note(cert, now, output)}".rstrip()
        output.say(
            "{file}: {state}: {addresses}, valid until {until}, {sha256}",
            file=report.file,
            state=state,
            addresses=", ".join(addresses),
            until=until,
            sha256=cert.sha256,
        )
    for cert in report.passed_over if report.imported else ():
        output.say(
            "{file}: passed over: {subject} is a certification authority",
            file=report.file,
            subject=cert.subject_text,
        )
    for each in report.problems:
        output.note("{file}: {reason}", file=report.file, reason=output.problem(each))
