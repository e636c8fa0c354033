"""`sceau pki key`: signing keys of our people, and the consents without which none is used."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

from gateway.cli.exits import DONE
from gateway.cli.operator import operator
from gateway.cli.options import add_config, add_json, config_path
from gateway.cli.output import output_of


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
        default="",
        metavar="NAME",
        help="record that this person agrees that the gateway signs with the key",
    )
    bring.set_defaults(run=_import)
    for verb in (bring,):
        add_config(verb)
        add_json(verb)


def _import(args: Namespace) -> int:
    from gateway import clock
    from gateway.wiring import Wiring, secret
    from pki.persons import give_consent, import_p12

    output = output_of(args)
    data = args.file.read_bytes()
    password = secret(args.password_file) if args.password_file else None
    wiring = Wiring.from_file(config_path(args, os.environ))
    who, now = operator(), clock.now()
    # One transaction: a key whose consent could not be recorded is not left behind.
    with wiring.database.write() as conn:
        key = import_p12(
            conn, data, password, address=args.address, kek=wiring.kek,
            by=who, moment=now, name=str(args.file),
        )  # fmt: skip
        if args.consent_of:
            give_consent(
                conn,
                address=key.address,
                certificate_sha256=key.certificate_sha256,
                person=args.consent_of,
                by=who,
                moment=now,
            )
    if output.as_json:
        output.record(
            {
                "file": str(args.file),
                "address": key.address,
                "certificate_sha256": key.certificate_sha256,
                "consent_of": args.consent_of or None,
            }
        )
    else:
        output.say(
            "The key of {address} is stored, certificate {sha256}.",
            address=key.address,
            sha256=key.certificate_sha256,
        )
        if args.consent_of:
            output.say("The consent of {person} is recorded.", person=args.consent_of)
        else:
            output.say(
                "It signs nothing without consent: sceau pki key consent {address} --person NAME",
                address=key.address,
            )
    return DONE
