"""`sceau pki anchor`: whom the gateway trusts, and for what; looking, while others decide."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.pki_anchor_decide import add_deciding
from gateway.cli.pki_anchor_import import add_import
from gateway.cli.pki_anchor_questions import add_questions
from gateway.errors import NotFound
from gateway.i18n import message

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.foureyes.book import Book
    from gateway.foureyes.records import Asked
    from gateway.wiring import Wiring
    from pki.anchors import Anchor
    from pki.certificate import ParsedCertificate

STATES = {
    "configured": message("in the configuration"),
    "proposed": message("proposed"),
    "active": message("in force"),
    "suspended": message("suspended"),
    "superseded": message("superseded"),
    "refused": message("refused"),
    "expired": message("too old"),
}
_NO_ANCHOR = message("there is no trust anchor {name}; there are: {names}")
_PAST = frozenset({"superseded", "refused", "expired"})


@dataclass(frozen=True, slots=True)
class Shown:
    """An anchor as it is listed. id: of its record or proposal, "" for one of the configuration.

    approved_by: ids of persons. asked: the proposal while it is one.
    """

    anchor: Anchor
    certificate: ParsedCertificate
    state: str
    id: str = ""
    approved_by: tuple[str, ...] = ()
    why: str = ""
    asked: Asked | None = None


def add_anchor(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki anchor`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the trust anchors, and those that are proposed")
    listing.add_argument("--all", action="store_true", help="also superseded and refused ones")
    listing.set_defaults(run=on_wiring(_list))
    show = verbs.add_parser("show", help="one trust anchor with its certificate")
    show.add_argument("name", metavar="NAME|ID|FINGERPRINT", help="as list shows them")
    show.set_defaults(run=on_wiring(_show))
    for verb in (listing, show):
        add_config(verb)
        add_json(verb)
    add_deciding(verbs)
    add_import(verbs)
    add_questions(verbs)


def _list(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock

    output = output_of(args)
    now = clock.now()
    rows = []
    for each in _anchors(wiring):
        if each.state in _PAST and not args.all:
            continue
        if output.as_json:
            output.record(_as_json(each))
            continue
        anchor, cert = each.anchor, each.certificate
        rows.append(
            [
                anchor.name,
                output.text(STATES[each.state]),
                each.id or "-",
                _purposes(anchor, output),
                _domains(anchor, output),
                _revocation(anchor, output),
                _until(anchor, cert, now, output),
                cert.subject_text,
            ]
        )
    if not output.as_json:
        output.table(
            ["name", "state", "id", "trusted to", "domains", "CRLs", "valid until", "subject"], rows
        )
        if not rows:
            output.note("There is no trust anchor: no certificate can be used.")
    return DONE


def _show(args: Namespace, wiring: Wiring) -> int:
    from gateway.cli.deciding import Named, pick
    from gateway.cli.pki_facts import certificate_facts, print_facts
    from gateway.cli.pki_input import fingerprint

    output = output_of(args)
    sha256 = fingerprint(args.name)
    anchors = list(_anchors(wiring))
    wanted = args.name.lower()
    found = [
        each
        for each in anchors
        if args.name == each.anchor.name
        or sha256 == each.anchor.sha256
        or (len(wanted) >= 6 and each.id.startswith(wanted))
    ]
    if not found:
        names = ", ".join(dict.fromkeys(each.anchor.name for each in anchors))
        raise NotFound(_NO_ANCHOR, facts={"name": args.name, "names": names or "-"})
    # The record that counts, else the newest: of a name there may be past ones, and proposals.
    each = next((one for one in found if one.state not in _PAST), found[-1])
    others = [one for one in found if one is not each and one.state not in _PAST]
    if others and each.asked is not None:
        # A proposal is read before it is signed: not another one than was meant.
        pick(args.name, ((Named(one.id, args.name), one) for one in (each, *others)), _NO_ANCHOR)
    if output.as_json:
        output.record(_as_json(each))
        return DONE
    anchor = each.anchor
    output.line(f"{anchor.name} {each.id}".rstrip())
    output.line(f"  {output.text(STATES[each.state])} {each.why}".rstrip())
    output.say("  trusted to {purposes}", purposes=_purposes(anchor, output))
    output.say("  for {domains}", domains=_domains(anchor, output))
    if anchor.policies:
        output.say("  for the policies {policies}", policies=", ".join(sorted(anchor.policies)))
    if anchor.trusted_from is not None:
        output.say("  trusted from {time}", time=time_text(anchor.trusted_from))
    if anchor.trusted_until is not None:
        output.say("  trusted until {time}", time=time_text(anchor.trusted_until))
    output.say("  revocation learned from: {sources}", sources=anchor.sources.value)
    output.say("  when a CRL is too old: {rule}", rule=_revocation(anchor, output))
    if anchor.comment:
        output.line(f"  {anchor.comment}")
    _print_people(each, wiring, output)
    for one in others:
        state = output.text(STATES[one.state])
        output.say("  also called so: {id} ({state})", id=one.id, state=state)
    output.line("")
    print_facts(certificate_facts(each.certificate), output)
    return DONE


def _print_people(each: Shown, wiring: Wiring, output: Output) -> None:
    from gateway.cli.deciding import signers
    from gateway.cli.pki_anchor_effect import effect_of_request, print_effect
    from gateway.foureyes.desk import book_of

    ledger = book_of(wiring).ledger
    if each.approved_by:
        names = ", ".join(ledger.persons[one].name for one in each.approved_by)
        output.say("  approved by {names}", names=names)
    if each.asked is not None:
        output.say("  signed by {name}", name=", ".join(signers(ledger, each.asked)))
        if each.state == "proposed":
            print_effect(effect_of_request(wiring, ledger, each.asked.request), output)


def _anchors(wiring: Wiring) -> Iterator[Shown]:
    from gateway.foureyes.desk import book_of
    from pki.certificate import ParsedCertificate

    for anchor in wiring.anchors:
        yield Shown(anchor, ParsedCertificate(anchor.certificate), "configured")
    yield from _decided(book_of(wiring))


def _decided(book: Book) -> Iterator[Shown]:
    from gateway.cli.deciding import fate_of
    from gateway.foureyes.request import Act
    from gateway.foureyes.terms import read_terms
    from pki.certificate import ParsedCertificate

    for record in book.ledger.anchors.values():
        yield Shown(
            record.anchor,
            record.certificate,
            record.state.value,
            record.id,
            record.approved_by,
            record.why,
        )
    for asked in book.ledger.requests.values():
        request = asked.request
        if request.act is Act.TRUST and (fate := fate_of(asked)) != "done":
            cert = ParsedCertificate(request.certificates[0])
            anchor = read_terms(request.changes).anchor(cert.der, cert.sha256)
            yield Shown(anchor, cert, fate, asked.id, why=asked.why, asked=asked)


def _as_json(each: Shown) -> dict[str, object]:
    from gateway.cli.pki_facts import certificate_facts, facts_json

    anchor = each.anchor
    return {
        "name": anchor.name,
        "id": each.id or None,
        "state": each.state,
        "approved_by": list(each.approved_by),
        "signed_by": [] if each.asked is None else [one.person for one in each.asked.approvals],
        "why": each.why or None,
        "purposes": sorted(purpose.value for purpose in anchor.purposes),
        "domains": list(anchor.domains) or ["*"],
        "policies": sorted(anchor.policies),
        "trusted_from": time_json(anchor.trusted_from) if anchor.trusted_from else None,
        "trusted_until": time_json(anchor.trusted_until) if anchor.trusted_until else None,
        "grace_seconds": int(anchor.grace.total_seconds()),
        "revocation_sources": anchor.sources.value,
        "comment": anchor.comment,
        **facts_json(certificate_facts(each.certificate)),
    }


def _until(anchor: Anchor, cert: ParsedCertificate, now: datetime, output: Output) -> str:
    """The end of certificate or trust, whichever comes first."""
    from gateway.cli.pki_facts import validity_note

    trusted = anchor.trusted_until
    if trusted is None or trusted >= cert.not_after:
        return f"{time_text(cert.not_after)} {validity_note(cert, now, output)}".rstrip()
    return f"{time_text(trusted)} {output.text('(expired)') if now > trusted else ''}".rstrip()


def _purposes(anchor: Anchor, output: Output) -> str:
    names = {"encrypt": output.text("encrypt"), "sign": output.text("sign")}
    return ", ".join(sorted(names[purpose.value] for purpose in anchor.purposes))


def _domains(anchor: Anchor, output: Output) -> str:
    return ", ".join(anchor.domains) or output.text("all domains")


def _revocation(anchor: Anchor, output: Output) -> str:
    if not anchor.grace:
        return output.text("hard fail")
    return output.text("grace of {hours} h", hours=f"{anchor.grace.total_seconds() / 3600:g}")
