"""`sceau pki key consent` and `withdraw`: records, each with its entry in the archive's log."""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import output_of, time_json, time_text
from gateway.cli.usage import UsageError
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.installation import Installation
    from pki.persons import Consent, Ground, PersonKey


def add_ground(verb: ArgumentParser) -> None:
    """`--basis` and `--form`, read by `ground_of`."""
    verb.add_argument("--basis", metavar="TEXT", help="on what ground, in words; it is logged")
    verb.add_argument(
        "--form",
        type=Path,
        metavar="FILE",
        help="the signed form: its SHA-256 is logged, the file stays with you",
    )


def add_key(verb: ArgumentParser) -> None:
    """Whose key, and which of several; `the_one` chooses by it."""
    verb.add_argument("address", metavar="ADDRESS", help="the person's mail address")
    verb.add_argument(
        "--certificate",
        metavar="SHA256",
        help="which certificate's key; needed where several are stored",
    )


def ground_of(args: Namespace) -> Ground:
    """What `--basis` and `--form` say. Raises OSError, UsageError."""
    from pki.persons import Ground

    basis = " ".join((args.basis or "").split())
    if args.basis is not None and not basis:
        raise UsageError("{name} needs a value", facts={"name": "--basis"})
    if args.form is None:
        return Ground(basis)
    with args.form.open("rb") as file:
        return Ground(basis, hashlib.file_digest(file, "sha256").hexdigest())


def person_of(text: str, option: str) -> str:
    """A person's name as it is recorded. Raises UsageError."""
    name = " ".join(text.split())
    if not name:
        raise UsageError("{name} needs a value", facts={"name": option})
    return name


def add_consent(verb: ArgumentParser) -> None:
    """Options of `sceau pki key consent`."""
    add_key(verb)
    verb.add_argument("--person", required=True, metavar="NAME", help="who agrees")
    add_ground(verb)
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=on_installation(_consent))


def add_withdraw(verb: ArgumentParser) -> None:
    """Options of `sceau pki key withdraw`."""
    verb.add_argument("address", metavar="ADDRESS", help="the person's mail address")
    verb.add_argument(
        "--certificate", metavar="SHA256", help="only the consent for this certificate's key"
    )
    add_ground(verb)
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=on_installation(_withdraw))


def _consent(args: Namespace, installation: Installation) -> int:
    from gateway import clock, consents
    from gateway.cli.pki_input import fingerprint_of
    from pki.persons import list_consents, list_keys

    output = output_of(args)
    person = person_of(args.person, "--person")
    ground = ground_of(args)
    wanted = "" if args.certificate is None else fingerprint_of(args.certificate)
    config, now = installation.config, clock.now()
    with installation.database.write() as conn:
        keys = list_keys(conn, args.address, certificate_sha256=wanted)
        key = the_one(keys, args.address, wanted)
        live = live_consent(list_consents(conn, key.address), key.certificate_sha256)
        if live is None:
            given, draft = consents.give(
                conn, address=key.address, certificate_sha256=key.certificate_sha256,
                person=person, by=operator(), moment=now, ground=ground,
                org=config.gateway.organisation,
            )  # fmt: skip
            installation.append_with(conn, [draft])
    if live is not None:
        output.note(
            "{person} agreed already on {time}; nothing was changed. "
            "To record another consent, withdraw this one: sceau pki key withdraw {address}",
            person=live.person,
            time=time_text(live.given_at),
            address=live.address,
        )
        return NO
    if output.as_json:
        output.record(
            {
                "address": given.address,
                "certificate_sha256": given.certificate_sha256,
                **consent_json(given),
            }
        )
    else:
        output.say(
            "The consent of {person} is recorded: {id}.",
            person=person,
            id=given.entry_id or "",
        )
    return DONE


def _withdraw(args: Namespace, installation: Installation) -> int:
    from gateway import clock, consents
    from gateway.cli.pki_input import fingerprint_of
    from pki.addresses import canonical

    output = output_of(args)
    address = canonical(args.address)
    wanted = "" if args.certificate is None else fingerprint_of(args.certificate)
    ground = ground_of(args)
    config, now = installation.config, clock.now()
    with installation.database.write() as conn:
        ended, drafts = consents.withdraw(
            conn, address=address, certificate_sha256=wanted, by=operator(), moment=now,
            ground=ground, org=config.gateway.organisation,
        )  # fmt: skip
        installation.append_with(conn, drafts)
    if not ended:
        raise NotFound("there is no consent of {address} in force", facts={"address": address})
    if output.as_json:
        output.record(
            {
                "address": address,
                "withdrawn": len(ended),
                "consents": [consent_json(one) for one in ended],
            }
        )
    elif wanted:
        output.say(
            "The consent of {address} for {sha256} is withdrawn: "
            "that key signs nothing from now on.",
            address=address,
            sha256=wanted,
        )
    else:
        output.say(
            "The consent of {address} is withdrawn: its key signs nothing from now on.",
            address=address,
        )
    return DONE


def live_consent(consents: list[Consent], sha256: str) -> Consent | None:
    """The consent in force for a certificate's key."""
    for consent in reversed(consents):
        if consent.certificate_sha256 == sha256 and consent.live:
            return consent
    return None


def consent_json(consent: Consent) -> dict[str, object]:
    """A consent as every command prints it for programs. id: of its entries in the log."""
    ended = consent.withdrawn_at
    return {
        "id": consent.entry_id,
        "person": consent.person,
        "given": time_json(consent.given_at),
        "given_by": consent.given_by,
        "basis": consent.ground.basis or None,
        "form_sha256": consent.ground.form_sha256 or None,
        "withdrawn": time_json(ended) if ended else None,
        "withdrawn_by": consent.withdrawn_by,
        "withdrawn_basis": consent.withdrawn_ground.basis or None,
        "withdrawn_form_sha256": consent.withdrawn_ground.form_sha256 or None,
    }


def the_one(keys: list[PersonKey], address: str, wanted: str) -> PersonKey:
    """The key that is meant. Raises NotFound, UsageError where it is not said which."""
    if not keys and wanted:
        raise NotFound(
            "no key for the certificate {sha256} of {address} is stored",
            facts={"sha256": wanted, "address": address},
        )
    if not keys:
        raise NotFound("no key of {address} is stored", facts={"address": address})
    if len(keys) > 1:
        raise UsageError(
            "several keys of {address} are stored; name one by --certificate: {names}",
            facts={
                "address": address,
                "names": ", ".join(key.certificate_sha256 for key in keys),
            },
        )
    return keys[0]
