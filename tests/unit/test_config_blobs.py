"""[archive.blobs]: what can be wrong there, and what comes of what is right."""

# ruff: noqa: ISC004 - the last column of a row is one message

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from archive.blob_folder import FolderStore
from gateway.blob_stores import blob_store
from gateway.config import ConfigFaults, load
from gateway.errors import SceauError
from tests.unit.config_files import GOOD, write_good

S3 = {
    "endpoint": '"https://s3.b.example"',
    "bucket": '"sceau"',
    "credentials": '"keys/kek"',
    "ca": '"a.pub"',
}

FAULTS = [
    ("", "archive.blobs: blobs lie either in a folder or on an S3 server "
     '(right would be: folder = "data/blobs", or a table [archive.blobs.s3])'),
    ('folder = "x/blobs"', "archive.blobs.folder: there is no folder DIR/x"),
    ('folder = "data/b"\nabove = "1 kB"',
     "archive.blobs.above: below 16 KiB a blob costs more than the row in the database "
     '(right would be: above = "256 kB")'),
    ('folder = "data/b"\nsweep_after = "1m"',
     "archive.blobs.sweep_after: mail that is just being taken would be swept away and refused "
     '(right would be: sweep_after = "7d")'),
    ('folder = "data/b"\nabvoe = "1 MB"',
     "archive.blobs.abvoe: there is no such key; did you mean above?"),
    ({"endpoint": None},
     "archive.blobs.s3.endpoint: this key is missing "
     '(right would be: endpoint = "https://s3.interior.example")'),
    ({"ca": None},
     "archive.blobs.s3.ca: TLS needs the CA that the server's certificate is checked against; the "
     'system\'s roots are not trusted (right would be: ca = "anchors/s3-ca.crt")'),
    ({"endpoint": '"http://10.1.2.3:8333"'},
     "archive.blobs.s3.endpoint: this connection would be in clear text: anyone on the way could "
     "say that he has stored what he has not "
     '(right would be: endpoint = "https://s3.interior.example")'),
    ({"unsafe_plain": "true"}, "archive.blobs.s3.unsafe_plain: unsafe_plain contradicts TLS"),
    ({"endpoint": '"https://s3.b.example/sceau"'},
     'archive.blobs.s3.endpoint: "https://s3.b.example/sceau" has a path; bucket and prefix stand '
     'in their own keys (right would be: endpoint = "https://s3.interior.example")'),
    ({"bucket": '"My Bucket"'},
     'archive.blobs.s3.bucket: "My Bucket" is not a bucket: 3 to 63 small letters, digits, - and . '
     '(right would be: bucket = "sceau")'),
    ({"prefix": '"../a"'},
     'archive.blobs.s3.prefix: "../a" is not a prefix: letters, digits, - . _ and / in between '
     '(right would be: prefix = "archive")'),
    ({"credentials": '"keys/none"'},
     "archive.blobs.s3.credentials: there is no file DIR/keys/none"),
]  # fmt: skip


def _write(folder: Path, table: str | dict[str, str | None]) -> Path:
    if isinstance(table, str):
        text = f"[archive.blobs]\n{table}\n"
    else:
        keys = {**S3, **table}
        lines = "\n".join(f"{key} = {value}" for key, value in keys.items() if value)
        text = f"[archive.blobs.s3]\n{lines}\n"
    return write_good(folder, GOOD.replace("[pki]\n", f"{text}\n[pki]\n"))


@pytest.mark.parametrize(("table", "message"), FAULTS)
def test_what_is_wrong_is_told(
    tmp_path: Path, table: str | dict[str, str | None], message: str
) -> None:
    path = _write(tmp_path, table)
    with pytest.raises(ConfigFaults) as caught:
        load(path)
    (fault,) = caught.value.faults
    assert fault.line > 0
    told = str(fault).partition(": ")[2].replace(str(tmp_path), "DIR")
    assert told == message


def test_without_the_table_there_is_no_store(tmp_path: Path) -> None:
    assert load(write_good(tmp_path)).archive.blobs is None


def test_a_folder_is_a_store(tmp_path: Path) -> None:
    found = load(_write(tmp_path, 'folder = "data/blobs"\nabove = "1 MB"')).archive.blobs
    assert found is not None
    assert (found.above, found.sweep_after) == (1_000_000, timedelta(days=7))
    store = blob_store(found)
    assert isinstance(store, FolderStore)
    assert store.place == f"{tmp_path}/data/blobs"


def test_an_s3_server_is_a_store_with_keys_from_a_file(tmp_path: Path) -> None:
    path = _write(tmp_path, {"prefix": '"mail/2026"'})
    found = load(path).archive.blobs
    assert found is not None
    assert found.s3 is not None
    found.s3.credentials.write_text(
        "[default]\naws_access_key_id = KEY\naws_secret_access_key = se%cret/=\n"
    )
    store = blob_store(found)
    assert store.place == "https://s3.b.example/sceau/mail/2026/"
    assert (store._settings.access_key, store._settings.secret_key) == ("KEY", "se%cret/=")


@pytest.mark.parametrize("text", ["", "KEY\nhush", "[default]\naws_access_key_id = KEY\n", "\xff"])
def test_credentials_that_are_none_are_told_without_showing_them(tmp_path: Path, text: str) -> None:
    found = load(_write(tmp_path, {})).archive.blobs
    assert found is not None
    assert found.s3 is not None
    found.s3.credentials.write_bytes(text.encode("latin-1"))
    with pytest.raises(SceauError, match="not a file with S3 credentials") as caught:
        blob_store(found)
    assert "hush" not in str(caught.value) + caught.value.hint


def test_nobody_pays_for_s3_who_has_none() -> None:
    code = (
        "import sys, gateway.wiring, gateway.cli.archive, gateway.blob_stores; "
        "sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
