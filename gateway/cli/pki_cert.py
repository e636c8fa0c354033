"""`sceau pki cert`: certificates of others, found in directories or kept in the local store."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE
from gateway.cli.opening import on_installation, on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import output_of, time_json, time_text
from gateway.cli.pki_cert_audit import add_audit
from gateway.cli.pki_cert_decide import add_decide
from gateway.cli.pki_cert_harvest import add_harvest
from gateway.cli.pki_cert_import import run_import
from gateway.cli.pki_cert_show import run_show
from gateway.cli.pki_find import run_find
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.installation import Installation


def add_cert(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki cert`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    find = verbs.add_parser("find", help="the certificate the gateway would use for an address")
    find.add_argument("addresses", nargs="+", metavar="ADDRESS", help="recipient")
    find.set_defaults(run=on_wiring(run_find))

    show = verbs.add_parser("show", help="what is in a certificate, and where it is kept")
    show.add_argument("what", metavar="FILE|FINGERPRINT", help="PEM, DER, PKCS#7; or a SHA-256")
    show.set_defaults(run=run_show)

    listing = verbs.add_parser("list", help="certificates in the local store")
    listing.add_argument(
        "address", nargs="?", default="", metavar="ADDRESS", help="only for this mail address"
    )
    listing.set_defaults(run=on_installation(_list))

    bring = verbs.add_parser("import", help="put certificates into the local store")
    bring.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="PEM, DER, PKCS#7, LDIF, CSV, or a folder of them",
    )
    bring.add_argument(
        "--address", default="", help="store it for this one of its addresses, not for all"
    )
    bring.add_argument(
        "--source", default="", metavar="TEXT", help="where it is from (otherwise the file's name)"
    )
    bring.add_argument(
        "--domain",
        default="",
        help="pin it for all addresses of this domain: the certificate of a gateway (RFC 3183)",
    )
    bring.add_argument(
        "--accept-changes",
        action="store_true",
        help="take other keys than those known so far; the log names them",
    )
    bring.add_argument("--dry-run", action="store_true", help="check and report, and store nothing")
    bring.set_defaults(run=on_wiring(run_import))

    remove = verbs.add_parser("remove", help="take a certificate of the local store out of use")
    remove.add_argument("fingerprint", metavar="FINGERPRINT", help="SHA-256, 64 hex digits")
    remove.set_defaults(run=on_installation(_remove))
    add_decide(verbs)
    add_harvest(verbs)
    add_audit(verbs)
    for verb in (find, show, listing, bring, remove):
        add_config(verb)
        add_json(verb)


def _list(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from pki.store import list_certificates

    output = output_of(args)
    with installation.database.read() as conn:
        found = list_certificates(conn, args.address)
    now = clock.now()
    rows = []
    for each in found:
        if output.as_json:
            output.record(
                {
                    "address": each.address,
                    "sha256": each.sha256,
                    "subject": each.subject,
                    "not_after": time_json(each.not_after),
                    "added": time_json(each.added_at),
                    "added_by": each.added_by,
                    "source": each.source,
                }
            )
            continue
        until = time_text(each.not_after)
        if now > each.not_after:
            until = output.text("{time} (expired)", time=until)
        rows.append([each.address, until, each.added_by, each.source, each.sha256])
    if not output.as_json:
        output.table(["address", "valid until", "added by", "from", "fingerprint (SHA-256)"], rows)
    return DONE


def _remove(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from gateway.cli.pki_input import fingerprint_of
    from pki.store import certificate_history, remove_certificate

    output = output_of(args)
    sha256 = fingerprint_of(args.fingerprint)
    with installation.database.write() as conn:
        lost = [c.address for c in certificate_history(conn, sha256) if c.removed_at is None]
        remove_certificate(conn, sha256, by=operator(), moment=clock.now())
    if not lost:
        raise NotFound(
            "no certificate {sha256} is in use in the local store", facts={"sha256": sha256}
        )
    if output.as_json:
        output.record({"sha256": sha256, "removed_for": lost})
    else:
        output.say("It is out of use for {addresses}.", addresses=", ".join(lost))
    return DONE
