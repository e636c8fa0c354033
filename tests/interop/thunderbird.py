"""The real Thunderbird, which reads only: all mails in one start of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.judges.thunderbird.judge import INSTALLED, ask
from tests.unit.smime_world import world

NAME = "Thunderbird"


def version() -> str:
    """Of the installed program. Raises OSError."""
    lines = (INSTALLED / "application.ini").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("Version="))


def read(folder: Path, mails: Mapping[str, tuple[bytes, bool]], text: str) -> dict[str, str]:
    """What it says of each mail, "ok" or its status. mails: the mail, and whether it is encrypted.

    text: what has to be seen of it. Raises JudgeError.
    """
    files = []
    for number, (mail, _) in enumerate(mails.values()):
        files.append(folder / f"{number}.eml")
        files[-1].write_bytes(mail)
    root = folder / "root.der"
    root.write_bytes(world().root.public_bytes(Encoding.DER))
    readers = [
        one for one in (world().bob, *world().curves.values())
        if isinstance(one.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    ]  # fmt: skip
    keys = [
        one.write_p12(folder / f"{number}.p12", b"test", world().root)
        for number, one in enumerate(readers)
    ]
    verdicts = ask(files, ca=root, p12=keys, password="test")
    said = {}
    for (name, (_, encrypted)), verdict in zip(mails.items(), verdicts, strict=True):
        field = "encryptionStatus" if encrypted else "signedStatus"
        if verdict.get("error"):
            said[name] = str(verdict["error"])
        elif verdict[field] is None:
            said[name] = "shows an empty mail" if encrypted else "no verdict"
        elif verdict[field] != 0:
            said[name] = f"{field} {verdict[field]}"
        else:
            said[name] = "ok" if text in verdict["text"] else "nothing of the text is shown"
    return said
