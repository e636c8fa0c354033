"""NSS's `cmsutil`: the engine of Thunderbird, as a command."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.interop.peer import NotAsked, Peer, PeerError
from tests.interop.rows import Encryption, Signature
from tests.unit.smime_world import Identity, Key, world


class NSS(Peer):
    """One database that trusts the root; keys come in when they are first used."""

    name = "NSS"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        database = folder / "database"
        database.mkdir()
        self._database = f"sql:{database}"
        self._known: set[str] = set()
        self._tool("certutil", "-N", "--empty-password")
        for nickname, trust, cert in (
            ("root", "CT,C,C", world().root),
            ("ca", ",,", world().middle),
        ):
            file = self.file(f"{nickname}.pem", cert.public_bytes(Encoding.PEM))
            self._tool("certutil", "-A", "-n", nickname, "-t", trust, "-a", "-i", file)

    @property
    def version(self) -> str:
        """Of the library's package: the command has no option for it."""
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", "libnss3-tools"],
            capture_output=True,
            text=True,
        )
        found = re.search(r"[0-9][0-9.]*[0-9]", done.stdout.partition(":")[2] or done.stdout)
        return f"cmsutil {found[0]}" if found else "cmsutil"

    def verify(self, cms: bytes, content: bytes | None) -> bytes:
        given = [] if content is None else ["-c", self.file("content", content)]
        source = self.file("cms", cms)
        # It ends with 0 for a signature that it does not accept: the verdict is in what it prints.
        said = self._tool("cmsutil", "-D", "-n", "-h", "0", *given, "-i", source)
        status = re.search(rb"signer0\.status=(\w+)", said)
        if status is None or status[1] != b"GoodSignature":
            raise PeerError(status[1].decode() if status else "no signer")
        out = self.folder / "verified"
        self._tool("cmsutil", "-D", *given, "-i", source, "-o", out)
        return out.read_bytes()

    def decrypt(self, cms: bytes, owner: Identity) -> bytes:
        self._import(owner)
        out = self.folder / "decrypted"
        out.unlink(missing_ok=True)
        self._tool("cmsutil", "-D", "-i", self.file("cms", cms), "-o", out)
        return out.read_bytes()

    def sign(self, content: bytes, row: Signature, owner: Identity, *, opaque: bool) -> bytes:
        if row.scheme == "rsa-pss":
            raise NotAsked
        return self._tool(
            "cmsutil", "-S", "-N", self._import(owner), "-H", row.digest.upper(), "-G",
            *["-T"] * (not opaque), "-i", self.file("content", content),
        )  # fmt: skip

    def encrypt(self, content: bytes, row: Encryption, owner: Identity) -> bytes:
        """No option chooses: without capabilities of the reader it takes AES-128-CBC."""
        if (row.cipher, row.management) != ("aes-128-cbc", "rsa-pkcs1"):
            raise NotAsked
        nickname = self._import(owner)
        out = self.folder / "encrypted"
        source = self.file("content", content)
        self._tool("cmsutil", "-E", "-r", nickname, "-i", source, "-o", out)
        return out.read_bytes()

    def complaint(self, text: str) -> str:
        """The error's text, without the program's name."""
        return super().complaint(text).removeprefix("cmsutil: ")

    def _import(self, owner: Identity) -> str:
        """The nickname of the key."""
        if not isinstance(owner.key, Key):
            raise NotAsked  # no PKCS#12 of X25519 can be made here, and there is no other way in
        # Not by address: several have the same one, and NSS would take the first.
        nickname = owner.certificate.fingerprint(hashes.SHA256()).hex()
        if nickname not in self._known:
            named = replace(owner, address=nickname)
            p12 = named.write_p12(self.folder / "owner.p12", b"test", world().root)
            self._tool("pk12util", "-i", p12, "-K", "", "-W", "test")
            self._known.add(nickname)
        return nickname

    def _tool(self, program: str, *arguments: object) -> bytes:
        return self.run(program, "-d", self._database, *arguments)
