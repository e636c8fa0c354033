"""The archive as an outside expert reads it: SQL, and what docs/archive-format.md says.

Not by `sceau archive show`: that is the product judging itself, and opens a mail only after writing
into the log that is to be compared.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import zstandard
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from tests.stranger_verify import canonical, values_of, verify_log

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_TAIL = 12 + 48  # nonce, and a content key with its tag


class Session(Protocol):
    """A read transaction; `execute` takes ? for parameters."""

    def execute(self, statement: str, parameters: Sequence[object] = ()) -> Any:
        """A cursor: `fetchall`, `fetchone`, iteration."""


Connect = Callable[[], AbstractContextManager[Session]]


def on_sqlite(path: Path) -> Connect:
    """Of a database file; it is only read."""

    @contextmanager
    def connect() -> Iterator[Session]:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as session:
            session.execute("BEGIN")
            yield session

    return connect


def on_postgres(connect: Callable[[], Any]) -> Connect:
    """Of a server. connect: gives a new `psycopg` connection with autocommit."""

    class Asking:
        def __init__(self, session: Any) -> None:
            self._session = session

        def execute(self, statement: str, parameters: Sequence[object] = ()) -> Any:
            return self._session.execute(statement.replace("?", "%s"), parameters)

    @contextmanager
    def connected() -> Iterator[Session]:
        with closing(connect()) as session:
            session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            session.execute("SET search_path = archive, gateway")
            yield Asking(session)

    return connected


def open_recipients(connect: Connect) -> int:
    """How many recipients are still queued."""
    with connect() as session:
        query = "SELECT count(*) FROM recipients WHERE state = 'queued'"
        return int(session.execute(query).fetchone()[0])


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log and the open fields of its payload. at: seconds since 1970."""

    index: int
    at: float
    kind: str
    id: str
    fields: dict[str, bytes]

    def numbered(self, name: str) -> tuple[str, ...]:
        """Values of NAME.000000, NAME.000001, …"""
        found = sorted(key for key in self.fields if key.startswith(name + "."))
        return tuple(self.fields[key].decode() for key in found)


@dataclass
class Archive:
    """All of it, read at one moment, its chain verified. Raises ValueError where it is not whole.

    states: every row of a recipient: (archive id, address, state). queued: archive ids that the
    queue knows. contents: archive id → sealed content and its wrapped keys by holder.
    """

    entries: list[Entry]
    states: list[tuple[str, str, str]]
    queued: set[str]
    contents: dict[str, tuple[bytes, dict[str, bytes]]] = field(repr=False)

    @classmethod
    def read(cls, connect: Connect) -> Archive:
        """See above."""
        with connect() as session:
            verify_log(session)
            payloads = {
                commitment: bytes(payload)
                for commitment, payload in session.execute(
                    "SELECT commitment, payload FROM log_payloads"
                )
            }
            entries = []
            for (raw,) in session.execute("SELECT entry FROM log_entries ORDER BY entry_index"):
                entry = canonical(bytes(raw))
                values = values_of(payloads[entry["commitment"]], entry["commitment"])
                at = datetime.fromisoformat(entry["time"]).timestamp()
                entries.append(Entry(entry["index"], at, entry["kind"], entry["id"], values))
            states = session.execute("SELECT archive_id, address, state FROM recipients").fetchall()
            queued = {row[0] for row in session.execute("SELECT archive_id FROM messages")}
            contents = {
                archive_id: (bytes(sealed), {})
                for archive_id, sealed in session.execute(
                    "SELECT archive_id, sealed FROM log_contents"
                )
            }
            for archive_id, holder, wrapped in session.execute(
                "SELECT archive_id, holder, wrapped FROM log_content_keys"
            ):
                contents[archive_id][1][holder] = bytes(wrapped)
        return cls(entries, [tuple(row) for row in states], queued, contents)

    @cached_property
    def accepted(self) -> dict[str, Entry]:
        """The entry with content of each archive id. Raises ValueError for a second one."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.kind == "accepted":
                if entry.id in found:
                    raise ValueError(f"{entry.id} was accepted twice")
                found[entry.id] = entry
        return found

    def of_kind(self, kind: str) -> Iterator[Entry]:
        """In the order of the log."""
        return (entry for entry in self.entries if entry.kind == kind)


class Reader:
    """Somebody with a private key of the archive (docs/archive-format.md §6, §7)."""

    def __init__(self, key_file: Path) -> None:
        """key_file: of kind mlkem768-x25519."""
        body = key_file.read_text().partition("\n\n")[2].partition("-----END")[0]
        expanded = hashlib.shake_256(base64.b64decode(body)).digest(96)
        kem = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
        public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
        named = b"sceau/recipient/1\x00mlkem768-x25519\x00" + public
        self._holder = hashlib.sha256(named).hexdigest()[:32]
        self._key = MLKEM768X25519PrivateKey(kem, curve)
        self._batch_keys: dict[bytes, bytes] = {}

    def open(self, archive: Archive, archive_id: str) -> bytes:
        """The mail as it came. Raises what `cryptography` and `zstandard` raise, KeyError."""
        sealed, wraps = archive.contents[archive_id]
        key = self._content_key(archive_id, wraps[self._holder])
        about = b"sceau/seal/1\x00content\x00" + archive_id.encode()
        plain = AESGCM(key).decrypt((1).to_bytes(12, "big"), sealed, about)
        if plain[:1] == b"\x01":
            size = int(archive.accepted[archive_id].fields["content.size"])
            return zstandard.ZstdDecompressor().decompress(plain[1:], max_output_size=size)
        return plain[1:]

    def _content_key(self, archive_id: str, wrapped: bytes) -> bytes:
        batch, nonce, sealed = wrapped[:-_TAIL], wrapped[-_TAIL : 12 - _TAIL], wrapped[12 - _TAIL :]
        if batch not in self._batch_keys:
            info = b"sceau/seal/1\x00batch\x00" + self._holder.encode()
            self._batch_keys[batch] = _SUITE.decrypt(batch, self._key, info=info)
        about = b"\x00".join(
            (b"sceau/seal/1", b"archive", archive_id.encode(), self._holder.encode())
        )
        return AESGCM(self._batch_keys[batch]).decrypt(nonce, sealed, about)
