"""The archive gives back what came, octet for octet: a corpus of real mail through the intake."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

from archive.fsck import verify
from archive.recipients import load_private_key
from archive.seal import open_content
from archive.store import load_sealed
from gateway import clock
from gateway.cli import main
from gateway.config import load
from gateway.demo.mails import sendable
from gateway.mail import Peer, Submission
from gateway.wiring import Wiring
from tests.corpora import corpus

SENDER = "jeanne.moreau@interieur.example"
TO = "amelie.roux@justice.example"
AT_ONCE = 50


def _mails() -> list[bytes]:
    """Every mail; From is ours, because the intake takes no other; CRLF, because SMTP does."""
    found = []
    with tarfile.open(corpus("ham/easy-ham-1.tar.xz")) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                found.append(sendable(file.read(), SENDER))
    return found


def test_a_corpus_is_archived_and_given_back_octet_for_octet(tmp_path: Path) -> None:
    mails = _mails()
    assert len(mails) > 2000
    base = tmp_path / "sceau"
    assert main(["init", str(base), "--domain", "interieur.example"]) == 0
    wiring = Wiring(load(base / "sceau.toml"))
    (relay,) = wiring.intake.relays
    peer = Peer("127.0.0.1", 1, "client.example", relay=relay.name)

    async def take_all() -> list[str]:
        places = asyncio.Semaphore(AT_ONCE)

        async def take(raw: bytes) -> str:
            async with places:
                return await wiring.intake.accept(Submission(raw, SENDER, (TO,), peer, clock.now()))

        return await asyncio.gather(*map(take, mails))

    try:
        ids = asyncio.run(take_all())
        assert len(set(ids)) == len(mails)
        authority = load_private_key(base / "authority" / "authority.key")
        escrow = load_private_key(base / "authority" / "escrow.key")
        with wiring.database.read() as conn:
            for n, (archive_id, raw) in enumerate(zip(ids, mails, strict=True)):
                key = authority if n % 2 else escrow  # each of the two keepers alone
                assert open_content(load_sealed(conn, archive_id), key) == raw
            report = verify(conn)
        assert (report.status, report.entries) == ("valid", len(mails))
    finally:
        wiring.appender.close()
        wiring.database.close()
