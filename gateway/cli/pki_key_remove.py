"""`sceau pki key remove`: says what follows, and does it only with `--yes`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_text
from gateway.cli.pki_key_consent import (
    add_ground,
    add_key,
    consent_json,
    ground_of,
    live_consent,
    the_one,
)

if TYPE_CHECKING:
    from gateway.installation import Installation
    from pki.persons import Consent, Removal


def add_remove(verb: ArgumentParser) -> None:
    """Options of `sceau pki key remove`."""
    add_key(verb)
    verb.add_argument(
        "--yes", action="store_true", help="do it; otherwise only what would follow is said"
    )
    add_ground(verb)
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=on_installation(_remove))


def _remove(args: Namespace, installation: Installation) -> int:
    from gateway import clock, key_removal
    from gateway.cli.pki_input import fingerprint_of
    from pki.addresses import canonical
    from pki.persons import list_consents, list_keys, plan_removal

    output = output_of(args)
    address = canonical(args.address)
    wanted = "" if args.certificate is None else fingerprint_of(args.certificate)
    ground = ground_of(args)
    config, now = installation.config, clock.now()
    database = installation.database
    done = None
    with database.write() if args.yes else database.read() as conn:
        keys = list_keys(conn, address, certificate_sha256=wanted)
        removal = plan_removal(conn, the_one(keys, address, wanted))
        consents = list_consents(conn, address)
        waiting = key_removal.unsigned_mail(conn, address)
        if args.yes:
            done = key_removal.remove(
                conn, removal.key, by=operator(), moment=now, ground=ground,
                org=config.gateway.organisation,
            )  # fmt: skip
            installation.append_with(conn, done.drafts)
    ended = () if done is None else done.ended
    if output.as_json:
        output.record(
            {
                "address": address,
                "certificate_sha256": removal.key.certificate_sha256,
                "removed": done is not None,
                "id": None if done is None else done.entry_id,
                "consents": [consent_json(one) for one in ended],
                "signs_instead": _successor(removal, consents) or None,
                "stays_for": list(removal.others),
                "unsigned_mail": waiting,
            }
        )
        return NO if done is None else DONE
    _say(removal, consents, waiting, output)
    if done is None:
        output.note("Nothing was changed. With --yes the key is removed.")
        return NO
    for consent in ended:
        output.say(
            "The consent of {person} is withdrawn: {id}.",
            person=consent.person,
            id=consent.entry_id or "-",
        )
    output.say("The key is removed: sceau archive history {id}", id=done.entry_id)
    return DONE


def _successor(removal: Removal, consents: list[Consent]) -> str:
    """The certificate whose key signs then, as far as consents go; "" where there is none."""
    remaining = [key.certificate_sha256 for key in removal.remaining]
    return next((one for one in reversed(remaining) if live_consent(consents, one)), "")


def _say(removal: Removal, consents: list[Consent], waiting: int, output: Output) -> None:
    """What follows, whether it is done by now or not."""
    from pki.certificate import ParsedCertificate

    key = removal.key
    cert = ParsedCertificate(key.certificate)
    output.say(
        "The key of {address} for the certificate {sha256} ({subject}, until {date}):",
        address=key.address,
        sha256=key.certificate_sha256,
        subject=cert.subject_text,
        date=time_text(key.not_after),
    )
    output.say("- It signs nothing more. Signatures that were made with it stay valid.")
    if successor := _successor(removal, consents):
        output.say(
            "- Another key of {address} has a consent and signs from now on: {sha256}",
            address=key.address,
            sha256=successor,
        )
    else:
        output.say(
            "- No other key of {address} has a consent: the seal signs where a rule says person; "
            "where it says person-only the mail waits, and is given back when it expires.",
            address=key.address,
        )
    usage = cert.key_usage
    if usage is None or usage.key_encipherment or usage.key_agreement:
        output.say(
            "- The certificate is for encryption too: mail encrypted to it can be decrypted only "
            "where there is another copy of the key. Sceau gives none back."
        )
    else:
        output.say("- Sceau gives no copy of it back: to sign with it again, import its PKCS#12.")
    if removal.others:
        output.say(
            "- The same key stays stored for {addresses}.", addresses=", ".join(removal.others)
        )
    if waiting:
        output.say(
            "- Mail of {address} that is not sealed yet is decided without it, recipients: {count}",
            address=key.address,
            count=str(waiting),
        )
