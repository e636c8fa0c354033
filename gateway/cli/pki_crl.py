"""`sceau pki crl`: revocation lists, fetched or brought by hand, all versions kept."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE, worst
from gateway.cli.opening import on_installation, on_wiring, opened_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.pki_crl_bring import run_import, run_refresh
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.cli.pki_input import Input
    from gateway.installation import Installation
    from pki.crl import Crl
    from pki.crl_store import StoredCrl


def add_crl(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki crl`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the newest stored CRL of each issuer and scope")
    listing.add_argument("--all", action="store_true", help="also those that were replaced")
    listing.set_defaults(run=on_installation(_list))

    show = verbs.add_parser("show", help="what is in a CRL")
    show.add_argument("what", metavar="FILE|FINGERPRINT", help="PEM or DER; or a SHA-256")
    show.set_defaults(run=_show)

    refresh = verbs.add_parser("refresh", help="fetch all configured CRLs now")
    refresh.set_defaults(run=on_wiring(run_refresh))

    bring = verbs.add_parser("import", help="store CRLs that were brought by hand")
    bring.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="PEM or DER, or a folder of them"
    )
    bring.set_defaults(run=on_wiring(run_import))
    for verb in (listing, show, refresh, bring):
        add_config(verb)
        add_json(verb)


def _list(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from gateway.cli.pki_facts import only_for
    from pki.crl_store import crl_heads, list_crls

    output = output_of(args)
    with installation.database.read() as conn:
        heads = crl_heads(conn)
        found = [crl for crl in list_crls(conn) if crl.newest or args.all]
    now = clock.now()
    rows = []
    for crl in found:
        head = heads.get(crl.series)
        if output.as_json:
            output.record(
                {
                    "sha256": crl.sha256,
                    "issuer": crl.issuer,
                    "number": crl.number,
                    "delta": None if head is None else head.base_number is not None,
                    "indirect": None if head is None else head.scope.indirect,
                    "only_for": None if head is None else only_for(head.scope),
                    "this_update": time_json(crl.this_update),
                    "next_update": time_json(crl.next_update),
                    "newest": crl.newest,
                    "source": crl.source,
                    "known": time_json(crl.known_at),
                }
            )
            continue
        until = time_text(crl.next_update)
        if not crl.newest:
            until = output.text("{time} (replaced)", time=until)
        elif now > crl.next_update:
            until = output.text("{time} (too old)", time=until)
        number = "-" if crl.number is None else str(crl.number)
        kind = "-" if head is None else _kind(head, output)
        issued = time_text(crl.this_update)
        rows.append([crl.issuer, number, kind, issued, until, crl.source, crl.sha256])
    if not output.as_json:
        output.table(
            ["issuer", "number", "kind", "issued", "next one by", "from", "fingerprint (SHA-256)"],
            rows,
        )
    return DONE


def _kind(head: Crl, output: Output) -> str:
    """Complete or delta, indirect, and what it is limited to."""
    from gateway.cli.pki_facts import only_for

    parts = [output.text("complete") if head.base_number is None else output.text("delta")]
    if head.scope.indirect:
        parts.append(output.text("indirect"))
    if limits := only_for(head.scope):
        parts.append(output.text("only for {limits}", limits=" ".join(limits)))
    return ", ".join(parts)


def _show(args: Namespace) -> int:
    from gateway.cli.pki_input import file_or_fingerprint, inputs

    output = output_of(args)
    what = file_or_fingerprint(args.what)
    if isinstance(what, str):
        return _show_stored(args, what, output)
    return worst(_show_file(file, output) for file in inputs([what]))


def _show_file(file: Input, output: Output) -> int:
    from gateway.cli.pki_facts import crl_facts, facts_json, print_facts
    from gateway.cli.pki_input import as_json, code_of, crls_in

    crls, problems = crls_in(file, str(file.path))
    if output.as_json:
        facts = [facts_json(crl_facts(crl)) for crl in crls]
        output.record({"file": str(file.path), "crls": facts, "problems": as_json(problems)})
        return code_of(problems)
    for crl in crls:
        output.line(str(file.path))
        print_facts(crl_facts(crl), output)
    for each in problems:
        output.note("{file}: {reason}", file=str(file.path), reason=output.problem(each))
    return code_of(problems)


def _show_stored(args: Namespace, sha256: str, output: Output) -> int:
    from gateway.cli.pki_facts import crl_facts, facts_json, print_facts

    crl, known = _stored(args, sha256)
    facts = crl_facts(crl)
    if output.as_json:
        one = {**facts_json(facts), "source": known.source, "known": time_json(known.known_at)}
        output.record({"file": None, "crls": [one], "problems": []})
        return DONE
    output.line(sha256)
    print_facts(facts, output)
    output.say(
        "  from {source}, known since {time}",
        source=known.source,
        time=time_text(known.known_at),
    )
    return DONE


def _stored(args: Namespace, sha256: str) -> tuple[Crl, StoredCrl]:
    """A CRL of the database. Raises NotFound."""
    from pki.crl import Crl
    from pki.crl_store import crl_bytes, list_crls

    with opened_installation(args) as installation, installation.database.read() as conn:
        known = list_crls(conn, sha256=sha256)
        der = crl_bytes(conn, sha256)
    if der is None:
        raise NotFound("no CRL {sha256} is stored", facts={"sha256": sha256})
    return Crl(der), known[0]
