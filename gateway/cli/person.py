"""`sceau person`: those who decide about trust, and the requests that wait for them.

Not the people whose mail is signed: those are `sceau pki key`.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway.cli.deciding import (
    ACTS,
    FATES,
    Named,
    add_approval,
    add_reason,
    add_signing,
    ask,
    enter_and_tell,
    fate_of,
    new_request,
    pick,
    print_request,
    reason_of,
    request_json,
    signers,
)
from gateway.cli.exits import DONE
from gateway.cli.opening import on_installation, on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.usage import UsageError
from gateway.errors import SceauError
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.foureyes.ledger import Ledger
    from gateway.foureyes.persons import Person
    from gateway.foureyes.records import Asked
    from gateway.installation import Installation
    from gateway.wiring import Wiring

T = TypeVar("T")

HELP = "those who decide about trust: enrol, approve, suspend"

_NO_PERSON = message("there is no person {name}")
NO_REQUEST = message("there is no request {name}")


def configure(parser: ArgumentParser) -> None:
    """Verbs and options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="who decides")
    listing.set_defaults(run=on_installation(_list))
    show = verbs.add_parser("show", help="one person, with certificates")
    show.add_argument("person", metavar="ID|NAME", help="as list shows them")
    show.set_defaults(run=on_wiring(_show))
    waiting = verbs.add_parser("requests", help="what waits for another person")
    waiting.add_argument("--all", action="store_true", help="also what is done, refused, too old")
    waiting.set_defaults(run=on_installation(_requests))
    for verb in (listing, show, waiting):
        add_config(verb)
        add_json(verb)

    enrol = verbs.add_parser("enrol", help="ask for a person to be enrolled")
    enrol.add_argument(
        "certificates", nargs="+", type=Path, metavar="CERT", help="PEM or DER, one a person"
    )
    enrol.add_argument(
        "--name", action="append", metavar="NAME", help="verified name; one for each certificate"
    )
    enrol.add_argument("--verified", required=True, metavar="TEXT", help="how it was made sure")
    enrol.add_argument(
        "--renews", metavar="ID", help="a further certificate of this person, no new record"
    )
    add_signing(enrol)
    enrol.set_defaults(run=on_wiring(_enrol))

    approve = verbs.add_parser("approve", help="sign a request that waits; without --as, show it")
    approve.add_argument("request", metavar="ID", help="as requests shows it")
    add_signing(approve)
    approve.set_defaults(run=on_wiring(_approve))

    refuse = verbs.add_parser("refuse", help="end a request that waits")
    refuse.add_argument("request", metavar="ID", help="as requests shows it")
    add_reason(refuse)
    add_signing(refuse)
    refuse.set_defaults(run=on_wiring(run_refuse))

    for name, text in (
        ("suspend", message("the person's signature counts no more, at once")),
        ("resume", message("ask for a suspended person to count again")),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("person", metavar="ID|NAME", help="as list shows them")
        add_reason(verb)
        add_signing(verb)
        verb.set_defaults(run=on_wiring(_turn))

    bring = verbs.add_parser("bring", help="bring back a request that was signed elsewhere")
    bring.add_argument("request", type=Path, metavar="REQUEST", help="the file --write made")
    bring.add_argument(
        "signatures", nargs="+", type=Path, metavar="SIGNATURE", help="CMS, DER or PEM"
    )
    add_config(bring)
    add_json(bring)
    bring.set_defaults(run=on_wiring(_bring))


# -- looking -------------------------------------------------------------------------------------


def _list(args: Namespace, installation: Installation) -> int:
    from gateway.foureyes.desk import book_of

    output = output_of(args)
    book = book_of(installation)
    rows = []
    for person in book.ledger.persons.values():
        if output.as_json:
            output.record(_as_json(person))
            continue
        ends = max(cert.not_after for cert in person.certificates)
        state = output.text("in force") if person.active else output.text("suspended")
        rows.append([person.id, person.name, state, time_text(ends)])
    if not output.as_json:
        output.table(["id", "name", "state", "certificate until"], rows)
        if not rows:
            output.note(
                "Nobody is enrolled. The first persons enrol each other: sceau person enrol "
                "CERT CERT --name NAME --name NAME --verified TEXT --as CERT --key KEY"
            )
    return DONE


def _show(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock
    from gateway.cli.pki_facts import certificate_facts, facts_json, print_facts
    from gateway.foureyes.desk import book_of, revoked

    output = output_of(args)
    ledger = book_of(wiring).ledger
    person = _person(ledger, args.person)
    material = wiring.trust.current().material
    if output.as_json:
        certs = [facts_json(certificate_facts(cert)) for cert in person.certificates]
        output.record({**_as_json(person), "certificates": certs})
        return DONE
    output.line(f"{person.name} ({person.id})")
    output.say("  made sure of by: {verified}", verified=person.verified)
    names = ", ".join(ledger.persons[one].name for one in person.enrolled_by)
    output.say("  enrolled {time} by {names}", time=time_text(person.enrolled_at), names=names)
    if person.founder:
        output.say("  one of the first persons, whom nobody who was enrolled before approved")
    if person.suspended_at is not None:
        output.say(
            "  suspended {time}: {why}",
            time=time_text(person.suspended_at),
            why=person.suspended_why,
        )
    for cert in person.certificates:
        output.line("")
        if (reason := revoked(cert, material, clock.now())) is not None:
            output.line(f"  {output.problem(reason)}")
        print_facts(certificate_facts(cert), output)
    return DONE


def _requests(args: Namespace, installation: Installation) -> int:
    from gateway.foureyes.desk import book_of

    output = output_of(args)
    ledger = book_of(installation).ledger
    rows = []
    for asked in ledger.requests.values():
        if fate_of(asked) != "proposed" and not args.all:
            continue
        if output.as_json:
            output.record(request_json(ledger, asked))
            continue
        rows.append(
            [
                asked.id,
                output.text(ACTS[asked.request.act.value]),
                what(ledger, asked),
                output.text(FATES[fate_of(asked)]),
                ", ".join(signers(ledger, asked)),
                time_text(asked.request.expires),
            ]
        )
    if not output.as_json:
        output.table(["id", "request", "about", "state", "signed by", "until"], rows)
    return DONE


def what(ledger: Ledger, asked: Asked) -> str:
    """Whom or what a request is about, in a few words."""
    changes, subject = asked.request.changes, asked.request.subjects[0]
    if isinstance(name := changes.get("name"), str):
        return name
    if isinstance(listed := changes.get("persons"), list):
        return ", ".join(str(one["name"]) for one in listed if isinstance(one, dict))
    subject = str(changes.get("person", subject))
    if subject in ledger.persons:
        return ledger.persons[subject].name
    if subject in ledger.anchors:
        return ledger.anchors[subject].terms.name
    return subject[:16]


def _as_json(person: Person) -> dict[str, object]:
    return {
        "id": person.id,
        "name": person.name,
        "state": "active" if person.active else "suspended",
        "verified": person.verified,
        "founder": person.founder,
        "enrolled": time_json(person.enrolled_at),
        "enrolled_by": list(person.enrolled_by),
        "suspended": time_json(person.suspended_at) if person.suspended_at else None,
        "suspended_why": person.suspended_why or None,
        "certificates": [
            {"sha256": cert.sha256, "not_after": time_json(cert.not_after)}
            for cert in person.certificates
        ],
    }


# -- deciding ------------------------------------------------------------------------------------


def _enrol(args: Namespace, wiring: Wiring) -> int:
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.request import Act
    from pki.anchors import read_certificates

    ders = tuple(der for path in args.certificates for der in read_certificates(path))
    verified = " ".join(args.verified.split())
    ledger = book_of(wiring).ledger
    if args.renews is not None:
        person = _person(ledger, args.renews)
        if len(ders) != 1:
            raise UsageError("one certificate at a time")
        changes = {"person": person.id, "verified": verified}
        return ask(args, wiring, new_request(wiring, Act.RENEW, {**changes}, certificates=ders))
    names = [" ".join(name.split()) for name in args.name or ()]
    if len(names) != len(ders):
        raise UsageError("each certificate needs a name: as many --name as certificates")
    act = Act.ENROL if ledger.persons and len(ders) == 1 else Act.FOUND
    request = new_request(
        wiring,
        act,
        {"persons": [{"name": name, "verified": verified} for name in names]},
        certificates=ders,
    )
    return ask(args, wiring, request)


def _approve(args: Namespace, wiring: Wiring) -> int:
    from gateway.foureyes.desk import book_of

    ledger = book_of(wiring).ledger
    asked = find_request(ledger, args.request)
    if args.as_ is None and args.write is None:
        return show_request(args, ledger, asked)
    return add_approval(args, wiring, asked)


def show_request(args: Namespace, ledger: Ledger, asked: Asked) -> int:
    """What is asked for, before anybody signs it."""
    output = output_of(args)
    if output.as_json:
        output.record(request_json(ledger, asked))
    else:
        print_request(ledger, asked, output)
        _print_certificates(asked, output)
    return DONE


def _print_certificates(asked: Asked, output: Output) -> None:
    from gateway.cli.pki_facts import certificate_facts, print_facts
    from pki.certificate import ParsedCertificate

    for der in asked.request.certificates:
        output.line("")
        print_facts(certificate_facts(ParsedCertificate(der)), output)


def run_refuse(args: Namespace, wiring: Wiring) -> int:
    """End a request that waits."""
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.request import Act

    asked = find_request(book_of(wiring).ledger, args.request)
    request = new_request(
        wiring, Act.REFUSE, {"reason": reason_of(args)}, subjects=(asked.request.sha256,)
    )
    return ask(args, wiring, request)


def _turn(args: Namespace, wiring: Wiring) -> int:
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.request import Act

    person = _person(book_of(wiring).ledger, args.person)
    act = Act.SUSPEND_PERSON if args.verb == "suspend" else Act.RESUME_PERSON
    changes = {"basis": person.basis, "reason": reason_of(args)}
    return ask(args, wiring, new_request(wiring, act, {**changes}, subjects=(person.id,)))


def _bring(args: Namespace, wiring: Wiring) -> int:
    from gateway.foureyes.approval import read_approval
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.request import read_request

    output = output_of(args)
    request = _brought(args.request, read_request, output)

    def approval(octets: bytes) -> bytes:
        read_approval(octets)
        return octets

    approvals = tuple(_brought(path, approval, output) for path in args.signatures)
    if request.sha256 in book_of(wiring).ledger.requests:
        return enter_and_tell(args, wiring, about=request.sha256, approvals=approvals)
    return enter_and_tell(args, wiring, request=request.octets, approvals=approvals)


def _brought(path: Path, read: Callable[[bytes], T], output: Output) -> T:
    """What is in a file. Raises SceauError: another file than this was meant, and it is named."""
    from gateway.foureyes.errors import ActRefused
    from pki.bounded_file import read_bounded

    try:
        return read(read_bounded(path))
    except ActRefused as error:
        raise SceauError(
            "{file}: {reason}", facts={"file": str(path), "reason": output.problem(error.problem)}
        ) from None


def find_request(ledger: Ledger, text: str) -> Asked:
    """Raises NotFound, UsageError."""
    things = ((Named(sha256), asked) for sha256, asked in ledger.requests.items())
    return pick(text, things, NO_REQUEST)


def _person(ledger: Ledger, text: str) -> Person:
    things = ((Named(one.id, one.name), one) for one in ledger.persons.values())
    return pick(text, things, _NO_PERSON)
