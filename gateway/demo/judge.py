"""Proofs by tools that are not ours: `openssl cms` opens what was delivered.

What the gateway should have signed is worked out here by a splitter of its own, which shares
nothing with `gateway/mime`, so that an error there cannot hide itself here.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway.demo.pki import Credential, Ministry

_AT_ONCE = 2  # openssl is one process per step; more than the cores only get in each other's way


class NotProvedError(Exception):
    """A step failed; the text says which, and what openssl said."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a reader finds in a delivered mail.

    inner: what the encryption held, octet for octet (the mail itself if it was not encrypted).
    entity: what the signature covers, octet for octet. signer: DER of the certificate that
    openssl verified it with.
    """

    inner: bytes
    entity: bytes
    signer: bytes

    @property
    def signer_addresses(self) -> tuple[str, ...]:
        """The rfc822Names of the signer's certificate."""
        certificate = x509.load_der_x509_certificate(self.signer)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return tuple(names.value.get_values_for_type(x509.RFC822Name))


@dataclass(frozen=True, slots=True)
class Case:
    """One delivered mail and what must be true of it.

    delivered: file as the sink wrote it. original: the mail as it was sent. reader: opens it; None
    for a mail that was to be signed only. signer: whose signature it must bear.
    """

    name: str
    delivered: Path
    original: bytes
    reader: Credential | None
    signer: Credential


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problem` is "" if everything held."""

    case: Case
    problem: str


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the report: what was checked, whether it held, and what was seen."""

    name: str
    good: bool
    seen: str = ""


def write_trust(ministries: Sequence[Ministry], file: Path) -> Path:
    """The roots of the ministries and the CRLs of all their CAs as they stand now, as one PEM.

    For `openssl -CAfile`, which takes CRLs there too. Intermediate certificates are left out: a
    signature has to bring its own.
    """
    parts = []
    for ministry in ministries:
        parts.append(ministry.root.credential.certificate_file.read_bytes())
        for authority in (ministry.root, ministry.issuing):
            crl = x509.load_der_x509_crl(authority.crl_file.read_bytes())
            parts.append(crl.public_bytes(serialization.Encoding.PEM))
    file.write_bytes(b"".join(parts))
    return file


def open_mail(delivered: Path, reader: Credential | None, trust: Path) -> Opened:
    """Decrypt with the reader's key, then verify the signature up to `trust`, CRLs checked.

    The signature is verified over exactly the octets that come back as `entity`.
    Raises NotProvedError.
    """
    with tempfile.TemporaryDirectory(prefix="sceau-judge-") as name:
        folder = Path(name)
        source = delivered
        if reader is not None:
            source = folder / "inner"
            keys: list[str | Path] = ["-recip", reader.certificate_file, "-inkey", reader.key_file]
            _openssl("decrypt", "-in", delivered, "-out", source, *keys)
        inner = source.read_bytes()
        entity, signer = folder / "entity", folder / "signer"
        arguments: list[str | Path] = ["-in", source, "-binary", "-purpose", "smimesign"]
        arguments += ["-crl_check_all", "-CAfile", trust, "-signer", signer]
        signed = signed_part(inner)
        if signed is None:  # opaque: the signature carries the entity
            _openssl("verify", *arguments, "-out", entity)
            signed = entity.read_bytes()
        else:
            entity.write_bytes(signed)
            # -content: openssl's own idea of where the part ends and how its lines end is not
            # asked; it checks the octets that are compared with the original.
            _openssl("verify", *arguments, "-content", entity, "-out", folder / "seen")
        certificate = x509.load_pem_x509_certificate(signer.read_bytes())
        return Opened(inner, signed, certificate.public_bytes(serialization.Encoding.DER))


def judge(cases: Iterable[Case], trust: Path) -> list[Verdict]:
    """Open every mail and compare; verdicts in the order of the cases."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda case: Verdict(case, _problem(case, trust)), cases))


def _problem(case: Case, trust: Path) -> str:
    try:
        opened = open_mail(case.delivered, case.reader, trust)
    except NotProvedError as error:
        return str(error)
    if opened.signer != case.signer.der:
        return f"signed by {', '.join(opened.signer_addresses)}"
    expected = expected_entity(case.original)
    if opened.entity != expected:
        at = next(
            (
                number
                for number, pair in enumerate(zip(opened.entity, expected, strict=False))
                if pair[0] != pair[1]
            ),
            min(len(opened.entity), len(expected)),
        )
        return (
            f"the signed entity has {len(opened.entity)} octets, the original {len(expected)}; "
            f"first difference at {at}"
        )
    return ""


def expected_entity(original: bytes) -> bytes:
    """The MIME entity of a mail: Content-* fields as they came, an empty line, the body."""
    if original.startswith(b"\r\n"):
        return original
    header, _, body = original.partition(b"\r\n\r\n")
    kept, keeping = b"", False
    for line in header.split(b"\r\n"):
        if line[:1] not in (b" ", b"\t"):
            keeping = line[:8].lower() == b"content-"
        if keeping:
            kept += line + b"\r\n"
    return kept + b"\r\n" + body


def signed_part(mail: bytes) -> bytes | None:
    """The first part of a multipart/signed, octet for octet; None for any other mail.

    The CRLF before a boundary line belongs to the boundary (RFC 2046 §5.1.1). Raises
    NotProvedError if the boundary is not there.
    """
    header, _, body = mail.partition(b"\r\n\r\n")
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", header)
    kind = re.search(rb"(?im)^content-type:\s*multipart/signed\b([^\r\n]*)", unfolded)
    if kind is None:
        return None
    boundary = re.search(rb'(?i)boundary=(?:"([^"]+)"|([^\s;"]+))', kind[1])
    if boundary is None:
        raise NotProvedError("multipart/signed without a boundary")
    line = b"--" + (boundary[1] or boundary[2])
    if body.startswith(line + b"\r\n"):
        start = len(line) + 2
    else:
        start = body.find(b"\r\n" + line + b"\r\n") + len(line) + 4
        if start < len(line) + 4:
            raise NotProvedError("multipart/signed without its first boundary line")
    end = body.find(b"\r\n" + line, start)
    if end < 0:
        raise NotProvedError("multipart/signed without its second boundary line")
    return body[start:end]


def _openssl(step: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        ["openssl", "cms", f"-{step}", *arguments], capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().replace("\n", " | ")
        raise NotProvedError(f"openssl cms -{step}: {said[:500]}")


def table(checks: Sequence[Check]) -> str:
    """The checks as lines of text: mark, name, what was seen."""
    width = max((len(check.name) for check in checks), default=0)
    return "\n".join(
        f"  {'ok  ' if check.good else 'FAIL'}  {check.name:<{width}}  {check.seen}".rstrip()
        for check in checks
    )
