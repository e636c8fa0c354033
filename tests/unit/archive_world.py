"""A small archive in a temp folder, for the tests of the archive."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from archive import models, store
from archive.blob_folder import FolderStore
from archive.blobs import Blobs
from archive.entry import new_archive_id
from archive.fsck import VerifyReport, verify
from archive.seal import (
    PrivateKeyUnwrapper,
    Sealed,
    Unwrapper,
    WorkingUnwrapper,
    generate_recipient,
    load_private_key,
    load_recipient,
    seal,
)
from archive.store import Draft
from archive.sweep import in_use
from archive.working import WorkingKeys
from gateway.database import Database, open_database
from tests.conftest import ORIGIN

MOMENT = datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
MAIL = b"From: a@ministere.example\r\nSubject: =?utf-8?q?D=C3=A9cision?=\r\n\r\n" + b"texte " * 99


class World:
    """An open database with an empty log, two archive recipients and a folder of working keys."""

    def __init__(self, folder: Path, database: Database | None = None) -> None:
        """database: one with an empty log of `ORIGIN`; otherwise one is made in the folder."""
        self.folder = folder
        self.database = database or self._made()
        for name, kind in (("authority", "mlkem768-x25519"), ("escrow", "p256")):
            generate_recipient(name, folder / f"{name}.pub", folder / f"{name}.key", kind=kind)
        self.recipients = [
            load_recipient(folder / f"{name}.pub") for name in ("authority", "escrow")
        ]
        self.working = WorkingKeys(folder / "working")
        store_ = FolderStore(folder / "blobs")
        self.blobs = Blobs(store_, origin=ORIGIN, above=50_000, in_use=self.blobs_in_use)

    def blobs_in_use(self) -> bool:
        with self.database.read() as conn:
            return in_use(conn)

    def _made(self) -> Database:
        database = open_database(f"sqlite:///{self.folder}/archive.db", checkpoint=True)
        with database.write() as conn:
            models.metadata.create_all(conn)
            store.create_log(conn, ORIGIN)
        return database

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    @property
    def authority(self) -> PrivateKeyUnwrapper:
        return load_private_key(self.folder / "authority.key")

    @property
    def gateway(self) -> WorkingUnwrapper:
        return WorkingUnwrapper(self.working)

    def seal(self, content: bytes = MAIL, headers: Mapping[str, bytes] | None = None) -> Sealed:
        fields = {"header.subject": "Décision".encode()} if headers is None else headers
        working = self.working.current(MOMENT)
        return seal(content, fields, self.recipients, working, new_archive_id())

    def accepted(self, content: bytes = MAIL, *, outside: bool = False) -> Draft:
        sealed = self.seal(content)
        if outside:
            sealed = self.blobs.keep(sealed, MOMENT)
        fields = {"envelope.from": b"a@ministere.example", "envelope.to.0": b"b@autre.example"}
        return Draft("accepted", "ministere", sealed.archive_id, fields, sealed)

    def append(self, *drafts: Draft) -> None:
        with self.database.write() as conn:
            store.append(conn, drafts, origin=ORIGIN, now=MOMENT)

    def fill(self, mails: int = 3, *, outside: int = 0) -> list[str]:
        """Mails with three entries each, the last ones in blobs; their archive ids."""
        ids = []
        for number in range(mails):
            draft = self.accepted(MAIL + b"%d" % number, outside=number >= mails - outside)
            ids.append(draft.archive_id)
            later = [
                Draft(kind, "ministere", draft.archive_id, {"recipient": b"b@autre.example"})
                for kind in ("sealed", "delivered")
            ]
            self.append(draft, *later)
        return ids

    def verify(self, *, since: int = 0, open_with: Unwrapper | None = None) -> VerifyReport:
        with self.database.read() as conn:
            return verify(conn, since=since, open_with=open_with, blobs=self.blobs)

    def change(self, statement: str, *values: object) -> int:
        """What an administrator of the database can do. A place for a value is written `?`."""
        with self.database.write() as conn:
            if conn.dialect.name == "postgresql":
                statement = statement.replace("?", "%s")
            return conn.exec_driver_sql(statement, values).rowcount
