"""`sceau pki cert import`: certificates of files into the local store.

Lists of many people (LDIF, CSV) have a report of their own: `gateway.cli.pki_cert_lists`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import NO, worst
from gateway.cli.output import Output, output_of
from gateway.cli.usage import UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from gateway.cli.pki_input import Input
    from gateway.wiring import Wiring
    from pki.bulk import Import, Outcome
    from pki.certificate import ParsedCertificate
    from pki.errors import Problem


@dataclass(slots=True)
class _Report:
    """What came of one file with nothing but certificates."""

    file: str
    imported: list[Outcome] = field(default_factory=list)
    passed_over: list[ParsedCertificate] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def run_import(args: Namespace, wiring: Wiring) -> int:
    """Store the certificates of all files; a bad one does not stop the others."""
    from gateway.cli.pki_cert_lists import list_of, run_list
    from gateway.cli.pki_input import code_of, inputs
    from pki.addresses import canonical, canonical_domain

    output = output_of(args)
    addresses = (canonical(args.address),) if args.address else ()
    domain = canonical_domain(args.domain) if args.domain else ""
    if domain and addresses:
        raise UsageError("--address and --domain exclude each other")
    files = inputs(args.files)
    codes = []
    held = Held(wiring)
    with output.progress("importing", sum(_size(file) for file in files)) as bar:
        for file in files:
            how = _how(args, file, wiring)
            kind = list_of(file)
            if kind is not None:
                codes.append(run_list(file, kind, how, held, output, bar))
                continue
            report = _pin(file, domain, how) if domain else _import(file, addresses, how)
            _print(report, output)
            for outcome in report.imported:
                held.look(outcome)
            codes.append(max(code_of(report.problems), NO if held.waits(report.imported) else 0))
            bar.step(_size(file))
    held.tell(output)
    return worst(codes)


def _size(file: Input) -> int:
    try:
        return file.path.stat().st_size
    except OSError:
        return 0  # reading it says why


def _how(args: Namespace, file: Input, wiring: Wiring) -> Import:
    from gateway import clock
    from gateway.key_changes import change_drafts, rule_of
    from pki.bulk import Import
    from pki.recipient_keys import KeyChange, Sighting

    by, org = operator(), wiring.config.gateway.organisation

    def changed(conn: sa.Connection, sightings: Sequence[Sighting], held: bool) -> None:
        wiring.append_with(conn, change_drafts(sightings, by=by, held=held, org=org))

    return Import(
        write=wiring.database.write,
        material=wiring.trust.current().material,
        by=by,
        source=args.source or file.path.name,
        moment=clock.now(),
        key_change=(lambda _address: KeyChange.RECORD)
        if args.accept_changes
        else (lambda address: rule_of(wiring.config, address)),
        changed=changed,
        dry_run=args.dry_run,
    )


@dataclass(slots=True)
class Held:
    """Mail that is held for want of a certificate: it waits for a person, also after an import."""

    wiring: Wiring
    _lines: dict[str, list[str]] | None = None
    _ids: dict[str, None] = field(default_factory=dict)

    def look(self, outcome: Outcome) -> None:
        """Whether mail is held for one of these addresses."""
        from gateway.queue import view
        from gateway.queue.states import State

        if self._lines is None:
            self._lines = {}
            with self.wiring.database.read() as conn:
                for line in view.lines(conn, states=(State.HELD,)):
                    self._lines.setdefault(line.recipient, []).append(line.archive_id)
        for address in outcome.addresses:
            self._ids.update(dict.fromkeys(self._lines.get(address, ())))

    def waits(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether one of these itself waits for a person."""
        from pki.bulk import Fate

        return any(outcome.fate is Fate.HELD for outcome in outcomes)

    def tell(self, output: Output) -> None:
        """Name the mail."""
        if self._ids and not output.as_json:
            output.note(
                "Mail is held for these addresses; to have it decided anew: sceau queue release "
                "{ids}",
                ids=" ".join(self._ids),
            )


def _import(file: Input, addresses: tuple[str, ...], how: Import) -> _Report:
    from gateway.cli.pki_input import certificates_in
    from pki.bulk import Entry, Fate, import_entries
    from pki.errors import problem

    report = _Report(str(file.path))
    certs, report.problems = certificates_in(file)
    entries = (Entry(1, (cert.der,), addresses) for cert in certs)
    for outcome in import_entries(entries, how):
        if outcome.fate is Fate.PASSED_OVER and outcome.certificate is not None:
            report.passed_over.append(outcome.certificate)
        elif outcome.problem is not None:
            report.problems.append(outcome.problem)
        else:
            report.imported.append(outcome)
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


def _pin(file: Input, domain: str, how: Import) -> _Report:
    """A certificate for all addresses of a domain."""
    from gateway.cli.pki_input import certificates_in
    from pki.bulk import Fate, Outcome
    from pki.domain_certificates import pin
    from pki.errors import CertificateRefused

    report = _Report(str(file.path))
    certs, report.problems = certificates_in(file)
    for cert in certs:
        if cert.is_ca:
            report.passed_over.append(cert)
            continue
        try:
            new = pin(cert, domain, how)
        except CertificateRefused as error:
            report.problems.append(error.problem)
        else:
            fate = Fate.STORED if new else Fate.KNOWN
            report.imported.append(Outcome(1, fate, cert, ("@" + domain,)))
    return report


def _print(report: _Report, output: Output) -> None:
    from gateway import clock
    from gateway.cli.output import time_json, time_text
    from gateway.cli.pki_facts import validity_note
    from gateway.cli.pki_input import as_json
    from pki.bulk import Fate

    if output.as_json:
        output.record(
            {
                "file": report.file,
                "imported": [
                    {
                        "sha256": cert.sha256,
                        "subject": cert.subject_text,
                        "addresses": list(outcome.addresses),
                        "not_after": time_json(cert.not_after),
                        "new": outcome.fate is Fate.STORED,
                        "held": outcome.fate is Fate.HELD,
                        "remarks": as_json(remarks(outcome)),
                    }
                    for outcome in report.imported
                    if (cert := outcome.certificate) is not None
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
    states = {
        Fate.STORED: output.text("stored"),
        Fate.KNOWN: output.text("known already"),
        Fate.HELD: output.text("waits for a person"),
    }
    for outcome in report.imported:
        cert = outcome.certificate
        assert cert is not None
        until = f"{time_text(cert.not_after)} {validity_note(cert, now, output)}".rstrip()
        output.say(
            "{file}: {state}: {addresses}, valid until {until}, {sha256}",
            file=report.file,
            state=states[outcome.fate],
            addresses=", ".join(outcome.addresses),
            until=until,
            sha256=cert.sha256,
        )
        for remark in remarks(outcome):
            output.note("{file}: {reason}", file=report.file, reason=output.problem(remark))
    for cert in report.passed_over if report.imported else ():
        output.say(
            "{file}: passed over: {subject} is a certification authority",
            file=report.file,
            subject=cert.subject_text,
        )
    for each in report.problems:
        output.note("{file}: {reason}", file=report.file, reason=output.problem(each))


def remarks(outcome: Outcome) -> list[Problem]:
    """What a person should know of a certificate that was taken."""
    found = list(outcome.changes)
    # "expired" stands beside the date already.
    if outcome.unusable is not None and outcome.unusable.code != "path.expired":
        found.append(outcome.unusable)
    return found
