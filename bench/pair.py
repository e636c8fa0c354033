"""Who writes and who reads: with them come the mails of a measurement, and the proof of each."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.load import mail
from bench.measure import Load, Proof
from gateway.demo.judge import open_mail, write_trust
from gateway.demo.pki import Credential, Person
from gateway.demo.stage import Stage


class Pair:
    """One of each ministry, with keys of this kind ("rsa", "ec"). folder: for files."""

    def __init__(self, around: Stage, folder: Path, kind: str = "rsa") -> None:
        world = around.world
        self.writer, self.reader = (
            world.interieur.person(kind=kind),
            world.justice.person(kind=kind),
        )
        self.folder, self.kind = folder, kind
        trust = write_trust([world.interieur, world.justice], folder / "trust.pem")
        self.opened: Proof = partial(open_mail, reader=credential_of(self.reader), trust=trust)

    def load(self, octets: int, others: tuple[str, ...] = ()) -> Load:
        """A mail of so many octets, from the one to the other and to `others`."""
        to = (self.reader.address, *others)
        content = mail(octets, self.writer.address, ">,\r\n <".join(to))
        file = self.folder / "mail.eml"
        return Load.write(file, content, self.writer.address, self.reader.address, others)


def credential_of(person: Person) -> Credential:
    """Of somebody who has one."""
    assert person.credential is not None
    return person.credential
