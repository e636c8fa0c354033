"""`sceau pki key depart`: somebody leaves. `escrow`: the keys of those who left."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import output_of, time_json, time_text
from gateway.cli.pki_key_consent import add_ground, ground_of
from gateway.cli.usage import UsageError

if TYPE_CHECKING:
    from gateway.wiring import Wiring
    from pki.escrow import EscrowedKey


def add_depart(verb: ArgumentParser) -> None:
    """Options of `sceau pki key depart`."""
    verb.add_argument("address", metavar="ADDRESS", help="mail address of the one who leaves")
    verb.add_argument(
        "--yes", action="store_true", help="do it; otherwise only what would follow is said"
    )
    add_ground(verb)
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=on_wiring(_depart))


def add_escrow(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki key escrow`."""
    verbs = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    listing = verbs.add_parser("list", help="keys of those who left")
    listing.add_argument("address", nargs="?", default="", metavar="ADDRESS", help="of this one")
    listing.set_defaults(run=on_wiring(_list))
    opening = verbs.add_parser("open", help="take a key out, with the archive authority's key")
    opening.add_argument("address", metavar="ADDRESS", help="whose key it was")
    opening.add_argument(
        "--certificate", metavar="SHA256", help="which of them: fingerprint of its certificate"
    )
    opening.add_argument(
        "--archive-key",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="private key of one of the archive's recipients; of two with pki.four_eyes",
    )
    opening.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="PEM file that is made, mode 600"
    )
    add_ground(opening)
    opening.set_defaults(run=on_wiring(_open))
    for verb in (listing, opening):
        add_config(verb)
        add_json(verb)


def _depart(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock, departure
    from gateway.errors import NotFound
    from pki.addresses import canonical
    from pki.decryption_keys import list_decryption_keys
    from pki.persons import list_keys

    output = output_of(args)
    address, ground = canonical(args.address), ground_of(args)
    config = wiring.config
    with wiring.database.read() as conn:
        signing = len(list_keys(conn, address))
        opening = sum(one.departed_at is None for one in list_decryption_keys(conn, address))
    if not signing and not opening:
        # Somebody mistyped, and whoever leaves would go on signing.
        raise NotFound("no key of {address} is stored", facts={"address": address})
    if not args.yes:
        if output.as_json:
            output.record(
                {"address": address, "done": False, "signing_keys": signing,
                 "decryption_keys": opening}
            )  # fmt: skip
        output.say(
            "{address} has keys that sign: {signing}, and keys that open mail: {opening}.",
            address=address,
            signing=str(signing),
            opening=str(opening),
        )
        output.note("Nothing was changed. With --yes they are taken out of use for good.")
        return NO
    with wiring.database.write() as conn:
        done = departure.depart(
            conn, address, wiring.keks, wiring.archive_recipients, by=operator(),
            moment=clock.now(), ground=ground, org=config.gateway.organisation,
        )  # fmt: skip
        wiring.append_with(conn, done.drafts)
    if output.as_json:
        output.record(
            {
                "address": address,
                "done": True,
                "id": done.entry_id,
                "escrowed": list(done.escrowed),
                "removed": [key.certificate_sha256 for key in done.removed],
                "consents_ended": len(done.ended),
            }
        )
        return DONE
    output.say(
        "{address} signs nothing more: {removed} keys are removed, {ended} consents have ended.",
        address=address,
        removed=str(len(done.removed)),
        ended=str(len(done.ended)),
    )
    output.say(
        "{count} decryption keys are in escrow, for {names} alone: sceau archive history {id}",
        count=str(len(done.escrowed)),
        names=", ".join(one.name for one in wiring.archive_recipients),
        id=done.entry_id,
    )
    return DONE


def _list(args: Namespace, wiring: Wiring) -> int:
    from pki.escrow import list_escrow

    output = output_of(args)
    with wiring.database.read() as conn:
        found = list_escrow(conn, args.address)
    if output.as_json:
        for one in found:
            output.record(_record(one))
        return DONE
    output.table(
        ["address", "certificate", "left", "id"],
        [
            [one.address, one.certificate_sha256, time_text(one.departed_at), one.entry_id]
            for one in found
        ],
    )
    return DONE


def _open(args: Namespace, wiring: Wiring) -> int:
    from archive.recipients import load_private_key
    from gateway import departure
    from gateway.cli.pki_input import fingerprint_of
    from gateway.errors import NotFound

    output = output_of(args)
    ground = ground_of(args)
    if not ground.basis:
        raise UsageError("{names} is missing", facts={"names": "--basis"})
    unwrappers = {
        one.recipient.id: one for one in (load_private_key(file) for file in args.archive_key)
    }
    if wiring.config.pki.four_eyes and len(unwrappers) < 2:
        raise UsageError(
            "pki.four_eyes is true: it takes the private keys of two archive recipients",
            hint="give --archive-key twice",
        )
    wanted = "" if args.certificate is None else fingerprint_of(args.certificate)
    found = _wanted(wiring, args.address, wanted)
    if not found:
        raise NotFound("there is no key of {address} in escrow", facts={"address": args.address})
    if len(found) > 1:
        raise UsageError(
            "{address} has several keys in escrow: name one by --certificate",
            hint="see sceau pki key escrow list",
            facts={"address": args.address},
        )
    (key,) = found
    plain = departure.open_escrow(key, list(unwrappers.values()))
    draft = departure.taking_out(
        key, list(unwrappers), by=operator(), ground=ground, org=wiring.config.gateway.organisation
    )
    # The file first, empty: a key that is logged as taken out can be written.
    descriptor = os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        wiring.append([draft])
        file.write(_pem(plain, key.certificate))
        file.flush()
        os.fsync(file.fileno())
    if output.as_json:
        output.record({**_record(key), "out": str(args.out)})
        return DONE
    output.say(
        "The key of {address} is in {file}; the log says so: sceau archive history {id}",
        address=key.address,
        file=str(args.out),
        id=key.entry_id,
    )
    return DONE


def _wanted(wiring: Wiring, address: str, sha256: str) -> list[EscrowedKey]:
    from pki.escrow import list_escrow

    with wiring.database.read() as conn:
        found = list_escrow(conn, address)
    return [one for one in found if sha256 in ("", one.certificate_sha256)]


def _record(key: EscrowedKey) -> dict[str, object]:
    return {
        "address": key.address,
        "certificate_sha256": key.certificate_sha256,
        "departed_at": time_json(key.departed_at),
        "departed_by": key.departed_by,
        "id": key.entry_id,
    }


def _pem(plain: bytes, certificate: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_der_private_key,
    )

    key = load_der_private_key(plain, None, unsafe_skip_rsa_key_validation=True)
    cert = x509.load_der_x509_certificate(certificate)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + cert.public_bytes(
        Encoding.PEM
    )
