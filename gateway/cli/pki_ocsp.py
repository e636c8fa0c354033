"""`sceau pki ocsp`: OCSP responses, asked for by the gateway, all versions kept."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.cli.exits import CANNOT_TELL, DONE, NO, USAGE, worst
from gateway.cli.opening import on_installation, on_wiring, opened_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.errors import NotFound
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.cli.pki_input import Input
    from gateway.installation import Installation
    from gateway.wiring import Wiring
    from pki.ocsp import OcspResponse
    from pki.ocsp_asker import OcspReport

_STATUS = {"good": message("good"), "revoked": message("revoked"), "unknown": message("unknown")}


def add_ocsp(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki ocsp`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the newest stored response about each certificate")
    listing.add_argument("--all", action="store_true", help="also those that were replaced")
    listing.set_defaults(run=on_installation(_list))

    show = verbs.add_parser("show", help="what is in an OCSP response")
    show.add_argument("what", metavar="FILE|FINGERPRINT", help="PEM or DER; or a SHA-256")
    show.set_defaults(run=_show)

    refresh = verbs.add_parser("refresh", help="ask now about every certificate in use")
    refresh.set_defaults(run=on_wiring(_refresh))
    for verb in (listing, show, refresh):
        add_config(verb)
        add_json(verb)


def _list(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from pki.ocsp_store import list_responses

    output = output_of(args)
    with installation.database.read() as conn:
        found = list_responses(conn, every=args.all)
    now = clock.now()
    rows = []
    for one in found:
        if output.as_json:
            output.record(
                {
                    "sha256": one.sha256,
                    "certificate_sha256": one.certificate,
                    "subject": one.subject,
                    "issuer": one.issuer,
                    "responder": one.responder,
                    "status": one.status,
                    "this_update": time_json(one.this_update),
                    "next_update": time_json(one.next_update),
                    "produced_at": time_json(one.produced_at),
                    "newest": one.newest,
                    "source": one.source,
                    "known": time_json(one.known_at),
                }
            )
            continue
        until = time_text(one.next_update)
        if not one.newest:
            until = output.text("{time} (replaced)", time=until)
        elif now > one.next_update:
            until = output.text("{time} (too old)", time=until)
        status = output.text(_STATUS[one.status])
        rows.append([one.subject, status, time_text(one.this_update), until, one.source])
    if not output.as_json:
        output.table(["certificate", "status", "issued", "next one by", "from"], rows)
    return DONE


def _show(args: Namespace) -> int:
    from gateway.cli.pki_input import file_or_fingerprint, inputs

    output = output_of(args)
    what = file_or_fingerprint(args.what)
    if isinstance(what, str):
        _print(_stored(args, what), None, output)
        return DONE
    return worst(_show_file(file, output) for file in inputs([what]))


def _show_file(file: Input, output: Output) -> int:
    from gateway.cli.pki_input import as_json, ocsp_in
    from pki.errors import Problem

    found = ocsp_in(file, str(file.path))
    if not isinstance(found, Problem):
        _print(found, str(file.path), output)
        return DONE
    if output.as_json:
        output.record({"file": str(file.path), "problems": as_json([found])})
    else:
        output.note("{file}: {reason}", file=str(file.path), reason=output.problem(found))
    # An error of the responder can be read; it only says nothing about a certificate.
    return NO if found.code == "revocation.ocsp-status" else USAGE


def _stored(args: Namespace, sha256: str) -> OcspResponse:
    """A response of the database. Raises NotFound."""
    from pki.ocsp import OcspResponse
    from pki.ocsp_store import response_bytes

    with opened_installation(args) as installation, installation.database.read() as conn:
        der = response_bytes(conn, sha256)
    if der is None:
        raise NotFound("no OCSP response {sha256} is stored", facts={"sha256": sha256})
    return OcspResponse(der)


def _print(response: OcspResponse, file: str | None, output: Output) -> None:
    """What it says; that is not checked here: `pki validate --ocsp` judges."""
    if output.as_json:
        output.record(
            {
                "file": file,
                "sha256": response.sha256,
                "responder": response.responder,
                "produced_at": time_json(response.produced_at),
                "nonce": None if response.nonce is None else response.nonce.hex(),
                "certificates": [one.subject_text for one in response.certificates],
                "responses": [
                    {
                        "serial": f"{one.cert_id.serial:x}",
                        "status": one.status,
                        "this_update": time_json(one.this_update),
                        "next_update": _time_json(one.stated_next_update),
                        "revoked": _time_json(one.revoked_at),
                        "reason": one.reason or None,
                        "archive_cutoff": _time_json(one.archive_cutoff),
                    }
                    for one in response.singles
                ],
                "problems": [],
            }
        )
        return
    output.line(file or response.sha256)
    output.say(
        "  made by {responder} at {time}",
        responder=response.responder,
        time=time_text(response.produced_at),
    )
    output.say("  with a nonce" if response.nonce else "  without a nonce")
    for one in response.singles:
        output.say(
            "  {serial}: {status}, issued {issued}, next one by {until}",
            serial=f"{one.cert_id.serial:x}",
            status=output.text(_STATUS[one.status]),
            issued=time_text(one.this_update),
            until=time_text(one.stated_next_update) if one.stated_next_update else "-",
        )
        if one.revoked_at is not None:
            output.say(
                "    revoked on {day} ({reason})",
                day=time_text(one.revoked_at),
                reason=one.reason or "unspecified",
            )
        if one.archive_cutoff is not None:
            output.say(
                "    the responder knows what was revoked since {day}",
                day=time_text(one.archive_cutoff),
            )


def _time_json(moment: datetime | None) -> str | None:
    return None if moment is None else time_json(moment)


def _refresh(args: Namespace, wiring: Wiring) -> int:
    """Ask about all certificates that were in use lately, due or not."""
    from gateway import clock

    output = output_of(args)
    material = wiring.trust.current().material
    reports = wiring.ocsp.refresh(material, moment=clock.now(), force=True)
    if not reports:
        output.note("No certificate in use is to be asked about by OCSP.")
    return worst(_print_report(report, output) for report in reports)


def _print_report(report: OcspReport, output: Output) -> int:
    from gateway.cli.pki_input import as_json

    if output.as_json:
        output.record(
            {
                "subject": report.subject,
                "responder_url": report.url or None,
                "state": report.state,
                "status": report.status or None,
                "next_update": _time_json(report.next_update),
                "problems": as_json([report.problem] if report.problem else []),
            }
        )
    elif report.problem is not None:
        reason = output.problem(report.problem)
        output.note("{file}: {reason}", file=report.subject, reason=reason)
    else:
        output.say(
            "{subject}: {state}: {status}, next one by {until}",
            subject=report.subject,
            state=output.text("new" if report.state == "stored" else "unchanged"),
            status=output.text(_STATUS[report.status]),
            until=time_text(report.next_update) if report.next_update else "-",
        )
    if report.problem is None or report.spared:
        return DONE
    return CANNOT_TELL if report.unanswered else NO
