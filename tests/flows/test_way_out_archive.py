"""The archive gives back what came, octet for octet: a corpus of real mail through the intake."""

from __future__ import annotations

import asyncio
import tarfile
from pathlib import Path

from archive.errors import Damaged
from archive.fsck import verify
from archive.reading import Record, load_sealed_of, read_raw, records
from archive.recipients import load_private_key
from archive.seal import open_content
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
        given_back: dict[str, bytes] = {}
        with wiring.database.read() as conn:
            entries = [entry for _, _, entry in read_raw(conn)]
            assert len(entries) == len(mails)
            for start in range(0, len(entries), AT_ONCE):
                some = records(conn, entries[start : start + AT_ONCE])
                assert not [r for r in some if isinstance(r, Damaged)]
                sealed = load_sealed_of(conn, [r for r in some if isinstance(r, Record)])
                for n, (archive_id, one) in enumerate(sealed.items()):
                    key = authority if n % 2 else escrow  # each of the two keepers alone
                    given_back[archive_id] = open_content(one, key)
            report = verify(conn)
        assert given_back == dict(zip(ids, mails, strict=True))
        assert (report.status, report.entries) == ("valid", len(mails))
    finally:
        wiring.appender.close()
        wiring.database.close()
