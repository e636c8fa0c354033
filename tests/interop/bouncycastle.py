"""Bouncy Castle, asked through `BouncyCastle.java`: one process for the whole run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from tests.interop.peer import Peer, PeerError
from tests.interop.rows import Encryption, Signature
from tests.unit.smime_world import Identity, world

JARS = [Path("/usr/share/java") / f"bc{name}.jar" for name in ("prov", "pkix", "util", "mail")]
_SOURCE = Path(__file__).with_name("BouncyCastle.java")


class BouncyCastle(Peer):
    """Checks signatures with the certificate that comes along, no paths."""

    name = "Bouncy Castle"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._java = subprocess.Popen(
            ["java", "-cp", os.pathsep.join(map(str, JARS)), str(_SOURCE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._java.stdout is not None
        self._version = self._java.stdout.readline().strip()
        if not self._version:
            raise PeerError("java ended")
        self._ca = self.file("ca.pem", world().middle.public_bytes(Encoding.PEM))

    @property
    def version(self) -> str:
        return self._version

    def close(self) -> None:
        """End the process."""
        self._java.communicate()

    def verify(self, cms: bytes, content: bytes | None) -> bytes:
        given = "" if content is None else self.file("content", content)
        return self._ask("verify", cms, given)

    def decrypt(self, cms: bytes, owner: Identity) -> bytes:
        _, key = owner.write(self.folder, "owner")
        return self._ask("decrypt", cms, key)

    def sign(self, content: bytes, row: Signature, owner: Identity, *, opaque: bool) -> bytes:
        cert, key = owner.write(self.folder, "owner")
        scheme = {"rsa-pkcs1": "RSA", "rsa-pss": "RSAandMGF1", "ecdsa": "ECDSA"}
        how = f"{row.digest.upper()}with{scheme.get(row.scheme)}"
        if isinstance(owner.key, ed25519.Ed25519PrivateKey):
            how = "Ed25519"
        return self._ask("sign", content, cert, self._ca, key, how, "opaque" if opaque else "")

    def encrypt(self, content: bytes, row: Encryption, owner: Identity) -> bytes:
        cert, _ = owner.write(self.folder, "owner")
        return self._ask("encrypt", content, cert, row.cipher, row.management)

    def _ask(self, verb: str, data: bytes, *arguments: object) -> bytes:
        out = self.folder / "out"
        words = [verb, self.file("in", data), out, *arguments, "end"]
        assert self._java.stdin is not None
        assert self._java.stdout is not None
        self._java.stdin.write("\t".join(map(str, words)) + "\n")
        self._java.stdin.flush()
        answer = self._java.stdout.readline().strip()
        if answer != "ok":
            raise PeerError(answer or "java ended")
        return out.read_bytes()
