"""How a person signs a decision on the command line, or elsewhere, and what is then printed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gateway.cli.account import operator
from gateway.cli.exits import DONE
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.usage import UsageError
from gateway.errors import NotFound, SceauError
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.foureyes.ledger import Ledger
    from gateway.foureyes.records import Asked
    from gateway.foureyes.request import Act, Request, Value
    from gateway.installation import Installation
    from gateway.wiring import Wiring

T = TypeVar("T")

ACTS = {
    "person.found": message("enrol the first persons"),
    "person.enrol": message("enrol a person"),
    "person.renew": message("give a person a further certificate"),
    "person.suspend": message("suspend a person"),
    "person.resume": message("let a suspended person decide again"),
    "anchor.trust": message("trust an anchor"),
    "anchor.suspend": message("suspend a trust anchor"),
    "anchor.resume": message("trust a suspended anchor again"),
    "request.refuse": message("refuse a request"),
}
FATES = {
    "proposed": message("waits"),
    "done": message("done"),
    "refused": message("refused"),
    "expired": message("too old"),
}
_SHORTEST = 6  # digits by which a record may be named


def add_signing(verb: ArgumentParser) -> None:
    """`--as CERT --key KEY`, or `--write FILE` to sign elsewhere."""
    verb.add_argument(
        "--as", dest="as_", type=Path, metavar="CERT", help="your certificate: who decides"
    )
    verb.add_argument("--key", type=Path, metavar="FILE", help="your key: PEM, DER or PKCS#12")
    verb.add_argument(
        "--password-file", type=Path, metavar="FILE", help="password of the key, one line"
    )
    verb.add_argument(
        "--write",
        type=Path,
        metavar="FILE",
        help="only write the request to a file, to be signed elsewhere and brought back",
    )
    add_config(verb)
    add_json(verb)


def add_reason(verb: ArgumentParser) -> None:
    """`--reason`, which is signed too."""
    verb.add_argument("--reason", required=True, metavar="TEXT", help="why, in words; it is logged")


def reason_of(args: Namespace) -> str:
    """What `--reason` says, on one line. Raises UsageError."""
    reason = " ".join(args.reason.split())
    if not reason:
        raise UsageError("{name} needs a value", facts={"name": "--reason"})
    return reason


def new_request(
    installation: Installation,
    act: Act,
    changes: dict[str, Value],
    *,
    certificates: tuple[bytes, ...] = (),
    subjects: tuple[str, ...] = (),
) -> Request:
    """A request of this installation, made now."""
    from gateway import clock
    from gateway.foureyes.request import make_request

    return make_request(
        act,
        origin=installation.config.archive.origin,
        org=installation.config.gateway.organisation,
        moment=clock.now(),
        changes=changes,
        certificates=certificates,
        subjects=subjects,
    )


def ask(args: Namespace, wiring: Wiring, request: Request) -> int:
    """Make a new request, signed by whoever `--as` names; or write it to a file."""
    if args.write is not None:
        return _write(args, request)
    signed = _signature(args, request)
    return enter_and_tell(args, wiring, request=request.octets, approvals=(signed,))


def add_approval(args: Namespace, wiring: Wiring, asked: Asked) -> int:
    """Sign a request that waits; or write it to a file."""
    if args.write is not None:
        return _write(args, asked.request)
    signed = _signature(args, asked.request)
    return enter_and_tell(args, wiring, about=asked.request.sha256, approvals=(signed,))


def enter_and_tell(
    args: Namespace,
    wiring: Wiring,
    *,
    approvals: tuple[bytes, ...],
    request: bytes = b"",
    about: str = "",
) -> int:
    """Enter what was signed, and say what came of it. Raises ActRefused, BookBroken."""
    from gateway.foureyes.desk import enter, event_now

    event = event_now(request=request, about=about, approvals=approvals)
    ledger, asked = enter(wiring, event, by=operator(), material=wiring.trust.current().material)
    output = output_of(args)
    if output.as_json:
        output.record(request_json(ledger, asked))
        return DONE
    names = ", ".join(signers(ledger, asked))
    if asked.fate.value == "done":
        output.say("{id}: done, signed by {names}", id=asked.id, names=names)
        return DONE
    output.say(
        "{id}: {act}: signed by {names}; it waits for another person",
        id=asked.id,
        act=output.text(ACTS[asked.request.act.value]),
        names=names,
    )
    return DONE


def signers(ledger: Ledger, asked: Asked) -> list[str]:
    """Names of those who signed, in order."""
    from gateway.foureyes.request import Act

    names = {one.id: one.name for one in ledger.persons.values()}
    if asked.request.act is Act.FOUND:
        names |= dict(_founders(asked.request))
    return [names.get(one.person, one.person) for one in asked.approvals]


def _founders(request: Request) -> Iterator[tuple[str, str]]:
    listed = request.changes["persons"]
    assert isinstance(listed, list)
    for sha256, one in zip(request.subjects, listed, strict=True):
        assert isinstance(one, dict)
        yield sha256[:16], str(one["name"])


def fate_of(asked: Asked) -> str:
    """What became of a request until now."""
    from gateway import clock

    if asked.fate.value == "proposed" and clock.now() > asked.request.expires:
        return "expired"
    return asked.fate.value


def request_json(ledger: Ledger, asked: Asked) -> dict[str, object]:
    """A request as every command prints it for programs."""
    request = asked.request
    return {
        "id": asked.id,
        "sha256": request.sha256,
        "act": request.act.value,
        "state": fate_of(asked),
        "subjects": list(request.subjects),
        "changes": request.changes,
        "made": time_json(request.time),
        "expires": time_json(request.expires),
        "approvals": [
            {
                "person": one.person,
                "name": name,
                "certificate_sha256": one.certificate_sha256,
                "time": time_json(one.time),
            }
            for one, name in zip(asked.approvals, signers(ledger, asked), strict=True)
        ],
        "ended": None if asked.ended_at is None else time_json(asked.ended_at),
        "why": asked.why or None,
    }


def print_request(ledger: Ledger, asked: Asked, output: Output) -> None:
    """What is asked for, every word of it: what a person reads before signing."""
    request = asked.request
    output.line(f"{asked.id} {output.text(ACTS[request.act.value])}")
    output.line(f"  SHA-256 {request.sha256}")
    output.line(f"  {output.text(FATES[fate_of(asked)])} {asked.why}".rstrip())
    for approval, name in zip(asked.approvals, signers(ledger, asked), strict=True):
        output.say("  signed by {name}, {time}", name=name, time=time_text(approval.time))
    output.say("  to be signed until {time}", time=time_text(request.expires))
    for subject in request.subjects:
        output.line(f"  {subject}")
    for line in _plain(request.changes):
        output.line(f"  {line}")


def _plain(changes: object, before: str = "") -> Iterator[str]:
    if isinstance(changes, dict):
        for name, value in changes.items():
            yield from _plain(value, f"{before}{name} ")
    elif isinstance(changes, list):
        if not changes:
            yield f"{before}-"
        for value in changes:
            yield from _plain(value, before)
    else:
        yield f"{before}{'-' if changes == '' else changes}"


@dataclass(frozen=True, slots=True)
class Named:
    """Something that a person may name: by its id, the beginning of it, or another name."""

    id: str
    name: str = ""


def pick(text: str, things: Iterable[tuple[Named, T]], missing: str) -> T:
    """The one thing that is meant. missing: a template with the place `name`.

    Raises NotFound, UsageError where several could be meant.
    """
    wanted = text.lower().replace(":", "")
    known = list(things)
    found = [thing for named, thing in known if text == named.name or wanted == named.id]
    if not found and len(wanted) >= _SHORTEST:
        found = [thing for named, thing in known if named.id.startswith(wanted)]
    if not found:
        raise NotFound(missing, facts={"name": text})
    if len(found) > 1:
        ids = [named.id for named, thing in known if any(thing is one for one in found)]
        raise UsageError(
            "{name} names several: {ids}; name one of them by its id",
            facts={"name": text, "ids": ", ".join(one[:16] for one in ids)},
        )
    return found[0]


def _signature(args: Namespace, request: Request) -> bytes:
    from gateway.cli.files import read_password
    from gateway.foureyes.approval import approve
    from pki.keys import load_signer

    if args.as_ is None:
        raise UsageError("who decides? name your certificate by --as, or --write a file to sign it")
    key = args.as_ if args.key is None else args.key
    named = None if args.key is None else args.as_
    return approve(request.octets, load_signer(key, named, read_password(args.password_file)))


def _write(args: Namespace, request: Request) -> int:
    if args.as_ is not None:
        raise UsageError(
            "{name} and {other} exclude each other", facts={"name": "--as", "other": "--write"}
        )
    output = output_of(args)
    try:
        with args.write.open("xb") as file:
            file.write(request.octets)
    except FileExistsError:
        raise SceauError(
            "{file} exists already and is not overwritten", facts={"file": str(args.write)}
        ) from None
    if output.as_json:
        output.record(
            {"id": request.sha256[:16], "sha256": request.sha256, "file": str(args.write)}
        )
        return DONE
    output.say("{file}: request {sha256}", file=str(args.write), sha256=request.sha256)
    output.note(
        "Sign it (openssl cms -sign -binary -in {file} -signer CERT -inkey KEY -outform DER -out "
        "SIGNATURE), then bring it back: sceau person bring {file} SIGNATURE",
        file=str(args.write),
    )
    return DONE
