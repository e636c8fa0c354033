"""Every peer, both ways, every row: a cell each."""

from __future__ import annotations

import email
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gateway.mime.entity import content_entity, split
from gateway.smime.sign import digest_for
from gateway.smime.wrapping import multipart_signed, pkcs7_mime
from tests.interop import bouncycastle, thunderbird
from tests.interop.bouncycastle import BouncyCastle
from tests.interop.corpora import sceau
from tests.interop.gnupg import GnuPG
from tests.interop.limits import expected
from tests.interop.nss import NSS
from tests.interop.openssl import OpenSSL
from tests.interop.peer import NotAsked, Peer, PeerError, missing
from tests.interop.rows import ENCRYPTIONS, SIGNATURES, Encryption, Signature
from tests.judges.thunderbird.judge import JudgeError
from tests.unit.smime_world import MAIL, Identity, world

DIRECTIONS = ("→", "←")
_TEXT = "Bonjour, à demain : éèà."


@dataclass(frozen=True, slots=True)
class Cell:
    """One row and one way of one peer. said: "ok", or the words of the one that failed.

    wrong: not ok, and the peer is not known to lack it (`limits`), or the fault is ours.
    """

    kind: str
    algorithms: str
    peer: str
    direction: str
    said: str
    wrong: bool

    @property
    def title(self) -> str:
        """For a line of its own."""
        return f"{self.peer} {self.direction} {self.algorithms}"


class OursFailed(Exception):
    """`sceau smime` did not do what a peer's message or our own called for."""


@dataclass(frozen=True, slots=True)
class Ours:
    """`sceau smime`, on files in a folder."""

    folder: Path

    def signed(self, row: Signature, *, opaque: bool) -> bytes:
        """A mail from the signer."""
        owner = row.owner(world())
        cert, key = owner.write(self.folder, "own")
        # What follows from the key is not asked for: the run shows that it does.
        own = digest_for(owner.der) == row.digest
        made, record = self._made(
            "sign", _mail(owner), "--key", key, "--cert", cert, "--cert", self._ca(),
            "--signature", str(row.ours), *["--opaque"] * opaque,
            *["--digest", row.digest] * (not own),
        )  # fmt: skip
        if record["digest"] != row.digest:
            raise OursFailed(f"sceau: signs with {record['digest']}")
        return made

    def encrypted(self, row: Encryption) -> bytes:
        """A mail to the reader."""
        cert, _ = row.owner(world()).write(self.folder, "own")
        made, _ = self._made(
            "encrypt", MAIL, "--to", cert, "--cipher", row.cipher,
            "--key-management", row.management,
        )  # fmt: skip
        return made

    def verify(self, mail: bytes, row: Signature) -> None:
        """Raises OursFailed unless it is valid, and by the algorithms of the row."""
        _, records, error = sceau(
            "verify", "--json", "--anchor", self._ca(), "--revocation", "off",
            self._file("mail", mail),
        )  # fmt: skip
        record: dict[str, Any] = records[0] if records else {"status": error, "problems": []}
        if record["status"] != "valid":
            codes = " ".join(one["code"] for one in record["problems"])
            raise OursFailed(f"sceau: {record['status']} {codes}")
        found = [(one["signature"], one["digest"]) for one in record["signers"]]
        if found != [(row.scheme, row.digest)]:
            raise OursFailed(f"sceau: finds {found}")

    def decrypt(self, mail: bytes, row: Encryption) -> bytes:
        """The content. Raises OursFailed, also if it came by other algorithms than the row's."""
        cert, key = row.owner(world()).write(self.folder, "own")
        options = ["--allow-legacy"] * row.legacy
        content, record = self._made("decrypt", mail, "--key", key, "--cert", cert, *options)
        found = [(one["cipher"], one["key_management"]) for one in record["layers"]]
        if found != [(row.cipher, row.management)]:
            raise OursFailed(f"sceau: finds {found}")
        return content

    def _made(self, verb: str, mail: bytes, *options: str | Path) -> tuple[bytes, dict[str, Any]]:
        """What was written, and what was said of it."""
        out = self.folder / "out"
        out.unlink(missing_ok=True)
        code, records, _ = sceau(verb, "--json", *options, "--out", out, self._file("mail", mail))
        if code != 0:
            said = " ".join(one["code"] for record in records for one in record["problems"])
            raise OursFailed(f"sceau: exit code {code}, {said}")
        return out.read_bytes(), records[0]

    def _ca(self) -> Path:
        return world().write_cas(self.folder)

    def _file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


def run() -> tuple[list[Cell], dict[str, str]]:
    """All cells, and the version of each peer, or why it was not asked."""
    cells: list[Cell] = []
    versions: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sceau-interop-")))
        ours = Ours(folder)
        for kind, why in _kinds():
            if why:
                versions[kind.name] = why
                continue
            place = folder / kind.__name__
            place.mkdir()
            peer = kind(place)
            if isinstance(peer, GnuPG | BouncyCastle):
                stack.callback(peer.close)
            versions[peer.name] = peer.version
            cells += cells_of(peer, ours, SIGNATURES, ENCRYPTIONS)
        try:
            versions[thunderbird.NAME] = thunderbird.version()
            cells += _thunderbird(ours, folder)
        except (OSError, JudgeError) as error:
            versions[thunderbird.NAME] = f"not asked: {error}"
    return cells, versions


def _kinds() -> Iterator[tuple[type[Peer], str]]:
    yield OpenSSL, missing("openssl")
    yield NSS, missing("cmsutil", "certutil", "pk12util")
    yield GnuPG, missing("gpgsm")
    jars = [jar.name for jar in bouncycastle.JARS if not jar.exists()]
    yield BouncyCastle, missing("java") or (f"not asked: no {', '.join(jars)}" if jars else "")


def cells_of(
    peer: Peer, ours: Ours, signatures: Iterable[Signature], encryptions: Iterable[Encryption]
) -> Iterator[Cell]:
    """These rows of one peer, both ways."""
    for signature in signatures:
        where = ("Signatures", signature.name, peer)
        if signature.ours:
            yield from _cell(*where, "→", partial(_they_verify, peer, ours, signature))
        yield from _cell(*where, "←", partial(_we_verify, peer, ours, signature))
    for encryption in encryptions:
        where = ("Encryption", encryption.name, peer)
        if encryption.ours:
            yield from _cell(*where, "→", partial(_they_decrypt, peer, ours, encryption))
        yield from _cell(*where, "←", partial(_we_decrypt, peer, ours, encryption))


def _cell(
    kind: str, algorithms: str, peer: Peer, direction: str, work: Callable[[], None]
) -> Iterator[Cell]:
    try:
        work()
    except NotAsked:
        return
    except PeerError as error:
        said = str(error).replace("|", "/")[:160]
        wrong = not expected(peer.name, direction, algorithms)
        yield Cell(kind, algorithms, peer.name, direction, said, wrong)
    except OursFailed as error:
        wrong = not expected("Sceau", direction, algorithms)
        yield Cell(kind, algorithms, peer.name, direction, str(error), wrong)
    else:
        yield Cell(kind, algorithms, peer.name, direction, "ok", False)


def _they_verify(peer: Peer, ours: Ours, row: Signature) -> None:
    mail = ours.signed(row, opaque=False)
    content, cms = _detached(mail)
    _same(peer.verify(cms, content), content)
    # A peer that finds everything good would fill the table with "ok".
    try:
        peer.verify(cms, content.replace(b"Subject", b"subject") + b".")
    except PeerError:
        pass
    else:
        raise PeerError("finds changed content good")
    mail = ours.signed(row, opaque=True)
    _same(peer.verify(_payload(mail), None), content_entity(split(_mail(row.owner(world())))))


def _we_verify(peer: Peer, ours: Ours, row: Signature) -> None:
    owner = row.owner(world())
    entity = content_entity(split(_mail(owner)))
    head = _head(owner)
    cms = peer.sign(entity, row, owner, opaque=False)
    boundary = "interop"
    clear = multipart_signed(entity, cms, micalg="sha-" + row.digest[3:], boundary=boundary)
    ours.verify(head + clear, row)
    try:
        ours.verify(head + clear.replace("à demain".encode(), b"adieu"), row)
    except OursFailed:
        pass
    else:
        raise OursFailed("sceau: finds changed content valid")
    opaque = peer.sign(entity, row, owner, opaque=True)
    ours.verify(head + pkcs7_mime("signed-data", opaque), row)


def _they_decrypt(peer: Peer, ours: Ours, row: Encryption) -> None:
    mail = ours.encrypted(row)
    found = peer.decrypt(_payload(mail), row.owner(world()))
    _same(found, content_entity(split(MAIL)))


def _we_decrypt(peer: Peer, ours: Ours, row: Encryption) -> None:
    owner = row.owner(world())
    entity = content_entity(split(MAIL))
    cms = peer.encrypt(entity, row, owner)
    mail = _head(owner) + pkcs7_mime("enveloped-data", cms)
    if ours.decrypt(mail, row) != entity:
        raise OursFailed("sceau: other content than was encrypted")


def _same(found: bytes, wanted: bytes) -> None:
    if found.replace(b"\r\n", b"\n") != wanted.replace(b"\r\n", b"\n"):
        raise PeerError("other content than was sent")


def _thunderbird(ours: Ours, folder: Path) -> Iterator[Cell]:
    mails = {}
    kinds = {}
    for row in SIGNATURES:
        if row.ours:
            mails[row.name] = (ours.signed(row, opaque=False), False)
            mails[row.name + ", opaque"] = (ours.signed(row, opaque=True), False)
            kinds[row.name] = "Signatures"
    for cipher in ENCRYPTIONS:
        if cipher.ours and cipher.who != "xavier":  # no PKCS#12 of X25519 comes into NSS
            mails[cipher.name] = (ours.encrypted(cipher), True)
            kinds[cipher.name] = "Encryption"
    said = thunderbird.read(folder, mails, _TEXT)
    for name, kind in kinds.items():
        opaque = said.get(name + ", opaque", "ok")
        words = said[name] if said[name] != "ok" or opaque == "ok" else f"opaque: {opaque}"
        wrong = words != "ok" and not expected(thunderbird.NAME, "→", name)
        yield Cell(kind, name, thunderbird.NAME, "→", words, wrong)


def _mail(owner: Identity) -> bytes:
    return MAIL.replace(b"alice@example.org", owner.address.encode())


def _head(owner: Identity) -> bytes:
    head = _mail(owner).partition(b"MIME-Version")[0]
    return head + b"MIME-Version: 1.0\r\n"


def _detached(mail: bytes) -> tuple[bytes, bytes]:
    """Content and CMS of multipart/signed, cut at the boundary as RFC 2046 §5.1.1 has it."""
    message = email.message_from_bytes(mail)
    limit = re.escape(str(message.get_boundary()).encode())
    found = re.search(rb"\r\n--" + limit + rb"\r\n(.*?)\r\n--" + limit, mail, re.DOTALL)
    parts = message.get_payload()
    assert found is not None
    assert isinstance(parts, list)
    return found[1], _decoded(parts[1])


def _payload(mail: bytes) -> bytes:
    return _decoded(email.message_from_bytes(mail))


def _decoded(part: object) -> bytes:
    assert isinstance(part, email.message.Message)
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return data
