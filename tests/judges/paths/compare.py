"""One case before two judges, and what else is asked where they disagree."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.judges.paths.model import Case
from tests.judges.paths.peers import Answer, Java, openssl, ours_of_mail, ours_of_path, write

Ask = Callable[[Case, Path], Answer]


@dataclass(frozen=True)
class Peer:
    """One program that judges paths. mail: it also judges purpose and address."""

    name: str
    version: str
    ask: Ask
    mail: bool


@dataclass
class Comparison:
    """Ours and a peer's answer, and facts that a class may ask for."""

    case: Case
    peer: Peer
    ours: Answer
    theirs: Answer
    folder: Path

    @property
    def agree(self) -> bool:
        """Valid for both, or for neither; reasons may differ."""
        return self.ours.valid == self.theirs.valid

    @property
    def code(self) -> str:
        """Our reason, without the sentence."""
        return self.ours.why.partition(":")[0]

    @property
    def error(self) -> tuple[int, int]:
        """Number and depth of openssl's error; (0, 0) if there is none."""
        found = re.match(r"error (\d+) at (\d+) depth", self.theirs.why)
        return (int(found[1]), int(found[2])) if found else (0, 0)

    @property
    def says_revoked(self) -> bool:
        """The peer refuses because a CRL lists a certificate."""
        return self.error[0] == 23 or "Certificate revocation after" in self.theirs.why

    def has(self, *traits: str) -> bool:
        """Whether one of these was done to the case."""
        return any(trait in self.case.traits for trait in traits)

    @cached_property
    def leaf(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.case.leaf)

    @property
    def rsa_leaf(self) -> bool:
        return isinstance(self.leaf.public_key(), rsa.RSAPublicKey)

    def again(self, case: Case) -> Comparison:
        """The same peer and we are asked about a case that differs from this one."""
        folder = self.folder / "again"
        write(case, folder)
        return compare(case, self.peer, folder)


def compare(case: Case, peer: Peer, folder: Path) -> Comparison:
    """Both answers. The case's files have been written to `folder`."""
    ours = ours_of_mail(case) if case.purpose is not None and peer.mail else ours_of_path(case)
    return Comparison(case, peer, ours, peer.ask(case, folder), folder)


def openssl_peer() -> Peer:
    """`openssl verify`."""
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True)
    return Peer("openssl", " ".join(version.stdout.split()[:2]), openssl, mail=True)


def bouncy_castle(java: Java) -> Peer:
    """Bouncy Castle's provider."""
    return Peer("Bouncy Castle", java.version, java.ask, mail=False)
