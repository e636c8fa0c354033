"""A PKCS#11 token in a folder: SoftHSM2, with keys made by pkcs11-tool as an administrator does."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "482915"


@dataclass
class SoftHsm:
    """One token. `environment` is for every process that uses it."""

    folder: Path
    label: str = "sceau"

    def __post_init__(self) -> None:
        self.tokens = self.folder / "tokens"
        self.tokens.mkdir(parents=True)
        self.conf = self.folder / "softhsm2.conf"
        self.conf.write_text(f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n")
        self.pin_file = self.folder / "pin"
        self.write_pin(PIN)
        self._run(
            "softhsm2-util", "--init-token", "--free", "--label", self.label,
            "--so-pin", "security-officer", "--pin", PIN,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.conf)}

    def write_pin(self, pin: str) -> None:
        self.pin_file.write_text(pin + "\n")
        self.pin_file.chmod(0o600)

    def make_key(self, label: str, bits: int = 256) -> None:
        """An AES key that never leaves the token."""
        self._run(
            "pkcs11-tool", "--module", MODULE, "--token-label", self.label, "--login",
            "--pin", PIN, "--keygen", "--key-type", f"aes:{bits // 8}", "--label", label,
            "--sensitive",
        )  # fmt: skip

    def make_pair(self, kind: str, label: str, number: str = "01") -> None:
        """A key pair whose private half never leaves the token. kind: "rsa:2048", "EC:prime256v1"…
        number: CKA_ID, in hex.
        """
        self._run(
            "pkcs11-tool", "--module", MODULE, "--token-label", self.label, "--login",
            "--pin", PIN, "--keypairgen", "--key-type", kind, "--label", label, "--id", number,
            "--sensitive", "--usage-sign", "--usage-decrypt", "--usage-derive",
        )  # fmt: skip

    def uri(self, label: str) -> str:
        """The private key of this label, by RFC 7512."""
        return (
            f"pkcs11:token={self.label};object={label}"
            f"?module-path={MODULE}&pin-source=file:{self.pin_file}"
        )

    def remove(self) -> None:
        """Pull the token out."""
        self.tokens.rename(self.folder / "pulled-out")
        self.tokens.mkdir()

    def put_back(self) -> None:
        self.tokens.rmdir()
        (self.folder / "pulled-out").rename(self.tokens)

    def _run(self, *command: str | Path) -> None:
        subprocess.run(
            command, check=True, capture_output=True, env={**os.environ, **self.environment}
        )

    def table(self, key: str, name: str = "key_encryption_key") -> str:
        """The configuration's table for a key of this token."""
        return (
            f'[pki.{name}]\nmodule = "{MODULE}"\ntoken = "{self.label}"\nkey = "{key}"\n'
            f'pin_file = "{self.pin_file}"\n'
        )
