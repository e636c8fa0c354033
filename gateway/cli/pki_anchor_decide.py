"""`sceau pki anchor propose`, `approve`, `refuse`, `suspend`, `resume`, `history`."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.deciding import (
    ACTS,
    Named,
    add_approval,
    add_reason,
    add_signing,
    ask,
    fate_of,
    new_request,
    pick,
    reason_of,
    request_json,
    signers,
)
from gateway.cli.exits import DONE
from gateway.cli.opening import on_installation, on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import output_of, time_json, time_text
from gateway.cli.pki_anchor_effect import effect_json, effect_of_request, print_effect
from gateway.cli.pki_anchor_terms import add_terms, terms_of
from gateway.cli.usage import UsageError
from gateway.errors import NotFound
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.foureyes.ledger import Ledger
    from gateway.foureyes.records import Asked, TrustedAnchor
    from gateway.installation import Installation
    from gateway.wiring import Wiring

_NO_ANCHOR = message(
    "no record of a trust anchor is called {name}; one of the configuration is changed there"
)


def add_deciding(verbs: Any) -> None:
    """The verbs that decide, and the one that shows what was decided."""
    propose = verbs.add_parser("propose", help="ask for an anchor to be trusted")
    propose.add_argument("certificate", type=Path, metavar="CERT", help="PEM or DER")
    propose.add_argument(
        "--fingerprint",
        required=True,
        metavar="SHA256",
        help="typed from a source that is not this machine",
    )
    add_terms(propose, named=True)
    add_signing(propose)
    propose.set_defaults(run=on_wiring(_propose))

    approve = verbs.add_parser(
        "approve", help="approve what another person asked for; without --as, show its effect"
    )
    approve.add_argument(
        "request", metavar="ID|NAME", help="as list shows it; to be looked at, its name will do"
    )
    add_signing(approve)
    approve.set_defaults(run=on_wiring(_approve))

    refuse = verbs.add_parser("refuse", help="end a proposal")
    refuse.add_argument("request", metavar="ID|NAME", help="as list shows it")
    add_reason(refuse)
    add_signing(refuse)
    refuse.set_defaults(run=on_wiring(_refuse))

    for name, text in (
        ("suspend", message("trust an anchor no more, at once")),
        ("resume", message("ask for a suspended anchor to be trusted again")),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("anchor", metavar="ID|NAME", help="as list shows it")
        add_reason(verb)
        add_signing(verb)
        verb.set_defaults(run=on_wiring(_turn))

    history = verbs.add_parser("history", help="every decision about anchors and persons")
    history.add_argument("name", nargs="?", metavar="ID|NAME", help="of one anchor")
    add_config(history)
    add_json(history)
    history.set_defaults(run=on_installation(_history))


def _propose(args: Namespace, wiring: Wiring) -> int:
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.request import Act
    from gateway.foureyes.terms import read_terms
    from pki.anchors import load_anchor

    ledger = book_of(wiring).ledger
    supersedes = _record(ledger, args.supersedes).id if args.supersedes else ""
    loaded = load_anchor(args.certificate, name=args.name, fingerprint=args.fingerprint)
    changes = terms_of(args, args.name, supersedes).changes()
    read_terms(changes)  # what cannot be read again shall not be signed first
    request = new_request(wiring, Act.TRUST, changes, certificates=(loaded.certificate,))
    code = ask(args, wiring, request)
    output = output_of(args)
    if not output.as_json:
        print_effect(effect_of_request(wiring, ledger, request), output)
    return code


def _approve(args: Namespace, wiring: Wiring) -> int:
    from gateway.cli.person import show_request
    from gateway.foureyes.desk import book_of

    output = output_of(args)
    ledger = book_of(wiring).ledger
    looks = args.as_ is None and args.write is None
    asked = _asked(ledger, args.request, looks=looks)
    if not asked.request.act.value.startswith("anchor."):
        raise UsageError("this request is about a person: sceau person approve")
    effect = effect_of_request(wiring, ledger, asked.request)
    if looks:
        if output.as_json:
            output.record({**request_json(ledger, asked), "effect": effect_json(effect)})
            return DONE
        show_request(args, ledger, asked)
        output.line("")
        print_effect(effect, output)
        return DONE
    if not output.as_json:
        print_effect(effect, output)
    return add_approval(args, wiring, asked)


def _asked(ledger: Ledger, text: str, *, looks: bool) -> Asked:
    """The request that is meant: by its id, or to be looked at by the name of its anchor, too.

    What is signed is what was read. Whoever proposed it could end it meanwhile and propose another
    under that name, or give an anchor the name that is the id of a harmless request.
    """
    from gateway.cli.person import find_request

    try:
        return find_request(ledger, text)
    except NotFound:
        asked = _waiting(ledger, text)
    if not looks:
        raise UsageError(
            "to sign, name the request by its id, as approve {name} without --as shows it: "
            "another one may have taken the name since",
            facts={"name": text},
        )
    return asked


def _waiting(ledger: Ledger, name: str) -> Asked:
    """The one request about an anchor of that name which waits. Raises NotFound, UsageError."""
    from gateway.cli.person import NO_REQUEST, what

    things = (
        (Named(asked.request.sha256, name), asked)
        for asked in ledger.requests.values()
        if what(ledger, asked) == name and fate_of(asked) == "proposed"
    )
    return pick(name, things, NO_REQUEST)


def _refuse(args: Namespace, wiring: Wiring) -> int:
    from gateway.cli.person import find_request, run_refuse
    from gateway.foureyes.desk import book_of

    ledger = book_of(wiring).ledger
    try:
        find_request(ledger, args.request)
    except NotFound:
        args.request = _waiting(ledger, args.request).id
    return run_refuse(args, wiring)


def _turn(args: Namespace, wiring: Wiring) -> int:
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.request import Act

    ledger = book_of(wiring).ledger
    record = _record(ledger, args.anchor)
    act = Act.SUSPEND if args.verb == "suspend" else Act.RESUME
    changes = {"basis": record.basis, "reason": reason_of(args)}
    request = new_request(wiring, act, {**changes}, subjects=(record.id,))
    output = output_of(args)
    if not output.as_json:
        print_effect(effect_of_request(wiring, ledger, request), output)
    return ask(args, wiring, request)


def _history(args: Namespace, installation: Installation) -> int:
    from gateway.cli.person import what
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.errors import ActRefused
    from gateway.foureyes.request import read_request

    output = output_of(args)
    book = book_of(installation)
    ledger = book.ledger
    wanted = _subject(ledger, args.name) if args.name else ""
    shown = 0
    for entry in book.entries:
        sha256 = entry.event.about
        if entry.event.request:
            try:
                sha256 = read_request(entry.event.request).sha256
            except ActRefused:
                sha256 = ""
        asked = ledger.requests.get(sha256)
        about = what(ledger, asked) if asked is not None else "?"
        if wanted and (asked is None or _about(ledger, asked) != wanted):
            continue
        shown += 1
        signed = (
            []
            if asked is None or entry.refused is not None
            else [
                name
                for name, one in zip(signers(ledger, asked), asked.approvals, strict=True)
                if one.time == entry.event.time
            ]
        )
        if output.as_json:
            output.record(
                {
                    "number": entry.line,
                    "time": time_json(entry.event.time),
                    "request": sha256,
                    "act": asked.request.act.value if asked is not None else None,
                    "about": about,
                    "signed_by": signed,
                    "by": entry.by,
                    "refused": None if entry.refused is None else entry.refused.text,
                }
            )
            continue
        act = "?" if asked is None else output.text(ACTS[asked.request.act.value])
        line = f"{time_text(entry.event.time)}  {sha256[:16]}  {act}: {about}"
        output.line(f"{line}  {', '.join(signed)}".rstrip())
        if entry.refused is not None:
            output.line(f"    {output.problem(entry.refused)}")
    if wanted and not shown:
        raise NotFound(_NO_ANCHOR, facts={"name": args.name})
    return DONE


def _about(ledger: Ledger, asked: Asked) -> str:
    """As `what`; the refusal of a request is about what that one was about."""
    from gateway.cli.person import what

    return what(ledger, ledger.requests.get(asked.request.subjects[0], asked))


def _subject(ledger: Ledger, text: str) -> str:
    """The name of the anchor that is meant, whatever became of it. Raises NotFound, UsageError."""
    from gateway.foureyes.request import Act

    asked = [one for one in ledger.requests.values() if one.request.act is Act.TRUST]
    names = [(Named(one.request.sha256), str(one.request.changes["name"])) for one in asked]
    return (
        text if text in dict.fromkeys(name for _, name in names) else pick(text, names, _NO_ANCHOR)
    )


def _record(ledger: Ledger, text: str) -> TrustedAnchor:
    from gateway.foureyes.records import State

    records = ledger.anchors.values()
    current = [one for one in records if one.state is not State.SUPERSEDED]
    things = [(Named(one.id, one.terms.name), one) for one in current]
    return pick(text, things, _NO_ANCHOR)
