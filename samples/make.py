#!/usr/bin/env python3
"""Writes the mails of samples/mails. Standard library and, for signed.eml, openssl.

    python3 samples/make.py [FOLDER]

All but signed.eml come out the same every time; a test compares. signed.eml is written only where
it is missing, because its key is thrown away after use.
"""

from __future__ import annotations

import base64
import quopri
import subprocess
import sys
import tempfile
from pathlib import Path

FROM = "From: Jeanne Moreau <jeanne.moreau@interieur.example>"
TO = "To: =?UTF-8?Q?Am=C3=A9lie?= Roux <amelie.roux@justice.example>"

TEXT = """Madame,

Veuillez trouver ci-joint la note relative à la réunion du 12 août, à Évry.
L'été dernier, l'hôtel était fermé ; cette année, le maître d'œuvre s'y est engagé.
Coût prévu : 1 250 €, « tout compris ».

Bien à vous,
Jeanne Moreau
"""


def lines(*text: str) -> bytes:
    """Text lines in UTF-8, each ended by CRLF."""
    return "".join(f"{line}\r\n" for line in text).encode()


def header(name: str, subject: str, *more: str) -> bytes:
    """The fields that every sample has; `more` closes the header."""
    return lines(
        FROM,
        TO,
        f"Subject: {subject}",
        "Date: Wed, 18 Nov 2026 09:30:00 +0100",
        f"Message-ID: <{name}@samples.interieur.example>",
        "MIME-Version: 1.0",
        *more,
    )


def b64(data: bytes) -> bytes:
    """Base64 in lines of 76, ended by CRLF."""
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def printable(text: str) -> bytes:
    """Quoted-printable in UTF-8 with CRLF."""
    encoded = quopri.encodestring(text.encode())
    return encoded.replace(b"\n", b"\r\n")


def word(text: str, charset: str = "utf-8") -> str:
    """RFC 2047 encoded-word."""
    return f"=?{charset.upper()}?B?{base64.b64encode(text.encode(charset)).decode()}?="


def accents() -> bytes:
    note = "Été, hiver, Noël : à réviser dès que possible.\r\n" * 12
    return b"".join(
        [
            header("accents", word("Réunion à la préfecture, été 2026")),
            lines('Content-Type: multipart/mixed; boundary="=_accents"', "", "--=_accents"),
            lines("Content-Type: text/plain; charset=utf-8"),
            lines("Content-Transfer-Encoding: quoted-printable", ""),
            printable(TEXT),
            lines("", "--=_accents", "Content-Type: text/plain; charset=utf-8"),
            lines("Content-Transfer-Encoding: base64"),
            lines("Content-Disposition: attachment;", " filename*=utf-8''r%C3%A9vision.txt", ""),
            b64(note.encode()),
            lines("--=_accents--"),
        ]
    )


def html_pdf() -> bytes:
    html = (
        '<html><body style="font-family: sans-serif"><h1>Arrêté n° 42</h1>\r\n'
        "<p>Le texte est joint en <b>PDF</b>. À signer avant l'échéance.</p></body></html>\r\n"
    )
    return b"".join(
        [
            header("html-pdf", word("Arrêté n° 42 à signer")),
            lines('Content-Type: multipart/mixed; boundary="=_outer"', ""),
            lines("This is a multi-part message in MIME format.", "--=_outer"),
            lines('Content-Type: multipart/alternative; boundary="=_inner"', "", "--=_inner"),
            lines("Content-Type: text/plain; charset=utf-8"),
            lines("Content-Transfer-Encoding: quoted-printable", ""),
            printable("Arrêté n° 42\n\nLe texte est joint en PDF.\n"),
            lines("", "--=_inner", "Content-Type: text/html; charset=utf-8"),
            lines("Content-Transfer-Encoding: quoted-printable", ""),
            printable(html.replace("\r\n", "\n")),
            lines("", "--=_inner--", "", "--=_outer"),
            lines('Content-Type: application/pdf; name="arrete-42.pdf"'),
            lines("Content-Transfer-Encoding: base64"),
            lines('Content-Disposition: attachment; filename="arrete-42.pdf"', ""),
            b64(pdf("Arrete no 42")),
            lines("--=_outer--"),
        ]
    )


def pdf(text: str) -> bytes:
    """A PDF of one page with one line of text."""
    drawn = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
            b" /Resources << /Font << /F1 5 0 R >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return out + b"startxref\n%d\n%%%%EOF\n" % start


def latin1() -> bytes:
    text = TEXT.replace("€", "euros").replace("œ", "oe").replace("\n", "\r\n")
    return (
        header("latin1-8bit", "=?ISO-8859-1?Q?R=E9union_=E0_=C9vry?=")
        + lines("Content-Type: text/plain; charset=iso-8859-1")
        + lines("Content-Transfer-Encoding: 8bit", "")
        + text.encode("iso-8859-1")
    )


def utf8_headers() -> bytes:
    return (
        header("utf8-headers", "Réunion à Évry, été 2026")
        + lines("Content-Type: text/plain; charset=utf-8")
        + lines("Content-Transfer-Encoding: 8bit", "")
        + lines(*TEXT.splitlines())
    )


def iso_2022_jp() -> bytes:
    text = "内務省のモローです。\r\n添付の資料をご確認ください。\r\nよろしくお願いいたします。\r\n"
    return (
        header("iso-2022-jp", word("会議の資料について", "iso-2022-jp"))
        + lines("Content-Type: text/plain; charset=iso-2022-jp")
        + lines("Content-Transfer-Encoding: 7bit", "")
        + text.encode("iso-2022-jp")
    )


def odd_lines() -> bytes:
    return (
        header("odd-lines", "Lines that gateways like to mend")
        + lines("content-TYPE:\ttext/plain;", "  charset=us-ascii;", "\tformat=flowed", "")
        + lines("", "", ".", "..", ".hidden", "trailing blanks   ", "tab at the end\t", "-- ")
        + lines("From here on a line begins with From.", "--not-a-boundary", "x" * 1900)
        + lines("three empty lines follow", "", "", "")
    )


def signed(plain: bytes) -> bytes:
    """`plain` signed by openssl with a key that exists only during this call."""
    fields, _, body = plain.partition(b"Content-Type:")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "entity").write_bytes(b"Content-Type:" + body)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "3650",
             "-subj", "/CN=Throw-away key of a sample", "-keyout", "key", "-out", "cert",
             "-addext", "subjectAltName=email:jeanne.moreau@interieur.example"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        made = subprocess.run(
            ["openssl", "cms", "-sign", "-binary", "-crlfeol", "-in", "entity",
             "-signer", "cert", "-inkey", "key", "-md", "sha256"],
            cwd=folder, check=True, capture_output=True,
        ).stdout  # fmt: skip
    made = made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return fields.replace(b"MIME-Version: 1.0\r\n", b"") + made


MAILS = {
    "accents": accents,
    "html-pdf": html_pdf,
    "latin1-8bit": latin1,
    "utf8-headers": utf8_headers,
    "iso-2022-jp": iso_2022_jp,
    "odd-lines": odd_lines,
}


def main(folder: Path) -> None:
    """Write all samples to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in MAILS.items():
        (folder / f"{name}.eml").write_bytes(make())
    path = folder / "signed.eml"
    if not path.exists():
        plain = header("signed", "Already signed by its sender")
        plain += lines("Content-Type: text/plain; charset=us-ascii", "", "Signed before it came.")
        path.write_bytes(signed(plain))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "mails")
