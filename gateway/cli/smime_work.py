"""`sceau smime sign` and `encrypt`: one file in, one file out."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.cli.files import FileProblem, Sink, each_file, expand, read, read_password
from gateway.cli.output import output_of
from gateway.cli.smime_recipients import (
    certificates_in,
    ders_in,
    say_unchecked,
    sealer_for,
)
from gateway.errors import SceauError
from gateway.mime.canonical import CannotConvert, to_7bit
from gateway.mime.entity import Message, closed, content_entity, split, with_crlf
from gateway.smime.compress import compress
from gateway.smime.security_label import (
    CLASSIFICATIONS,
    SecurityLabel,
    parse_security_label,
)
from gateway.smime.sign import default_scheme, digest_for, sign, sign_opaque
from gateway.smime.signature import pss_digests
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, Problem
from pki.keys import load_signer
from pki.models import Purpose, SignatureScheme, Signer
from pki.names import name_text
from pki.token_uri import TokenKeyName
from pki.usage import key_problem, purpose_problem


def sign_files(args: Namespace) -> int:
    """`smime sign`.

    Raises PrivateKeyError, CertificateRefused, SceauError, OSError before the first file.
    """
    output = output_of(args)
    inputs = expand(args.files)
    password = read_password(args.password_file)
    signer = _signer(args.key, expand(args.cert), password)
    own, now = ParsedCertificate(signer.certificate), datetime.now(UTC)
    weak = key_problem(own, Purpose.SIGN, now)
    if weak is not None:
        raise CertificateRefused(weak)
    unfit = purpose_problem(own, Purpose.SIGN, now)
    if unfit is not None:
        output.note("{reason}; who verifies will refuse it", reason=output.problem(unfit))
    scheme = _scheme(args.signature, signer)
    digest = _digest(args.digest, signer)
    label = _label(args.security_label)
    sink = Sink(args.out, inputs, as_json=args.as_json)

    def work(path: Path) -> dict[str, Any]:
        outside, entity = _parts(path)
        changes = []
        try:
            if args.compress:
                entity = compress(entity)
            if args.opaque:
                signed = sign_opaque(
                    entity, signer, digest=digest, scheme=scheme, security_label=label
                )
            else:
                entity, transformations = to_7bit(entity)
                changes = [asdict(one) for one in transformations]
                signed = sign(entity, signer, digest=digest, scheme=scheme, security_label=label)
        except CannotConvert as error:
            problem = Problem("structure.cannot-convert", error.template, error.facts)
            raise FileProblem("refused", problem) from None
        except ValueError:
            raise _bare_line_end() from None
        written = sink.write(path, outside, signed.entity)
        if changes:
            output.note(
                "{file}: {count} parts were given a transfer encoding, so that no relay "
                "breaks the signature",
                file=str(path),
                count=str(len(changes)),
            )
        return {
            "status": "signed",
            "out": written,
            "signature": signed.scheme.value,
            "digest": signed.digest,
            "content_digest": signed.content_digest,
            "compressed": args.compress,
            "security_label": None if label is None else label.as_dict(),
            "transformations": changes,
            "problems": [],
        }

    return each_file(args, inputs, work)


def _signer(key: Path | TokenKeyName, certificates: list[Path], password: bytes | None) -> Signer:
    """Raises PrivateKeyError, TokenTrouble, OSError, SceauError."""
    if isinstance(key, Path):
        return load_signer(key, tuple(certificates), password)
    from pki.load_token import load_token_signer
    from pki.token_sessions import Tokens

    return load_token_signer(Tokens(), key, ders_in(certificates))


def encrypt_files(args: Namespace) -> int:
    """`smime encrypt`. Raises SceauError, CertificateRefused, OSError before the first file."""
    output = output_of(args)
    inputs = expand(args.files)
    certificates = certificates_in(expand(args.to))
    sealer = sealer_for(
        certificates,
        args.cipher,
        args.key_management,
        ml_kem=args.experimental_ml_kem,
        hybrid=args.experimental_hybrid,
    )
    sink = Sink(args.out, inputs, as_json=args.as_json)
    say_unchecked(output, len(certificates))
    described = [
        {
            "certificate_sha256": one.certificate.sha256,
            "subject": name_text(one.certificate.certificate.subject),
            "key_management": one.transport.value,
            "checked": False,
        }
        for one in (*sealer.recipients, *sealer.outer)
    ]

    def work(path: Path) -> dict[str, Any]:
        outside, entity = _parts(path)
        if args.compress:
            try:
                entity = compress(entity)
            except ValueError:
                raise _bare_line_end() from None
        sealed = sealer.seal(entity)
        return {
            "status": "encrypted",
            "out": sink.write(path, outside, sealed),
            "cipher": sealer.cipher.value,
            "envelopes": 2 if sealer.outer else 1,
            "compressed": args.compress,
            "recipients": described,
            "problems": [],
        }

    return each_file(args, inputs, work)


def _parts(path: Path) -> tuple[bytes, bytes]:
    """The fields that stay outside, and what is signed or encrypted. The mail itself is not kept:
    one of 100 MB is there once from here on. Raises FileProblem, OSError.
    """
    message = _message(read(path))
    return _outside(message), content_entity(message)


def _message(raw: bytes) -> Message:
    """A mail or a bare entity. Raises FileProblem for what is neither."""
    message = split(with_crlf(raw))
    for field in message.fields:
        if not field.name:
            line = field.raw.decode("ascii", "replace").strip()[:40]
            problem = Problem(
                "structure.header",
                "“{line}” is not a header field; text without a header begins with an empty line",
                {"line": line},
            )
            raise FileProblem("malformed", problem)
    if not raw:
        raise FileProblem("malformed", Problem("structure.empty", "the file is empty"))
    return message


def _bare_line_end() -> FileProblem:
    problem = Problem("structure.line-ends", "a line ends in a CR or LF alone")
    return FileProblem("malformed", problem)


def _outside(message: Message) -> bytes:
    """The fields that stay outside as they came, and MIME-Version."""
    kept = [
        closed(field.raw)
        for field in message.fields
        if not field.name.startswith("content-") and field.name != "mime-version"
    ]
    return b"".join((*kept, b"MIME-Version: 1.0\r\n"))


_KINDS = {
    SignatureScheme.RSA_PKCS1: "rsa",
    SignatureScheme.RSA_PSS: "rsa",
    SignatureScheme.ECDSA: "ec",
    SignatureScheme.ED25519: "ed25519",
}


def _scheme(name: str, signer: Signer) -> SignatureScheme | None:
    if name == "auto":
        return None
    scheme = SignatureScheme(name)
    pss_alone = default_scheme(signer) is SignatureScheme.RSA_PSS
    if signer.kind != _KINDS[scheme] or (pss_alone and scheme is not SignatureScheme.RSA_PSS):
        raise SceauError(
            "this key cannot make {scheme} signatures",
            hint="leave out --signature",
            facts={"scheme": name},
        )
    return scheme


def _digest(name: str, signer: Signer) -> str | None:
    if name == "auto":
        return None
    if signer.kind == "ed25519" and name != "sha512":
        raise SceauError("Ed25519 signatures go with SHA-512 (RFC 8419)", hint="leave out --digest")
    if name not in (pss_digests(signer.certificate) or (name,)):
        raise SceauError(
            "the certificate allows its key for signatures with {digest} alone",
            hint="leave out --digest",
            facts={"digest": digest_for(signer.certificate)},
        )
    return name


def _label(text: str | None) -> SecurityLabel | None:
    if text is None:
        return None
    try:
        return parse_security_label(text)
    except ValueError:
        raise SceauError(
            "{value} is not a security label",
            hint="write the policy's object identifier, a number from 0 to 256 or one of {names}, "
            "and a mark of at most 128 characters: 1.2.3:confidential:staff only",
            facts={"value": text, "names": ", ".join(CLASSIFICATIONS)},
        ) from None
