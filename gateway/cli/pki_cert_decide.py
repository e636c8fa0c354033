"""`sceau pki cert suggestions`, `accept`, `dismiss`: certificates that wait for a person."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.usage import UsageError
from gateway.errors import NotFound

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import sqlalchemy as sa

    from gateway.wiring import Wiring
    from pki.suggestions import Suggestion

    Decide = Callable[..., bool]

# Reasons for which mail is held until a key is accepted.
_WAITING = ("identity.key-changed", "identity.issuer-changed")


def add_decide(verbs: argparse._SubParsersAction[ArgumentParser]) -> None:
    """The three verbs."""
    listing = verbs.add_parser(
        "suggestions", help="certificates of signed mail, and other keys, that wait for a person"
    )
    listing.add_argument(
        "address", nargs="?", default="", metavar="ADDRESS", help="only for this mail address"
    )
    listing.set_defaults(run=on_wiring(_suggestions))
    accept = verbs.add_parser("accept", help="use a certificate that waits, and free held mail")
    accept.set_defaults(run=on_wiring(_accept))
    dismiss = verbs.add_parser("dismiss", help="never use a certificate that waits")
    dismiss.set_defaults(run=on_wiring(_dismiss))
    for verb in (accept, dismiss):
        verb.add_argument(
            "what", nargs="?", default="", metavar="FINGERPRINT|ADDRESS", help="which one"
        )
        verb.add_argument("--domain", default="", help="all that wait for addresses of this domain")
        verb.add_argument("--reason", default="", metavar="TEXT", help="why; it is logged")
    for verb in (listing, accept, dismiss):
        add_config(verb)
        add_json(verb)


def _suggestions(args: Namespace, wiring: Wiring) -> int:
    from pki.certificate import ParsedCertificate
    from pki.suggestions import waiting

    output = output_of(args)
    with wiring.database.read() as conn:
        found = waiting(conn, address=args.address)
    rows = []
    for each in found:
        cert = ParsedCertificate(each.der)
        if output.as_json:
            output.record(
                {
                    **_as_json(each),
                    "subject": cert.subject_text,
                    "issuer": cert.issuer_text,
                    "not_after": time_json(cert.not_after),
                    "seen": time_json(each.seen_at),
                    "source": each.source,
                }
            )
            continue
        rows.append(
            [
                each.address,
                each.code,
                time_text(each.seen_at),
                each.source,
                cert.issuer_text,
                each.sha256,
            ]
        )
    if not output.as_json:
        output.table(
            ["address", "because", "seen", "from", "issuer", "fingerprint (SHA-256)"], rows
        )
    return DONE


def _as_json(each: Suggestion) -> dict[str, object]:
    return {
        "address": each.address,
        "sha256": each.sha256,
        "kind": each.kind.value,
        "code": each.code,
    }


def _accept(args: Namespace, wiring: Wiring) -> int:
    from pki.suggestions import accept

    output = output_of(args)
    decided = _decide(args, wiring, accepted=True, act=accept)
    released = _release({each.address for each in decided}, wiring, args.reason)
    for each in decided:
        if output.as_json:
            output.record({**_as_json(each), "released": released.get(each.address, [])})
            continue
        output.say(
            "The certificate {sha256} is used for {address} from now on.",
            sha256=each.sha256,
            address=each.address,
        )
    if released and not output.as_json:
        ids = sorted({one for several in released.values() for one in several})
        output.say("Held mail is decided anew: {ids}", ids=" ".join(ids))
    return DONE


def _dismiss(args: Namespace, wiring: Wiring) -> int:
    from pki.suggestions import dismiss

    output = output_of(args)
    for each in _decide(args, wiring, accepted=False, act=dismiss):
        _said_no(each, output)
    return DONE


def _said_no(each: Suggestion, output: Output) -> None:
    if output.as_json:
        output.record(_as_json(each))
    else:
        output.say(
            "The certificate {sha256} is never used for {address}, and nobody is asked again.",
            sha256=each.sha256,
            address=each.address,
        )


def _decide(args: Namespace, wiring: Wiring, *, accepted: bool, act: Decide) -> list[Suggestion]:
    """Decided and logged in one transaction; raises NotFound where nothing waits."""
    from gateway import clock
    from gateway.key_changes import decision_draft

    by, org = operator(), wiring.config.gateway.organisation
    decided = []
    with wiring.database.write() as conn:
        for each in _meant(args, conn):
            if act(conn, each, by=by, moment=clock.now()):
                decided.append(each)
                draft = decision_draft(each, accepted=accepted, by=by, reason=args.reason, org=org)
                wiring.append_with(conn, [draft])
    return decided


def _meant(args: Namespace, conn: sa.Connection) -> list[Suggestion]:
    from gateway.cli.pki_input import fingerprint
    from pki.addresses import canonical_domain
    from pki.suggestions import waiting

    if bool(args.what) == bool(args.domain):
        raise UsageError("name a fingerprint, an address, or a domain by --domain")
    if args.domain:
        found = waiting(conn, domain=canonical_domain(args.domain))
    elif (sha256 := fingerprint(args.what)) is not None:
        found = waiting(conn, sha256=sha256)
    else:
        found = waiting(conn, address=args.what)
        if len(found) > 1:
            raise UsageError(
                "several certificates wait for {address}: name the fingerprint of one",
                facts={"address": args.what},
            )
    if not found:
        raise NotFound(
            "no certificate of {what} waits for a person",
            facts={"what": args.what or args.domain},
        )
    return found


def _release(addresses: set[str], wiring: Wiring, reason: str) -> dict[str, list[str]]:
    """Mail that was held for want of this certificate alone is decided anew."""
    from gateway.cli.queue_acts import perform
    from gateway.queue import view
    from gateway.queue.states import State
    from gateway.queue.store.take import Busy

    with wiring.database.read() as conn:
        held = view.lines(conn, states=(State.HELD,))
    found: dict[str, list[str]] = {}
    for line in held:
        why = line.reason
        if line.recipient in addresses and why is not None and why.code in _WAITING:
            found.setdefault(line.recipient, []).append(line.archive_id)
    for archive_id in {one for several in found.values() for one in several}:
        try:
            perform(wiring, "release", archive_id, by=operator(), reason=reason)
        except (Busy, NotFound):
            continue  # it is being worked on, or was released meanwhile
    return found
