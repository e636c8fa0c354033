"""`sceau pki crl refresh` and `import`: CRLs from their sources, or brought by hand."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import CANNOT_TELL, DONE, NO, worst
from gateway.cli.output import Output, output_of, time_json, time_text

if TYPE_CHECKING:
    from gateway.cli.pki_input import Input
    from gateway.wiring import Wiring
    from pki.crl import Crl
    from pki.errors import Problem
    from pki.keeper import SourceReport

# A source that did not answer, as opposed to one that answered with something unusable.
_NOT_FETCHED = frozenset({"limits.fetch", "structure.file"})


def run_refresh(args: Namespace, wiring: Wiring) -> int:
    """Fetch every configured source, whether it is due or not."""
    from gateway import clock
    from pki.keeper import refresh_crls

    output = output_of(args)
    if not wiring.crl_sources:
        output.note("No CRL source is configured ([[pki.crls]]).")
    codes = []
    # One at a time, so that each is reported when it is there.
    for source in wiring.crl_sources:
        (report,) = refresh_crls(
            wiring.database.read,
            wiring.database.write,
            [source],
            trust=wiring.trust,
            rules=wiring.fetch_rules,
            moment=clock.now(),
            force=True,
            folder=wiring.crl_folder,
        )
        codes.append(_print_source(report, output))
    return worst(codes)


def _print_source(report: SourceReport, output: Output) -> int:
    """One source; its exit code."""
    from gateway.cli.pki_input import as_json

    if output.as_json:
        output.record(
            {
                "source": report.source,
                "state": report.state,
                "issuer": report.issuer or None,
                "number": report.number,
                "next_update": time_json(report.next_update) if report.next_update else None,
                "problems": as_json([report.problem] if report.problem else []),
            }
        )
    elif report.problem is None:
        number = "-" if report.number is None else str(report.number)
        output.say(
            "{source}: {state}: CRL no. {number} of {issuer}, next one by {until}",
            source=report.source,
            state=output.text("new" if report.state == "stored" else "unchanged"),
            number=number,
            issuer=report.issuer,
            until=time_text(report.next_update) if report.next_update else "-",
        )
    else:
        reason = output.problem(report.problem)
        if reason.startswith(report.source):
            output.note("{reason}", reason=reason)
        else:
            output.note("{file}: {reason}", file=report.source, reason=reason)
        # The old one stays in use: say for how long mail still flows.
        if report.next_update is not None:
            output.note(
                "{source}: the CRL fetched before holds until {until}",
                source=report.source,
                until=time_text(report.next_update),
            )
    if report.problem is None:
        return DONE
    return CANNOT_TELL if report.problem.code in _NOT_FETCHED else NO


def run_import(args: Namespace, wiring: Wiring) -> int:
    """Check and store the CRLs of all files; a bad one does not stop the others."""
    from gateway.cli.pki_input import inputs

    output = output_of(args)
    files = inputs(args.files)
    return worst(_import(file, wiring, output) for file in files)


def _import(file: Input, wiring: Wiring, output: Output) -> int:
    from gateway import clock
    from gateway.cli.pki_input import code_of, crl_octets_in, numbered
    from pki.crl_receive import check_renewed, receive
    from pki.crl_store import store_crl
    from pki.errors import CrlRefused

    stored: list[tuple[Crl, bool]] = []
    ders, problems = crl_octets_in(file)
    source = f"{file.path.name}, by hand ({operator()})"
    material = wiring.trust.current().material
    for number, der in enumerate(ders, 1):
        now = clock.now()
        try:
            crl, indexed = receive(
                der, source, material=material, moment=now, folder=wiring.crl_folder
            )
            with wiring.database.write() as conn:
                new = store_crl(conn, crl, moment=now, indexed=indexed)
            check_renewed(crl, now, new=new)
            stored.append((crl, new))
        except CrlRefused as error:
            problems.append(numbered(error.problem, number, len(ders)))
    _print_file(file, stored, problems, output)
    return code_of(problems)


def _print_file(
    file: Input, stored: list[tuple[Crl, bool]], problems: list[Problem], output: Output
) -> None:
    from gateway.cli.pki_facts import crl_facts, facts_json
    from gateway.cli.pki_input import as_json

    if output.as_json:
        output.record(
            {
                "file": str(file.path),
                "imported": [{**facts_json(crl_facts(crl)), "new": new} for crl, new in stored],
                "problems": as_json(problems),
            }
        )
        return
    for crl, new in stored:
        output.say(
            "{source}: {state}: CRL no. {number} of {issuer}, next one by {until}",
            source=str(file.path),
            state=output.text("new" if new else "unchanged"),
            number="-" if crl.number is None else str(crl.number),
            issuer=crl.issuer_text,
            until=time_text(crl.next_update),
        )
    for each in problems:
        output.note("{file}: {reason}", file=str(file.path), reason=output.problem(each))
