"""The mails that the demo and the tests send: samples, a large one, real ones of a corpus."""

from __future__ import annotations

import base64
import random
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

# Beside the source tree; the wheel does not carry them.
SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "mails"

LARGE_SIZE = 10_000_000

_FIELD_END = re.compile(rb"\r\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to send. name: file name without ending. content: CRLF lines."""

    name: str
    content: bytes


def samples(folder: Path = SAMPLES) -> list[Mail]:
    """The mails of `samples/mails`, in order of name. Raises FileNotFoundError if none is there."""
    files = sorted(folder.glob("*.eml"))
    if not files:
        raise FileNotFoundError(f"no sample mails in {folder}: run this in the source tree")
    return [Mail(file.stem, file.read_bytes()) for file in files]


def large(sender: str, recipient: str, *, size: int = LARGE_SIZE, seed: int = 1) -> Mail:
    """A mail with one attachment of random octets, `size` octets in all (to within a line).

    The same for the same seed. Random octets do not compress: the archive has to take them whole.
    """
    head = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: Plans, all of them\r\n"
        "Date: Wed, 18 Nov 2026 09:30:00 +0100\r\n"
        f"Message-ID: <large-{seed}@samples.interieur.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="=_large"\r\n\r\n--=_large\r\n'
        "Content-Type: text/plain; charset=us-ascii\r\n\r\nThe plans are attached.\r\n"
        '\r\n--=_large\r\nContent-Type: application/octet-stream; name="plans.bin"\r\n'
        "Content-Transfer-Encoding: base64\r\n"
        'Content-Disposition: attachment; filename="plans.bin"\r\n\r\n'
    ).encode()
    tail = b"--=_large--\r\n"
    octets = (size - len(head) - len(tail)) // 78 * 57  # 57 octets make a line of 76 and CRLF
    data = random.Random(seed).randbytes(octets)  # noqa: S311 - a mail's content, not a key
    return Mail("large", head + base64.encodebytes(data).replace(b"\n", b"\r\n") + tail)


# Fields beside From that say who wrote a mail.
_AUTHOR = re.compile(rb"(?:sender|resent-(?:from|sender))[ \t]*:", re.IGNORECASE)


def ham(archive: Path, count: int, *, sender: str) -> list[Mail]:
    """The first `count` mails of an `easy-ham` archive, by name, ready to be sent by `sender`.

    From is rewritten, and Sender and Resent fields with authors go, because a gateway lets nobody
    write for a domain it does not know; the mbox separator ("From " as first line) goes, because
    it is no part of the mail; line ends become CRLF, because SMTP carries nothing else. Nothing
    else is touched.
    """
    found: list[tuple[str, bytes]] = []
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                found.append((member.name, file.read()))
    found.sort()
    return [Mail(Path(name).stem, sendable(raw, sender)) for name, raw in found[:count]]


def sendable(raw: bytes, sender: str) -> bytes:
    """A mail as it lies in a corpus, made fit for SMTP as `ham` says."""
    mail = re.sub(rb"\r\n|\r|\n", b"\r\n", raw)
    if not mail.endswith(b"\r\n"):
        mail += b"\r\n"
    if mail.startswith(b"From "):
        mail = mail.partition(b"\r\n")[2]
    header, blank, body = mail.partition(b"\r\n\r\n")
    fields = [each for each in _FIELD_END.split(header) if not _AUTHOR.match(each)]
    written = f"From: <{sender}>".encode()
    places = [at for at, field in enumerate(fields) if field[:5].lower() == b"from:"]
    kept = [field for at, field in enumerate(fields) if at not in places[1:]]
    if places:
        kept[places[0]] = written
    else:
        kept.insert(0, written)
    return b"\r\n".join(kept) + blank + body
