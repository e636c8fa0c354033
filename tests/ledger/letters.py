"""The mails of the ledger: each is like no other, so that what arrives can only be one of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FIELD = b"X-Ledger"


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to send. key: stands in its header field X-Ledger and, if `secret`, in its body.

    secret: an octet string of the body that must never be seen by who may only see ciphertext; b""
    where the body is a sample's, which other mails have too.
    """

    key: str
    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes
    secret: bytes = b""

    @property
    def sha256(self) -> str:
        """Of the octets as they are sent."""
        return hashlib.sha256(self.content).hexdigest()


def letters(
    name: str,
    count: int,
    *,
    sender: str,
    recipients: Sequence[str],
    samples: Path,
    random: random.Random,
) -> list[Letter]:
    """`count` letters with keys NAME-0 …: every other one a sample mail, the rest written here.

    Every fifth goes to two recipients at once, the others to one of them.
    """
    found = [file.read_bytes() for file in sorted(samples.glob("*.eml"))]
    made = []
    for n in range(count):
        key = f"{name}-{n}"
        to = tuple(random.sample(recipients, 2 if n % 5 == 0 else 1))
        mark = FIELD + b": " + key.encode() + b"\r\n"
        if n % 2:
            made.append(Letter(key, sender, to, mark + random.choice(found)))
        else:
            secret = f"this-is-{key}-and-secret-{random.getrandbits(64):016x}".encode()
            made.append(
                Letter(key, sender, to, mark + _written(sender, to, secret, random), secret)
            )
    return made


def _written(sender: str, to: Sequence[str], secret: bytes, random: random.Random) -> bytes:
    lines = [
        f"From: <{sender}>",
        "To: " + ", ".join(f"<{one}>" for one in to),
        "Subject: from the ledger",
        "Date: Wed, 18 Nov 2026 09:30:00 +0100",
        f"Message-ID: <{random.getrandbits(96):024x}@ledger.example>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        secret.decode(),
    ]
    # Dots, blanks and empty lines: what a transport likes to change.
    words = (".", "..", "", "From here", "text ", "\t", "--", "=3D", "x" * 900)
    lines += random.choices(words, k=random.randrange(1, 60))
    return "\r\n".join(lines).encode() + b"\r\n"


def key_of(mail: bytes) -> str:
    """The key in the header of a mail; "" where there is none."""
    header = b"\r\n" + mail.partition(b"\r\n\r\n")[0]
    _, found, rest = header.partition(b"\r\n" + FIELD + b": ")
    return rest.partition(b"\r\n")[0].decode() if found else ""
