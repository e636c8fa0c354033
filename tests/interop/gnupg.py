"""GnuPG's `gpgsm`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.gpgsm import import_p12
from tests.interop.peer import NotAsked, Peer, PeerError
from tests.interop.rows import Encryption, Signature
from tests.unit.smime_world import Identity, Key, world


class GnuPG(Peer):
    """A home folder of its own, without CRLs; keys come in when they are first used."""

    name = "gpgsm"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._home = folder / "gnupg"
        self._home.mkdir(mode=0o700)
        (self._home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
        fingerprint = world().root.fingerprint(hashes.SHA1()).hex().upper()
        (self._home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
        self._command = (
            "gpgsm", "--homedir", self._home, "--batch", "--yes", "--pinentry-mode", "loopback",
            "--passphrase-fd", "0", "--disable-crl-checks",
        )  # fmt: skip
        self._keys: set[str] = set()
        for cert in (world().root, world().middle):
            self._gpgsm("--import", self.file("ca.pem", cert.public_bytes(Encoding.PEM)))

    @property
    def version(self) -> str:
        return self.run("gpgsm", "--version").decode().split()[2]

    def close(self) -> None:
        """End the agent that the command started."""
        subprocess.run(["gpgconf", "--homedir", self._home, "--kill", "all"], check=False)

    def verify(self, cms: bytes, content: bytes | None) -> bytes:
        source = self.file("cms", cms)
        if content is not None:
            self._gpgsm("--verify", source, self.file("content", content))
            return content
        out = self.folder / "verified"
        self._gpgsm("--output", out, "--verify", source)
        return out.read_bytes()

    def decrypt(self, cms: bytes, owner: Identity) -> bytes:
        self._import(owner)
        return self._gpgsm("--decrypt", self.file("cms", cms))

    def sign(self, content: bytes, row: Signature, owner: Identity, *, opaque: bool) -> bytes:
        if row.scheme == "rsa-pss":
            raise NotAsked
        way = "--sign" if opaque else "--detach-sign"
        return self._gpgsm(
            "--local-user", self._import(owner), "--digest-algo", row.digest.upper(), way,
            self.file("content", content),
        )  # fmt: skip

    def encrypt(self, content: bytes, row: Encryption, owner: Identity) -> bytes:
        if row.management == "rsa-oaep" or "gcm" in row.cipher:
            raise NotAsked
        # The certificate alone: gpgsm cannot bring in every key.
        cert = self.file("cert.pem", owner.certificate.public_bytes(Encoding.PEM))
        self._gpgsm("--import", cert)
        fingerprint = owner.certificate.fingerprint(hashes.SHA1()).hex().upper()
        cipher = "3DES" if row.legacy else row.cipher.removesuffix("-cbc").replace("-", "").upper()
        return self._gpgsm(
            "--cipher-algo", cipher, "--recipient", fingerprint, "--encrypt",
            self.file("content", content),
        )  # fmt: skip

    def complaint(self, text: str) -> str:
        """The first line that says why, or that of a crash: others come before and behind."""
        lines = [line.removeprefix("gpgsm: ").strip() for line in text.splitlines()]
        return next((line for line in lines if _is_cause(line)), super().complaint(text))

    def _import(self, owner: Identity) -> str:
        """The fingerprint by which it knows the key."""
        fingerprint = owner.certificate.fingerprint(hashes.SHA1()).hex().upper()
        if not isinstance(owner.key, Key):
            raise NotAsked  # no PKCS#12 of X25519 can be made here, and there is no other way in
        if fingerprint not in self._keys:
            target = self.folder / "owner.p12"
            try:
                write = lambda: owner.write_p12(target, b"test", world().root)  # noqa: E731
                import_p12(self._command, write, b"test\n")
            except AssertionError as error:
                raise PeerError(f"import of the key: {self.complaint(str(error))}") from None
            self._keys.add(fingerprint)
        return fingerprint

    def _gpgsm(self, *arguments: object) -> bytes:
        return self.run(*self._command, *arguments, stdin=b"test\n")


def _is_cause(line: str) -> bool:
    words = ("error", "fail", "fault", "unsupported", "not valid", "requires", "not supported")
    # It says so of each character set that it tries for the password.
    return "trying charset" not in line and any(word in line.lower() for word in words)
