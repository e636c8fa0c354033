"""`sceau pki key install`: the CA's answer, checked against its key, for a person or for a seal."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json, key_source, moment
from gateway.cli.output import output_of, time_json
from gateway.cli.usage import UsageError

if TYPE_CHECKING:
    from gateway.wiring import Wiring
    from pki.certificate import ParsedCertificate
    from pki.models import Signer

_USES = ("sign", "decrypt", "both")


def add_install(verb: ArgumentParser) -> None:
    """Options of `sceau pki key install`."""
    verb.add_argument(
        "certificate",
        nargs="+",
        type=Path,
        metavar="CERT",
        help="the certificate, and those of CAs that are to be sent along",
    )
    verb.add_argument(
        "--key",
        type=key_source,
        required=True,
        metavar="KEY",
        help="file with the key, or a pkcs11: URI",
    )
    verb.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="file with the password of the key; one newline at its end is dropped",
    )
    verb.add_argument("--address", help="the key is this person's: it is stored, wrapped")
    verb.add_argument("--use", choices=_USES, default="sign", help="what the key is to do")
    verb.add_argument("--domain", help="the key seals for this domain of ours")
    verb.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="for --domain: file that is made, with the certificate and those of its CAs",
    )
    verb.add_argument(
        "--from",
        dest="begins",
        type=moment,
        metavar="RFC3339",
        help="for --domain: when it takes over from the seal before it",
    )
    verb.add_argument(
        "--path",
        choices=("warn", "require"),
        default="require",
        help="what happens without a path to a trust anchor; otherwise require",
    )
    add_config(verb)
    add_json(verb)
    verb.set_defaults(run=on_wiring(_install))


def _install(args: Namespace, wiring: Wiring) -> int:
    if (args.address is None) == (args.domain is None):
        raise UsageError("name a person by --address, or a domain by --domain")
    if args.address is not None:
        if args.out is not None or args.begins is not None:
            raise UsageError("--out and --from are for --domain")
        return _person(args, wiring)
    if args.use != "sign":
        raise UsageError("a seal signs: --use is for --address")
    if args.out is None:
        raise UsageError("{names} is missing", facts={"names": "--out"})
    return _seal(args, wiring)


# -- a person ------------------------------------------------------------------------------------


def _person(args: Namespace, wiring: Wiring) -> int:
    from archive.entry import new_archive_id
    from archive.store import Draft
    from gateway import clock
    from gateway.cli.files import read_password
    from gateway.cli.pki_input import as_json
    from gateway.cli.smime_recipients import ders_in
    from gateway.key_import import store_new
    from gateway.key_path import PathJudge
    from pki.decrypter import DecryptionKey
    from pki.key_files import bad_key_file, read_key_file
    from pki.keys import PrivateKey
    from pki.persons import Use, check_key

    output = output_of(args)
    if not isinstance(args.key, Path):
        raise UsageError("keys of persons are stored in the database: give the key in a file")
    key, beside = read_key_file(args.key, read_password(args.password_file))
    if not isinstance(key, PrivateKey | DecryptionKey):
        raise bad_key_file(str(args.key), "its key is of a kind that neither signs nor opens mail")
    now, who = clock.now(), operator()
    use = {"sign": Use.SIGN, "decrypt": Use.DECRYPT, "both": Use.SIGN | Use.DECRYPT}[args.use]
    checked = check_key(
        key, (*ders_in(args.certificate), *beside), name=str(args.key), address=args.address,
        domains=wiring.config.gateway.domains, keks=wiring.keks, moment=now, use=use,
        path=PathJudge(wiring.trust.current().material, strict=args.path == "require"),
    )  # fmt: skip
    entry_id = new_archive_id()
    with wiring.database.write() as conn:
        address = store_new(conn, checked, by=who, moment=now)
        fields = {
            "address": address,
            "certificate.sha256": checked.certificate_sha256,
            "use": args.use,
            "installed.by": who,
        }
        wiring.append_with(
            conn,
            [
                Draft(
                    "key-installed",
                    wiring.config.gateway.organisation,
                    entry_id,
                    {name: value.encode() for name, value in fields.items()},
                )
            ],
        )
    for remark in checked.remarks:
        output.note("{file}: {reason}", file=str(args.key), reason=output.problem(remark))
    if output.as_json:
        output.record(
            {
                "address": address,
                "certificate_sha256": checked.certificate_sha256,
                "use": args.use,
                "id": entry_id,
                "remarks": as_json(checked.remarks),
            }
        )
        return DONE
    output.say(
        "The key of {address} is stored; its certificate is {sha256}.",
        address=address,
        sha256=checked.certificate_sha256,
    )
    if use is not Use.DECRYPT:
        output.say(
            "It signs nothing without consent: sceau pki key consent {address} --person NAME",
            address=address,
        )
    output.say("Destroy {file}: nobody needs it any more.", file=str(args.key))
    return DONE


# -- a seal --------------------------------------------------------------------------------------


def _seal(args: Namespace, wiring: Wiring) -> int:
    from archive.entry import new_archive_id
    from archive.store import Draft
    from gateway import clock
    from pki.certificate import ParsedCertificate

    output = output_of(args)
    domain, now = args.domain.lower(), clock.now()
    if domain not in wiring.config.gateway.domains:
        raise UsageError(
            "{domain} is not one of our domains (gateway.domains)", facts={"domain": domain}
        )
    signer = _signer(args, wiring)
    cert = ParsedCertificate(signer.certificate)
    begins = max(args.begins or now, cert.not_before)
    _check(signer, cert, domain, begins, wiring, strict=args.path == "require")
    fields = {
        "domain": domain,
        "certificate.sha256": cert.sha256,
        "signs.from": begins.isoformat(),
        "installed.by": operator(),
    }
    draft = Draft(
        "key-installed",
        wiring.config.gateway.organisation,
        new_archive_id(),
        {name: value.encode() for name, value in fields.items()},
    )
    descriptor = os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_pem(signer))
        file.flush()
        os.fsync(file.fileno())
    wiring.append([draft])
    lines = _section(args, domain, begins)
    if output.as_json:
        output.record(
            {
                "domain": domain,
                "certificate_sha256": cert.sha256,
                "out": str(args.out),
                "signs_from": time_json(begins),
                "id": draft.archive_id,
                "configuration": "\n".join(lines),
            }
        )
        return DONE
    output.say(
        "The certificate fits the key, and may seal for {domain}. Put this into the configuration "
        "behind the other [[seals]], then sceau reload:",
        domain=domain,
    )
    for line in lines:
        output.line(f"    {line}")
    return DONE


def _signer(args: Namespace, wiring: Wiring) -> Signer:
    """Key and certificate belong together. Raises PrivateKeyError, TokenTrouble."""
    from gateway.cli.files import read_password
    from gateway.cli.smime_recipients import ders_in
    from pki.keys import load_signer

    if isinstance(args.key, Path):
        return load_signer(args.key, tuple(args.certificate), read_password(args.password_file))
    from pki.load_token import load_token_signer

    return load_token_signer(wiring.tokens(), args.key, ders_in(args.certificate))


def _check(
    signer: Signer,
    cert: ParsedCertificate,
    domain: str,
    begins: datetime,
    wiring: Wiring,
    *,
    strict: bool,
) -> None:
    """Raises CertificateRefused, CannotJudge."""
    from gateway.seal_check import blocks
    from pki.addresses import in_domain
    from pki.errors import CannotJudge, CertificateRefused, problem
    from pki.may_sign import MaySign
    from pki.models import Purpose
    from pki.usage import purpose_problem

    reason = purpose_problem(cert, Purpose.SIGN, begins)
    if reason is None and not any(in_domain(one, domain) for one in cert.addresses.usable):
        reason = problem(
            "identity.foreign-domain",
            "the certificate of {subject} is for {found}, for no address of our domains "
            "({domains})",
            subject=cert.subject_text,
            found=", ".join(cert.addresses.usable[:5]) or "-",
            domains=domain,
        )
    if reason is None and not begins <= cert.not_after:
        reason = problem(
            "path.expired",
            "the certificate of {subject} is valid from {start} to {end} only",
            subject=cert.subject_text,
            start=cert.not_before.strftime("%Y-%m-%d"),
            end=cert.not_after.strftime("%Y-%m-%d"),
        )
    if reason is not None:
        raise CertificateRefused(reason)
    found = wiring.signers.may_seal(signer, domain, begins)
    if isinstance(found, MaySign) or (not strict and not blocks(found)):
        return
    if found.certain:
        raise CertificateRefused(found.problem)
    # Of a moment that is to come nobody knows the CRL: that of now has to do.
    from gateway import clock

    today = wiring.signers.may_seal(signer, domain, max(clock.now(), cert.not_before))
    if not isinstance(today, MaySign) and strict:
        raise CannotJudge(today.problem)


def _section(args: Namespace, domain: str, begins: datetime) -> list[str]:
    lines = ["[[seals]]", f'domains = ["{domain}"]', f'certificate = "{args.out.absolute()}"']
    lines.append(f'signs_from = "{begins.isoformat()}"')
    if isinstance(args.key, Path):
        lines.append(f'key = "{args.key.absolute()}"')
        if args.password_file is not None:
            lines.append(f'password_file = "{args.password_file.absolute()}"')
        return lines
    access = args.key.access
    return [
        *lines,
        "[seals.key]",
        f'module = "{access.module}"',
        f'token = "{access.token}"',
        f'key = "{args.key.label}"',
        f'pin_file = "{access.pin_file.absolute()}"',
    ]


def _pem(signer: Signer) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return b"".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
        for der in (signer.certificate, *signer.chain)
    )
