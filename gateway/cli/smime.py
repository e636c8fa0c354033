"""`sceau smime`: the S/MIME engine on files, without any configuration."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

HELP = "sign, encrypt, decrypt, verify and look into files, without any configuration"

_SCHEMES = ("auto", "rsa-pkcs1", "rsa-pss", "ecdsa", "ed25519")
_DIGESTS = ("auto", "sha256", "sha384", "sha512")
_CIPHERS = ("auto", "aes-256-cbc", "aes-128-cbc", "aes-256-gcm", "aes-128-gcm")
_KEY_MANAGEMENT = ("auto", "rsa-pkcs1", "rsa-oaep", "ecdh")


def configure(parser: ArgumentParser) -> None:
    """Verbs and options."""
    from gateway.cli.options import add_json, add_moment, key_source
    from gateway.cli.smime_decrypt import add_decrypt, add_keys
    from gateway.cli.smime_verify import add_verify

    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    sign = verbs.add_parser("sign", help="sign a mail, or a part with its Content fields")
    sign.add_argument(
        "--key",
        type=key_source,
        required=True,
        metavar="FILE",
        help="private key: PEM, DER or PKCS#12, or a pkcs11: URI",
    )
    sign.add_argument(
        "--cert",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="certificate of the key, and certificates to send along",
    )
    sign.add_argument(
        "--password-file", type=Path, metavar="FILE", help="file with the password of the key"
    )
    sign.add_argument(
        "--signature", choices=_SCHEMES, default="auto", help="kind of signature (otherwise by key)"
    )
    sign.add_argument(
        "--digest", choices=_DIGESTS, default="auto", help="digest (otherwise by key)"
    )
    sign.add_argument(
        "--opaque", action="store_true", help="put the mail inside the signature, not beside it"
    )
    sign.add_argument(
        "--security-label",
        metavar="POLICY-OID[:CLASSIFICATION[:MARK]]",
        help="say in the signature how sensitive the mail is (RFC 2634)",
    )
    encrypt = verbs.add_parser("encrypt", help="encrypt a mail, or a part with its Content fields")
    encrypt.add_argument(
        "--to",
        type=Path,
        action="append",
        required=True,
        metavar="CERT",
        help="certificate of a recipient; it is not checked",
    )
    encrypt.add_argument(
        "--cipher", choices=_CIPHERS, default="auto", help="cipher (otherwise by certificate)"
    )
    encrypt.add_argument(
        "--key-management",
        choices=_KEY_MANAGEMENT,
        default="auto",
        help="how the key of the mail is sent (otherwise by certificate)",
    )
    encrypt.add_argument(
        "--experimental-ml-kem",
        action="store_true",
        help="encrypt to ML-KEM certificates (RFC 9936); hardly any program opens it",
    )
    encrypt.add_argument(
        "--experimental-hybrid",
        action="store_true",
        help="two envelopes, the one to ML-KEM certificates outside: both must be opened",
    )
    for verb in (sign, encrypt):
        verb.add_argument(
            "--compress",
            action="store_true",
            help="compress the content first; few mail programs read it",
        )
    decrypt = verbs.add_parser(
        "decrypt", help="open what was encrypted to keys in files; verifies nothing"
    )
    add_decrypt(decrypt)
    verify = verbs.add_parser("verify", help="check who signed a mail, and what that is worth")
    add_verify(verify)
    add_keys(verify)
    inspect = verbs.add_parser("inspect", help="show what a message is made of; verifies nothing")
    algorithms = verbs.add_parser(
        "algorithms", help="the table of algorithms: what may be used for what, until when"
    )
    add_moment(algorithms)
    add_json(algorithms)
    algorithms.set_defaults(run=_algorithms)
    for verb, run in (
        (sign, _sign),
        (encrypt, _encrypt),
        (decrypt, _decrypt),
        (verify, _verify),
        (inspect, _inspect),
    ):
        verb.set_defaults(run=run)
        verb.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="mail; - is standard input"
        )
        add_json(verb)
        if verb in (sign, encrypt, decrypt):
            verb.add_argument(
                "--out",
                type=Path,
                metavar="PATH",
                help="file, or folder for several; nothing is overwritten",
            )


def _sign(args: Namespace) -> int:
    from gateway.cli.smime_work import sign_files

    return sign_files(args)


def _encrypt(args: Namespace) -> int:
    from gateway.cli.smime_work import encrypt_files

    return encrypt_files(args)


def _decrypt(args: Namespace) -> int:
    from gateway.cli.smime_decrypt import decrypt_files

    return decrypt_files(args)


def _verify(args: Namespace) -> int:
    from gateway.cli.smime_decrypt import opener_of
    from gateway.cli.smime_verify import verify_files

    return verify_files(args, opener_of(args))


def _inspect(args: Namespace) -> int:
    from gateway.cli.smime_show import inspect_files

    return inspect_files(args)


def _algorithms(args: Namespace) -> int:
    from gateway.cli.smime_algorithms import show_algorithms

    return show_algorithms(args)
