"""`sceau pki key create` and `csr`: new keys of ours, and what their CA is asked with."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE
from gateway.cli.options import add_json, key_source
from gateway.cli.output import output_of
from gateway.cli.usage import UsageError

if TYPE_CHECKING:
    from pki.csr import Sign
    from pki.token_uri import TokenKeyName

# As in `pki.own_keys.KINDS`, which takes time to import; a test compares them.
KINDS = ("rsa-3072", "rsa-4096", "p-256", "p-384", "ed25519", "x25519", "ml-dsa-44", "ml-dsa-65",
         "ml-dsa-87", "ml-kem-768", "ml-kem-1024")  # fmt: skip
_USES = ("sign", "decrypt", "both")


def add_create(verb: ArgumentParser) -> None:
    """Options of `sceau pki key create`."""
    verb.add_argument(
        "key",
        type=key_source,
        metavar="KEY",
        help="file that is made (PKCS#8, mode 600), or a pkcs11: URI with the name of the new key",
    )
    verb.add_argument("--kind", choices=KINDS, required=True, help="kind of key")
    verb.add_argument("--use", choices=_USES, default="sign", help="what the key is to do")
    _add_password(verb)
    add_json(verb)
    verb.set_defaults(run=_create)


def add_csr(verb: ArgumentParser) -> None:
    """Options of `sceau pki key csr`."""
    verb.add_argument(
        "key", type=key_source, metavar="KEY", help="file with the key, or a pkcs11: URI"
    )
    verb.add_argument(
        "--email",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="mail address that the certificate is to be for; repeatable",
    )
    verb.add_argument(
        "--subject", metavar="NAME", help="subject, as CN=…,O=… (otherwise the first address)"
    )
    verb.add_argument("--use", choices=_USES, default="sign", help="what the key is to do")
    verb.add_argument(
        "--public",
        action="store_true",
        help="write the public key alone, for a CA that makes certificates from it",
    )
    verb.add_argument("--out", type=Path, metavar="FILE", help="file that is made, in PEM")
    _add_password(verb)
    add_json(verb)
    verb.set_defaults(run=_csr)


def _add_password(verb: ArgumentParser) -> None:
    verb.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="file with the password of the key; one newline at its end is dropped",
    )


def _create(args: Namespace) -> int:
    from gateway.cli.files import read_password
    from pki.own_keys import KINDS as MADE
    from pki.own_keys import write_key

    output = output_of(args)
    kind = MADE[args.kind]
    signs, opens = args.use in ("sign", "both"), args.use in ("decrypt", "both")
    if (signs and not kind.signs) or (opens and not kind.opens):
        raise UsageError(
            "a key of the kind {kind} cannot do that: --use {use}",
            hint="make two keys, one that signs and one that opens mail",
            facts={"kind": args.kind, "use": args.use},
        )
    if isinstance(args.key, Path):
        write_key(args.key, kind.make(), read_password(args.password_file))
    else:
        if args.password_file is not None:
            raise UsageError("{name} is for keys in files", facts={"name": "--password-file"})
        _create_in_token(args.key, args.kind, signs=signs, opens=opens)
    if output.as_json:
        output.record({"key": str(args.key), "kind": args.kind, "use": args.use})
    output.say("{key} is made, a key of the kind {kind}.", key=str(args.key), kind=args.kind)
    if args.use == "both":
        output.note(
            "One key for both: whoever has to give up the one that opens mail gives up the "
            "signature, too. Two keys are better."
        )
    if kind.experimental:
        output.note("Hardly any mail program can use a key of the kind {kind}.", kind=args.kind)
    if opens:
        output.note("Keep a copy for ever: mail that is encrypted to a lost key stays shut.")
    return DONE


def _create_in_token(name: TokenKeyName, kind: str, *, signs: bool, opens: bool) -> None:
    from pki.token_create import TOKEN_KINDS, create_in_token
    from pki.token_sessions import Tokens

    if kind not in TOKEN_KINDS:
        raise UsageError(
            "tokens make no keys of the kind {kind} here",
            hint="one of {kinds}",
            facts={"kind": kind, "kinds": ", ".join(TOKEN_KINDS)},
        )
    # What it is to be found by must be there, so that it is seen that it is.
    create_in_token(Tokens(), name, kind, signs=signs, opens=opens).public_key()


def _csr(args: Namespace) -> int:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    from pki.addresses import canonical
    from pki.csr import Asks, request, subject_of

    output = output_of(args)
    public, sign = _halves(args)
    if args.public:
        made = public.public_bytes(  # type: ignore[attr-defined]
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
    else:
        addresses = [canonical(address) for address in args.email]
        if not addresses:
            raise UsageError("{names} is missing", facts={"names": "--email"})
        asks = {"sign": Asks.SIGN, "decrypt": Asks.OPEN, "both": Asks.SIGN | Asks.OPEN}[args.use]
        octets = request(
            public, sign(), subject=subject_of(args.subject, addresses), addresses=addresses,
            asks=asks,
        )  # fmt: skip
        made = _armoured(octets)
    if args.out is None:
        if args.as_json:
            raise UsageError("--json and the result cannot both go to standard output")
        sys.stdout.write(made.decode("ascii"))
        return DONE
    descriptor = os.open(args.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(made)
    if output.as_json:
        output.record({"key": str(args.key), "out": str(args.out), "request": not args.public})
    output.say("{file} is written: give it to your CA.", file=str(args.out))
    return DONE


def _halves(args: Namespace) -> tuple[object, Callable[[], Sign]]:
    """The public key, and what gives the signing half. Raises PrivateKeyError, TokenTrouble."""
    from pki.csr import cannot_ask, scheme_of, signs_by
    from pki.own_keys import OwnKey

    if isinstance(args.key, Path):
        from gateway.cli.files import read_password
        from pki.key_files import read_key_file

        key, _ = read_key_file(args.key, read_password(args.password_file))
        if not isinstance(key, OwnKey):
            raise cannot_ask()
        return key.public_key(), lambda: signs_by(key)
    from pki.token_objects import TokenKey
    from pki.token_sessions import Tokens
    from pki.token_signer import TokenSignature

    held = TokenKey(Tokens().at(args.key.access), args.key)
    public = held.public_key()

    def sign() -> Sign:
        scheme = scheme_of(public)
        return lambda data: TokenSignature(held, public).sign(data, scheme, "sha256")

    return public, sign


def _armoured(octets: bytes) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_der_x509_csr(octets).public_bytes(Encoding.PEM)
