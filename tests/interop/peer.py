"""What the matrix asks of a program that is not ours."""

from __future__ import annotations

import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

from tests.interop.rows import Encryption, Signature
from tests.unit.smime_world import Identity


class PeerError(Exception):
    """The peer refused or failed; the text is its own."""


class NotAsked(Exception):
    """The peer's command has no option for this."""


class Peer(ABC):
    """One program. All CMS is DER. Every method raises PeerError or NotAsked.

    folder: for files on the way, and for the peer's store of keys and certificates.
    """

    name: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    @abstractmethod
    def version(self) -> str:
        """As the program itself says it."""

    @abstractmethod
    def verify(self, cms: bytes, content: bytes | None) -> bytes:
        """The content it vouches for. content: None where it is in the CMS."""

    @abstractmethod
    def decrypt(self, cms: bytes, owner: Identity) -> bytes:
        """The content."""

    @abstractmethod
    def sign(self, content: bytes, row: Signature, owner: Identity, *, opaque: bool) -> bytes:
        """SignedData with the certificates of the signer and his CA."""

    @abstractmethod
    def encrypt(self, content: bytes, row: Encryption, owner: Identity) -> bytes:
        """EnvelopedData or AuthEnvelopedData."""

    def file(self, name: str, data: bytes) -> Path:
        """A file for the peer to read."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def run(self, *command: object, stdin: bytes = b"") -> bytes:
        """Standard output. Raises PeerError with what stands on standard error."""
        try:
            done = subprocess.run(
                list(map(str, command)), capture_output=True, input=stdin, timeout=30
            )
        except subprocess.TimeoutExpired:
            raise PeerError("no answer in 30 s") from None
        if done.returncode != 0:
            raise PeerError(self.complaint(done.stderr.decode("utf-8", "replace")))
        return done.stdout

    def complaint(self, text: str) -> str:
        """The line of standard error that says why."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[0] if lines else "failed and said nothing"


def missing(*programs: str) -> str:
    """Why a peer cannot be asked, empty if it can."""
    absent = [name for name in programs if shutil.which(name) is None]
    return f"not asked: no {', '.join(absent)} on this machine" if absent else ""
