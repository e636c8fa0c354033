"""The mails that are measured with: a text, or a text with an attachment."""

from __future__ import annotations

import base64
import random

SIZES = {"4k": 4_096, "75k": 75_000, "1M": 1_000_000}

_WORDS = (
    "act agency annual answer appeal archive article audit board budget case chamber citizen "
    "clause clerk code committee council court decision decree delay department directive "
    "document draft evidence figure file finance form hearing house inquiry item judge law letter "
    "measure meeting minister ministry minute notice office opinion order office paper paragraph "
    "plan policy prefect procedure proposal public quarter record register regulation report "
    "request review rule schedule seal section service signature staff state statement statute "
    "summary table term text transfer treaty tribunal unit vote warrant witness year"
)


def mail(octets: int, sender: str, recipient: str) -> bytes:
    """A mail of so many octets to within a line, CRLF; the same every time."""
    dice = random.Random(1)  # noqa: S311 - filler text
    head = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: Quarterly report and figures\r\n"
        "Date: Wed, 18 Nov 2026 09:30:00 +0100\r\n"
        f"Message-ID: <bench-{octets}@samples.interieur.example>\r\nMIME-Version: 1.0\r\n"
    ).encode()
    plain = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
    if octets < 10_000:
        return head + plain + _text(dice, octets - len(head) - len(plain))
    head += b'Content-Type: multipart/mixed; boundary="bench"\r\n\r\n--bench\r\n' + plain
    head += _text(dice, 3_000)
    head += (
        b'\r\n--bench\r\nContent-Type: application/pdf; name="report.pdf"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="report.pdf"\r\n\r\n'
    )
    tail = b"--bench--\r\n"
    data = dice.randbytes((octets - len(head) - len(tail)) // 78 * 57)
    return head + base64.encodebytes(data).replace(b"\n", b"\r\n") + tail


def _text(dice: random.Random, octets: int) -> bytes:
    lines, line, words = b"", b"", _WORDS.split()
    while len(lines) + len(line) + 2 < octets:
        if len(line) > 64:
            lines, line = lines + line + b"\r\n", b""
        line += dice.choice(words).encode() + b" "
    return lines + line.rstrip() + b"\r\n"
