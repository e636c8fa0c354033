"""`sceau smime decrypt`: what was encrypted to keys in files, opened. Nothing is verified."""

from __future__ import annotations

import hashlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.options import add_moment, key_source

if TYPE_CHECKING:
    from gateway.cli.output import Output
    from gateway.smime import layers
    from gateway.smime.cms import ContentInfo
    from gateway.smime.decrypt import Opened
    from gateway.smime.opening import OpenedMail, OpenLayer
    from pki.decrypter import Decrypter
    from pki.errors import Problem


def add_keys(parser: ArgumentParser) -> None:
    """The options that name keys."""
    parser.add_argument(
        "--key",
        type=key_source,
        action="append",
        default=[],
        metavar="FILE",
        help="private key: PEM, DER or PKCS#12, also a folder, or a pkcs11: URI; repeatable",
    )
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="file with the password of the keys",
    )
    parser.add_argument(
        "--oaep-only",
        action="store_true",
        help="the keys are for RSAES-OAEP alone: what came by PKCS #1 v1.5 is refused",
    )
    parser.add_argument(
        "--mail-password-file",
        type=Path,
        metavar="FILE",
        help="file with a password that mail was encrypted with (RFC 5652, PWRI)",
    )


def add_decrypt(parser: ArgumentParser) -> None:
    """The options of `sceau smime decrypt`, but for the files, `--out` and `--json`."""
    add_keys(parser)
    parser.add_argument(
        "--cert",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="certificate of a key whose file does not hold it; repeatable, also a folder",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        dest="every",
        help="open all encrypted layers, not the outermost one only",
    )
    add_moment(parser)
    parser.add_argument(
        "--allow-legacy",
        action="store_true",
        help="for old evidence only: 3DES, RC2, DES, RSA below 2048 bits are opened, too",
    )


def decrypt_files(args: Namespace) -> int:
    """`smime decrypt`. Raises PrivateKeyError, SceauError, OSError before the first file."""
    from gateway.cli.files import FileProblem, Sink, each_file, expand
    from gateway.cli.foreign import judging
    from gateway.cli.output import output_of
    from gateway.errors import SceauError
    from gateway.guard.answer import Answer
    from gateway.smime.decrypt import DecryptRefused
    from gateway.smime.opening import open_mail
    from pki.errors import StructureRefused, TokenTrouble

    if not args.key and args.mail_password_file is None:
        raise SceauError("there is no key to open with", hint="--key FILE")
    inputs = expand(args.files)
    open_layer = layer_opener(args)
    sink = Sink(args.out, inputs, as_json=args.as_json)

    def judge(data: bytes, path: Path, output: Output) -> Answer:
        try:
            mail = open_mail(data, open_layer, every=args.every)
        except DecryptRefused as error:
            raise FileProblem("refused", error.problem) from None
        except StructureRefused as error:
            raise FileProblem("malformed", error.problem) from None
        except TokenTrouble as error:
            raise FileProblem("indeterminate", error.problem) from None
        remarks = _remarks(mail)
        if not output.as_json:
            for remark in remarks:
                output.note("{file}: {reason}", file=str(path), reason=output.problem(remark))
        record = {
            "layers": [_layer(layer) for layer in mail.layers],
            "problems": [],
            "remarks": _plain(remarks),
        }
        return Answer(record, mail.content)

    def work(path: Path) -> dict[str, Any]:
        answer = judged(path)
        written = sink.write(path, answer.octets)
        return {"status": "decrypted", "out": written, **answer.value}

    with judging(judge, output_of(args)) as judged:
        return each_file(args, inputs, work)


def layer_opener(args: Namespace) -> OpenLayer:
    """Opens one layer with the keys that the command line names.

    Raises PrivateKeyError, SceauError, OSError.
    """
    from gateway import clock
    from gateway.cli.files import expand, read_password
    from gateway.cli.smime_recipients import ders_in
    from gateway.smime.decrypt import decrypt
    from gateway.smime.shared_keys import KnownPassword
    from pki.decrypter import OaepOnly
    from pki.key_files import read_file
    from pki.load_decrypter import parse_decrypters

    password = read_password(args.password_file)
    # Apart: a sender who encrypts with a guess would learn from the answer whether a key has it.
    agreed = read_password(args.mail_password_file)
    paths = expand(key for key in args.key if isinstance(key, Path))
    names = [key for key in args.key if not isinstance(key, Path)]
    files = {str(path): read_file(path) for path in paths}
    certificates = ders_in(expand(args.cert))
    keys: list[Decrypter] = [
        key
        for name, data in files.items()
        for key in parse_decrypters(name, data, certificates, password)
    ]
    if names:
        from gateway.key_process import keys_apart

        keys += keys_apart(names, certificates)
    if args.oaep_only:
        keys = [OaepOnly(key) for key in keys]
    shared = [] if agreed is None else [KnownPassword(agreed)]
    # Of a token its PIN is what we have that is secret and lasts.
    pins = [read_file(name.access.pin_file) for name in names]
    secret = _secret([*files.values(), *pins], agreed)
    moment = args.at or clock.now()

    def open_layer(info: ContentInfo) -> Opened:
        return decrypt(
            info,
            keys,
            moment=moment,
            secret=secret,
            allow_legacy=args.allow_legacy,
            shared=shared,
        )

    return open_layer


def opener_of(args: Namespace) -> layers.OpenLayer | None:
    """The same for `smime verify`, None where no key is named: then encrypted layers stay shut.

    Raises PrivateKeyError, SceauError, OSError.
    """
    from gateway.smime.algorithms import DATA
    from gateway.smime.decrypt import DecryptRefused
    from pki.errors import TokenTrouble, problem

    if not args.key and args.mail_password_file is None:
        return None
    open_layer = layer_opener(args)

    def content(info: ContentInfo) -> Opened | Problem:
        try:
            opened = open_layer(info)
        except (DecryptRefused, TokenTrouble) as error:
            return error.problem
        if opened.content_type != DATA:
            return problem(
                "structure.content-type",
                "what is inside is no mail but of the type {type}",
                type=opened.content_type,
            )
        return opened

    return content


def _secret(files: Iterable[bytes], password: bytes | None) -> bytes:
    """What decides the outcome for bad ciphertext. There is no installation to keep a secret in:
    it follows from the files with keys and PINs, which are secret and the same the next time.
    """
    digest = hashlib.sha256(b"sceau/command-line\0" + (password or b""))
    for data in files:
        digest.update(hashlib.sha256(data).digest())
    return digest.digest()


def _layer(layer: Opened) -> dict[str, Any]:
    certificate = layer.certificate
    return {
        "kind": "auth-encrypted" if layer.authenticated else "encrypted",
        "opened": True,
        "cipher": layer.cipher,
        "key_management": layer.key_management,
        "certificate_sha256": certificate and hashlib.sha256(certificate).hexdigest(),
        "content_type": layer.content_type,
        "problems": [],
    }


def _remarks(mail: OpenedMail) -> list[Problem]:
    """Of all layers, each once."""
    every = (one for layer in mail.layers for one in layer.remarks)
    return list({(one.code, one.text): one for one in every}.values())


def _plain(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"code": one.code, "text": one.text} for one in problems]
