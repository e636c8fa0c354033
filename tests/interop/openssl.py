"""`openssl cms`."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.interop.peer import Peer
from tests.interop.rows import Encryption, Signature
from tests.unit.smime_world import Identity, world


class OpenSSL(Peer):
    """The command of OpenSSL 3.0."""

    name = "OpenSSL"

    @property
    def version(self) -> str:
        return " ".join(self.run("openssl", "version").decode().split()[1:2])

    def verify(self, cms: bytes, content: bytes | None) -> bytes:
        out = self.folder / "verified"
        given = [] if content is None else ["-content", self.file("content", content)]
        self.run(
            "openssl", "cms", "-verify", "-binary", "-inform", "DER",
            "-in", self.file("cms", cms), "-CAfile", world().write_cas(self.folder),
            "-purpose", "smimesign", "-out", out, *given,
        )  # fmt: skip
        return out.read_bytes()

    def decrypt(self, cms: bytes, owner: Identity) -> bytes:
        cert, key = owner.write(self.folder, "owner")
        out = self.folder / "decrypted"
        self.run(
            "openssl", "cms", "-decrypt", "-binary", "-inform", "DER",
            "-in", self.file("cms", cms), "-recip", cert, "-inkey", key, "-out", out,
        )  # fmt: skip
        return out.read_bytes()

    def sign(self, content: bytes, row: Signature, owner: Identity, *, opaque: bool) -> bytes:
        cert, key = owner.write(self.folder, "owner")
        padding = ["-keyopt", "rsa_padding_mode:pss"] if row.scheme == "rsa-pss" else []
        return self.run(
            "openssl", "cms", "-sign", "-binary", "-outform", "DER",
            "-in", self.file("content", content), "-signer", cert, "-inkey", key,
            "-md", row.digest, "-certfile", self._chain(owner),
            *padding, *["-nodetach"] * opaque,
        )  # fmt: skip

    def encrypt(self, content: bytes, row: Encryption, owner: Identity) -> bytes:
        cert, _ = owner.write(self.folder, "owner")
        options = ["-keyopt", "rsa_padding_mode:oaep"] if row.management == "rsa-oaep" else []
        cipher = "des3" if row.cipher == "3des-cbc" else row.cipher
        if not isinstance(owner.key, rsa.RSAPrivateKey):
            options = ["-aes256-wrap", "-keyopt", "ecdh_kdf_md:sha256"]
        return self.run(
            "openssl", "cms", "-encrypt", "-binary", "-outform", "DER", f"-{cipher}",
            "-in", self.file("content", content), "-recip", cert, *options,
        )  # fmt: skip

    def complaint(self, text: str) -> str:
        """The innermost reason of the error queue, without process ids and line numbers."""
        errors = [line.split(":") for line in text.splitlines() if ":error:" in line]
        if not errors or len(errors[0]) < 6:
            return super().complaint(text)
        return f"{errors[0][5]} ({errors[0][4]})"

    def _chain(self, owner: Identity) -> Path:
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in owner.chain)
        return self.file("chain.pem", pem)
