"""`sceau pki key`: signing keys of our people, and the consents without which none is used."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.usage import UsageError
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.installation import Installation
    from pki.persons import Consent, PersonKey


def add_key(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki key`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    bring = verbs.add_parser("import", help="store a person's key from a PKCS#12 file, wrapped")
    bring.add_argument("file", type=Path, metavar="FILE", help="PKCS#12 with key and certificate")
    bring.add_argument("--address", required=True, help="the person's mail address")
    bring.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="file with the password; one newline at its end is dropped",
    )
    bring.add_argument(
        "--consent-of",
        metavar="NAME",
        help="record that this person agrees that the gateway signs with the key",
    )
    bring.set_defaults(run=on_installation(_import))

    listing = verbs.add_parser("list", help="keys that are stored, and who agreed to their use")
    listing.add_argument(
        "address", nargs="?", default="", metavar="ADDRESS", help="only for this mail address"
    )
    listing.set_defaults(run=on_installation(_list))

    agree = verbs.add_parser("consent", help="record that a person agrees to be signed for")
    agree.add_argument("address", metavar="ADDRESS", help="the person's mail address")
    agree.add_argument("--person", required=True, metavar="NAME", help="who agrees")
    agree.add_argument(
        "--certificate",
        metavar="SHA256",
        help="which certificate's key; needed where several are stored",
    )
    agree.set_defaults(run=on_installation(_consent))

    withdraw = verbs.add_parser("withdraw", help="end all consents of an address, at once")
    withdraw.add_argument("address", metavar="ADDRESS", help="the person's mail address")
    withdraw.set_defaults(run=on_installation(_withdraw))
    for verb in (bring, listing, agree, withdraw):
        add_config(verb)
        add_json(verb)


def _import(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from gateway.cli.files import read_password
    from pki.kek import load_kek
    from pki.persons import give_consent, import_p12

    output = output_of(args)
    person = None if args.consent_of is None else _name(args.consent_of, "--consent-of")
    data = args.file.read_bytes()
    password = read_password(args.password_file)
    kek = load_kek(installation.config.pki.key_encryption_key)
    who, now = operator(), clock.now()
    # One transaction: a key whose consent could not be recorded is not left behind.
    with installation.database.write() as conn:
        key = import_p12(
            conn, data, password, address=args.address, kek=kek,
            by=who, moment=now, name=str(args.file),
        )  # fmt: skip
        if person is not None:
            give_consent(
                conn,
                address=key.address,
                certificate_sha256=key.certificate_sha256,
                person=person,
                by=who,
                moment=now,
            )
    if output.as_json:
        output.record(
            {
                "file": str(args.file),
                "address": key.address,
                "certificate_sha256": key.certificate_sha256,
                "consent_of": person,
            }
        )
        return DONE
    output.say(
        "The key of {address} is stored; its certificate is {sha256}.",
        address=key.address,
        sha256=key.certificate_sha256,
    )
    if person is None:
        output.say(
            "It signs nothing without consent: sceau pki key consent {address} --person NAME",
            address=key.address,
        )
    else:
        output.say("The consent of {person} is recorded.", person=person)
    return DONE


def _list(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from pki.certificate import ParsedCertificate
    from pki.persons import list_consents, list_keys

    output = output_of(args)
    with installation.database.read() as conn:
        keys = list_keys(conn, args.address)
        consents: dict[tuple[str, str], list[Consent]] = {}
        for consent in list_consents(conn, args.address):
            name = (consent.address, consent.certificate_sha256)
            consents.setdefault(name, []).append(consent)
    now = clock.now()
    rows = []
    for key in keys:
        cert = ParsedCertificate(key.certificate)
        given = consents.get((key.address, key.certificate_sha256), [])
        if output.as_json:
            output.record(
                {
                    "address": key.address,
                    "certificate_sha256": key.certificate_sha256,
                    "subject": cert.subject_text,
                    "not_before": time_json(cert.not_before),
                    "not_after": time_json(cert.not_after),
                    "added": time_json(key.added_at),
                    "added_by": key.added_by,
                    "consents": [_consent_json(one) for one in given],
                }
            )
            continue
        until = time_text(cert.not_after)
        if now > cert.not_after:
            until = output.text("{time} (expired)", time=until)
        rows.append([key.address, _standing(given, output), until, key.certificate_sha256])
    if not output.as_json:
        output.table(["address", "consent", "valid until", "fingerprint (SHA-256)"], rows)
    return DONE


def _consent(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from gateway.cli.pki_input import fingerprint_of
    from pki.persons import give_consent, list_consents, list_keys

    output = output_of(args)
    person = _name(args.person, "--person")
    wanted = "" if args.certificate is None else fingerprint_of(args.certificate)
    with installation.database.write() as conn:
        keys = list_keys(conn, args.address, certificate_sha256=wanted)
        key = _the_one(keys, args.address, wanted)
        live = _live(list_consents(conn, key.address), key.certificate_sha256)
        if live is None:
            given = give_consent(
                conn,
                address=key.address,
                certificate_sha256=key.certificate_sha256,
                person=person,
                by=operator(),
                moment=clock.now(),
            )
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
                **_consent_json(given),
            }
        )
    else:
        output.say("The consent of {person} is recorded.", person=person)
    return DONE


def _withdraw(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from pki.addresses import canonical
    from pki.persons import withdraw_consent

    output = output_of(args)
    address = canonical(args.address)
    with installation.database.write() as conn:
        ended = withdraw_consent(conn, address=address, by=operator(), moment=clock.now())
    if not ended:
        raise NotFound("there is no consent of {address} in force", facts={"address": address})
    if output.as_json:
        output.record({"address": address, "withdrawn": ended})
    else:
        output.say(
            "The consent of {address} is withdrawn: its key signs nothing from now on.",
            address=address,
        )
    return DONE


def _name(text: str, option: str) -> str:
    """A person's name as it is recorded. Raises UsageError."""
    name = " ".join(text.split())
    if not name:
        raise UsageError("{name} needs a value", facts={"name": option})
    return name


def _the_one(keys: list[PersonKey], address: str, wanted: str) -> PersonKey:
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


def _live(consents: list[Consent], sha256: str) -> Consent | None:
    """The consent in force for a certificate's key."""
    for consent in reversed(consents):
        if consent.certificate_sha256 == sha256 and consent.withdrawn_at is None:
            return consent
    return None


def _standing(given: list[Consent], output: Output) -> str:
    """The consent in force, else the last one that was withdrawn, in words."""
    if not given:
        return output.text("none: it signs nothing")
    live = _live(given, given[-1].certificate_sha256)
    if live is not None:
        return output.text("of {person}", person=live.person)
    return output.text("withdrawn: it signs nothing")


def _consent_json(consent: Consent) -> dict[str, object]:
    ended = consent.withdrawn_at
    return {
        "person": consent.person,
        "given": time_json(consent.given_at),
        "given_by": consent.given_by,
        "withdrawn": time_json(ended) if ended else None,
        "withdrawn_by": consent.withdrawn_by,
    }
