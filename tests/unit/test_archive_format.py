"""The format as strangers meet it: the vectors, the document, and a verifier that is not ours."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archive import models
from archive.blob_folder import FolderStore
from archive.blobs import Blobs
from archive.entry import decode
from archive.fields import Withheld, commitment, decode_payload, digest_of
from archive.fsck import verify
from archive.seal import Sealed, Wrap, load_private_key, open_content, open_fields
from gateway.database import open_database
from tests.corpora import ROOT
from tests.unit import archive_vectors as vectors
from tests.unit.archive_world import ORIGIN, World

STRANGER = ROOT / "tests" / "stranger_verify.py"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        world.fill(3, outside=1)
        yield world


def stranger(world: World) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-I",
            str(STRANGER),
            str(world.database.path),
            str(world.folder / "blobs"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_vectors_are_what_the_code_makes() -> None:
    assert vectors.FILE.read_text("ascii") == vectors.text()


def test_a_verifier_that_shares_no_code_agrees_with_ours(world: World) -> None:
    imports = [
        line.split()[1] for line in STRANGER.read_text().splitlines() if line[:7] == "import "
    ]
    assert set(imports) <= sys.stdlib_module_names
    done = stranger(world)
    assert (done.returncode, done.stdout) == (0, "valid: 9 entries\n")
    assert world.verify().status == "valid"


@pytest.mark.parametrize(
    ("statement", "entry"),
    [
        (
            "UPDATE log_entries SET entry = "  # noqa: ISC004
            "CAST(replace(entry, 'ministere', 'ministerf') AS BLOB) WHERE entry_index = 4",
            5,
        ),
        ("DELETE FROM log_entries WHERE entry_index = 2", 2),
        ("DELETE FROM log_entries WHERE entry_index = 8", 8),
        ("DELETE FROM log_payloads", 0),
        ("UPDATE log_contents SET sealed = x'00'", 0),
        ("UPDATE log_content_keys SET wrapped = x'00'", 0),
        ("UPDATE log_head SET prev = lower(hex(zeroblob(32)))", 9),
    ],
)
def test_both_verifiers_see_the_same_damage(world: World, statement: str, entry: int) -> None:
    world.change(statement)
    assert world.verify().status == "invalid"
    done = stranger(world)
    assert done.returncode == 1
    # An entry that was changed shows to a simple verifier at the one after it.
    assert f"entry {entry}:" in done.stderr


@pytest.mark.parametrize("how", ["changed", "missing"])
def test_both_verifiers_see_the_same_damaged_blob(world: World, how: str) -> None:
    (path,) = (world.folder / "blobs").glob("*-*-*/*")
    if how == "changed":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        path.unlink()
    assert (world.verify().status, world.verify().first_bad) == ("invalid", 6)
    done = stranger(world)
    assert done.returncode == 1
    assert "entry 6:" in done.stderr


def test_the_vector_mail_opens_with_every_key(tmp_path: Path) -> None:
    found = json.loads(vectors.FILE.read_text("ascii"))
    sealing = found["sealing"]
    payload = decode_payload(found["entries"][0]["payload"].encode())
    working = sealing["working_wrap"]
    sealed = Sealed(
        archive_id=sealing["archive_id"],
        content=bytes.fromhex(sealing["sealed"]),
        fields=bytes.fromhex(sealing["sealed_fields"]),
        wraps=tuple(Wrap(one["holder"], bytes.fromhex(one["wrapped"])) for one in sealing["wraps"]),
        working=Wrap(working["holder"], bytes.fromhex(working["wrapped"])),
        content_sha256=payload["content.sha256"].value.decode(),
        content_size=int(payload["content.size"].value),
        withheld={n: one for n, one in payload.items() if isinstance(one, Withheld)},
    )
    for kind, secret in sealing["private_keys"].items():
        path = tmp_path / kind
        path.write_text(
            "-----BEGIN SCEAU ARCHIVE PRIVATE KEY-----\n"
            f"Kind: {kind}\nName: vector\n\n{b64encode(bytes.fromhex(secret)).decode()}\n"
            "-----END SCEAU ARCHIVE PRIVATE KEY-----\n"
        )
        key = load_private_key(path)
        assert open_content(sealed, key) == vectors.MAIL
        opened = open_fields(sealed, key)
        assert opened["header.subject"].value == "Décision".encode()
        assert (
            digest_of("header.subject", opened["header.subject"])
            == payload["header.subject"].digest
        )


def test_erasing_a_field_keeps_the_commitment() -> None:
    found = json.loads(vectors.FILE.read_text("ascii"))
    partial = decode_payload(found["payload_0_without_sender"].encode())
    entry = decode(found["entries"][0]["entry"].encode())
    assert commitment(partial) == entry.commitment
    assert b"a@ministere" not in found["payload_0_without_sender"].encode()


def test_the_document_names_every_table_and_column() -> None:
    document = (ROOT / "docs" / "archive-format.md").read_text("utf-8")
    for table in models.metadata.sorted_tables:
        assert f"`{table.name}`" in document
        for column in table.columns:
            assert f"`{column.name}`" in document


def test_the_document_quotes_the_vectors() -> None:
    """Hashes in the worked example are those of the vectors, so the text cannot drift."""
    found = json.loads(vectors.FILE.read_text("ascii"))
    document = (ROOT / "docs" / "archive-format.md").read_text("utf-8")
    for quoted in (
        found["first_prev"],
        *(one["entry"] for one in found["entries"]),
        found["entries"][1]["leaf"],
    ):
        assert quoted in document


def test_our_verifier_reads_what_a_stranger_copied(world: World, tmp_path: Path) -> None:
    """The tables and the blobs are the archive: dumped, loaded, copied by Python's own modules."""
    shutil.copytree(world.folder / "blobs", tmp_path / "copied")
    copied = FolderStore(tmp_path / "copied")
    blobs = Blobs(copied, origin=ORIGIN, above=1, in_use=lambda: True)
    with (
        closing(sqlite3.connect(world.database.path)) as old,
        closing(sqlite3.connect(tmp_path / "copy.db")) as new,
    ):
        new.executescript("\n".join(old.iterdump()))
    copy = open_database(f"sqlite:///{tmp_path}/copy.db")
    with copy.read() as conn:
        report = verify(conn, open_with=world.authority, blobs=blobs)
    copy.close()
    assert (report.status, report.opened) == ("valid", 3)
