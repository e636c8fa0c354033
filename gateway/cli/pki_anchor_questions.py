"""`sceau pki anchor questions` and `dismiss`: authorities that were met and that nobody knows."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.account import operator
from gateway.cli.deciding import add_reason, reason_of
from gateway.cli.exits import DONE
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.errors import NotFound, SceauError
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.installation import Installation
    from pki.questions import Question

_NONE = message("there is no open question {number}")


def add_questions(verbs: Any) -> None:
    """Both verbs."""
    listing = verbs.add_parser("questions", help="authorities that were met and are not known")
    listing.add_argument("number", nargs="?", metavar="NUMBER", help="one, with its evidence")
    listing.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the authority's certificate of this question, to propose it",
    )
    listing.add_argument("--all", action="store_true", help="also dismissed ones")
    listing.set_defaults(run=on_installation(_questions))
    dismiss = verbs.add_parser("dismiss", help="do not ask about this authority again")
    dismiss.add_argument("number", metavar="NUMBER", help="as questions shows it")
    add_reason(dismiss)
    dismiss.set_defaults(run=on_installation(_dismiss))
    for verb in (listing, dismiss):
        add_config(verb)
        add_json(verb)


def _questions(args: Namespace, installation: Installation) -> int:
    from pki.questions import questions

    output = output_of(args)
    with installation.database.read() as conn:
        found = questions(conn, dismissed=args.all or args.number is not None)
    if args.number is not None:
        return _one(args, next((one for one in found if str(one.id) == args.number), None), output)
    rows = []
    for one in found:
        if output.as_json:
            output.record(_as_json(one))
            continue
        rows.append(
            [
                str(one.id),
                str(one.times),
                time_text(one.first_at),
                time_text(one.last_at),
                one.address,
                one.name,
            ]
        )
    if not output.as_json:
        output.table(["number", "times", "first", "last", "for", "authority"], rows)
    return DONE


def _one(args: Namespace, question: Question | None, output: Output) -> int:
    from gateway.cli.pki_facts import certificate_facts, print_facts
    from pki.certificate import ParsedCertificate

    if question is None:
        raise NotFound(_NONE, facts={"number": args.number})
    if args.out is not None:
        _write(args.out, question)
    if output.as_json:
        output.record(_as_json(question))
        return DONE
    output.line(question.name)
    output.say(
        "  met {times} times, from {first} to {last}",
        times=str(question.times),
        first=time_text(question.first_at),
        last=time_text(question.last_at),
    )
    output.say("  for {address}, in {source}", address=question.address, source=question.source)
    if question.dismissed_at is not None:
        output.say(
            "  dismissed by {by}: {why}", by=question.dismissed_by, why=question.dismissed_why
        )
    for der in (question.certificate, *question.above):
        output.line("")
        print_facts(certificate_facts(ParsedCertificate(der)), output)
    if args.out is not None:
        output.note(
            "{file} holds what came along, which proves nothing: have the fingerprint from the "
            "authority itself, then sceau pki anchor propose {file} --fingerprint SHA256",
            file=str(args.out),
        )
    return DONE


def _write(path: Path, question: Question) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    if not question.above:
        raise SceauError(
            "the certificate of {name} did not come along: ask the authority for it",
            facts={"name": question.name},
        )
    cert = x509.load_der_x509_certificate(question.above[-1])
    with path.open("xb") as file:
        file.write(cert.public_bytes(Encoding.PEM))


def _dismiss(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from pki.questions import dismiss

    number = int(args.number) if args.number.isascii() and args.number.isdigit() else 0
    why = reason_of(args)
    with installation.database.write() as conn:
        done = dismiss(conn, number, by=operator(), why=why, moment=clock.now())
    if not done:
        raise NotFound(_NONE, facts={"number": args.number})
    output = output_of(args)
    if output.as_json:
        output.record({"number": number, "state": "dismissed", "why": why})
    else:
        output.say("Question {number} is dismissed.", number=str(number))
    return DONE


def _as_json(one: Question) -> dict[str, object]:
    from hashlib import sha256

    return {
        "number": one.id,
        "authority": one.name,
        "place": one.place.value,
        "source": one.source,
        "address": one.address,
        "certificate_sha256": sha256(one.certificate).hexdigest(),
        "above_sha256": [sha256(der).hexdigest() for der in one.above],
        "first": time_json(one.first_at),
        "last": time_json(one.last_at),
        "times": one.times,
        "state": "open" if one.dismissed_at is None else "dismissed",
        "dismissed": time_json(one.dismissed_at) if one.dismissed_at else None,
        "dismissed_by": one.dismissed_by or None,
        "why": one.dismissed_why or None,
    }
