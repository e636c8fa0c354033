"""A recipient who opens his mail with `openssl cms` and compares it with what was sent."""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Somebody who must get ciphertext: his certificate and key as PEM files."""

    certificate: Path
    key: Path


class NotOpenedError(Exception):
    """Says which step failed, and what openssl said."""


class NotEncryptedError(NotOpenedError):
    """It came in clear."""


def opened(mail: bytes, box: Mailbox, trust: Path) -> bytes:
    """The MIME entity under encryption and signature, octet for octet.

    trust: PEM file with the roots that a signer's certificate has to lead to.
    Raises NotOpenedError, NotEncryptedError.
    """
    kind = re.search(rb"(?im)^content-type:[^\r\n]*", mail.partition(b"\r\n\r\n")[0])
    if kind is None or b"application/pkcs7-mime" not in kind[0].lower():
        raise NotEncryptedError("it is not encrypted")
    with tempfile.TemporaryDirectory(prefix="sceau-ledger-") as name:
        folder = Path(name)
        (folder / "mail").write_bytes(mail)
        _openssl(folder, "-decrypt", "-in", "mail", "-out", "inner",
                 "-recip", str(box.certificate), "-inkey", str(box.key))  # fmt: skip
        inner = (folder / "inner").read_bytes()
        part = _first_part(inner)
        (folder / "part").write_bytes(part)
        _openssl(folder, "-verify", "-binary", "-in", "inner", "-content", "part", "-out", "seen",
                 "-CAfile", str(trust), "-purpose", "any")  # fmt: skip
        return part


def entity_of(mail: bytes) -> bytes:
    """What has to be under the signature: Content-* fields as they came, empty line, body."""
    header, _, body = mail.partition(b"\r\n\r\n")
    fields = re.findall(rb"[^\r\n]+(?:\r\n[ \t][^\r\n]*)*", header)
    kept = [one + b"\r\n" for one in fields if one[:8].lower() == b"content-"]
    return b"".join(kept) + b"\r\n" + body


def _first_part(mail: bytes) -> bytes:
    """RFC 2046 §5.1.1: between the first two lines of the boundary, without the last CRLF."""
    header, _, body = mail.partition(b"\r\n\r\n")
    found = re.search(rb'(?is)content-type:\s*multipart/signed\b.*?boundary="?([^"\r\n;]+)', header)
    if found is None:
        raise NotOpenedError("it is not clear-signed inside")
    line = b"\r\n--" + found[1]
    pieces = (b"\r\n" + body).split(line)
    if len(pieces) < 3 or not pieces[1].startswith(b"\r\n"):
        raise NotOpenedError("its boundary is not where it has to be")
    return pieces[1][2:]


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["openssl", "cms", *arguments], cwd=folder, capture_output=True, check=False
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().replace("\n", " | ")
        raise NotOpenedError(f"openssl cms {arguments[0]}: {said[:300]}")
