"""The blob store in a folder: the contract, durability, full disks, foreign and missing folders."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from archive.blob_folder import FolderStore
from archive.blob_names import MARKER
from archive.errors import BlobMissing, BlobStoreFull, BlobTrouble
from tests.blob_contract import BlobStoreContract, digest, mark, put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def store(folder: Path) -> FolderStore:
    return FolderStore(folder)


@pytest.fixture
def again(folder: Path) -> FolderStore:
    return FolderStore(folder)


class TestContract(BlobStoreContract):
    pass


def test_nobody_else_may_look(store: FolderStore, folder: Path) -> None:
    mark(store)
    name = put(store, b"x")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / name).parent.stat().st_mode & 0o777 == 0o700
    assert (folder / name).stat().st_mode & 0o777 == 0o600


def test_each_step_is_synced_before_the_next(tmp_path: Path) -> None:
    """Judged by strace: file, then its name, then the folder; a new folder in the one above."""
    trace = tmp_path / "trace"
    script = (
        "import sys; from pathlib import Path\n"
        "from archive.blob_folder import FolderStore\n"
        "from tests.blob_contract import mark, put\n"
        "store = FolderStore(Path(sys.argv[1])); mark(store)\n"
        "put(store, b'first'); put(store, b'second'); print('RETURNED', flush=True)\n"
    )
    command = ["strace", "-f", "-y", "-o", str(trace)]
    command += ["-e", "trace=mkdir,fsync,fdatasync,rename,link,linkat,write"]
    done = subprocess.run(
        [*command, sys.executable, "-c", script, str(tmp_path / "blobs")],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    assert b"RETURNED" in done.stdout
    calls = []
    for line in trace.read_text().splitlines():
        if "RETURNED" in line:
            calls.append("returned")
        elif "/blobs" in line and " = 0" in line:
            text = re.sub(r"\.new-[0-9a-f]+", "NEW", line)
            text = re.sub(r"/[0-9a-f]{64}", "/BLOB", text).replace(str(tmp_path), "")
            calls.append(re.sub(r"^\d+ +|\d+(?=<)| += 0$|, 0700|AT_FDCWD[^,]*, ", "", text))
        elif f"<{tmp_path}>" in line:
            calls.append("fsync(<>)")
    a_put = [
        "fsync(</blobs/2026-11-21/NEW>)",
        'rename("/blobs/2026-11-21/NEW", "/blobs/2026-11-21/BLOB")',
        "fsync(</blobs/2026-11-21>)",
    ]
    assert calls == [
        'mkdir("/blobs")',
        "fsync(<>)",
        "fsync(</blobs/NEW>)",
        'link("/blobs/NEW", "/blobs/origin")',
        "fsync(</blobs>)",
        'mkdir("/blobs/2026-11-21")',
        "fsync(</blobs>)",
        *a_put,
        *a_put,
        "returned",
    ]


def test_each_process_sees_to_a_folder_that_another_one_made(tmp_path: Path) -> None:
    """The other one may not have synced it yet, and the blob would go with it."""
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        real(handle)

    one, two = FolderStore(tmp_path / "blobs"), FolderStore(tmp_path / "blobs")
    mark(one)
    put(one, b"1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        put(two, b"2")
    assert synced[0] == "blobs"
    assert [name.partition("-")[0] for name in synced[1:]] == [".new", "2026"]


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_what_fails_leaves_nothing(store: FolderStore, folder: Path, step: str) -> None:
    mark(store)
    put(store, b"makes the day")

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, step, fail) if step == "fsync" else patch.setattr(Path, step, fail)
        with pytest.raises(BlobTrouble, match="Input/output error"):
            put(store, b"lost")
    assert len(list((folder / "2026-11-21").iterdir())) == 1


def test_a_full_disk_is_said_to_be_full_and_leaves_nothing(
    store: FolderStore, folder: Path
) -> None:
    mark(store)
    put(store, b"fits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(BlobStoreFull):
            put(store, bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(list((folder / "2026-11-21").iterdir())) == 1
    put(store, bytes(200_000))  # room again: no restart


def test_a_disk_that_is_not_mounted_gets_nothing(store: FolderStore, folder: Path) -> None:
    mark(store)
    put(store, b"x")
    folder.rename(folder.with_name("elsewhere"))
    folder.mkdir()  # the mount point under it
    with pytest.raises(BlobTrouble, match="mounted"):
        put(store, b"y")
    assert list(folder.iterdir()) == []
    folder.rmdir()
    with pytest.raises(BlobTrouble):
        put(store, b"y")
    with pytest.raises(BlobTrouble):
        store.days()
    assert store.free() is None


def test_unfinished_files_are_listed_apart_and_others_left_alone(
    store: FolderStore, folder: Path
) -> None:
    mark(store)
    name = put(store, b"x")
    (folder / "2026-11-21" / ".new-0011223344556677").write_bytes(b"half")
    (folder / "2026-11-21" / "README").write_bytes(b"not ours")
    found = {one.name: one.unfinished for one in store.names("2026-11-21")}
    assert found == {name: False, "2026-11-21/.new-0011223344556677": True}
    store.delete("2026-11-21/.new-0011223344556677")
    assert (folder / "2026-11-21" / "README").exists()
    assert [one.name for one in store.names("2026-11-21")] == [name]


def test_age_is_told_by_the_clock_that_stamps_the_files(store: FolderStore, folder: Path) -> None:
    mark(store)
    name = put(store, b"old")
    stamp = (folder / name).stat().st_mtime - 3600
    os.utime(folder / name, (stamp, stamp))
    (one,) = store.names("2026-11-21")
    assert timedelta(minutes=59) < one.age < timedelta(minutes=62)


def test_rights_that_are_missing_are_trouble_not_loss(store: FolderStore, folder: Path) -> None:
    mark(store)
    name = put(store, b"x")
    (folder / name).unlink()
    (folder / name).symlink_to(folder / name)  # ELOOP: an error that even root gets
    with pytest.raises(BlobTrouble) as caught:
        store.get(name)
    assert not isinstance(caught.value, BlobMissing)


def test_free_space_is_that_of_its_disk(store: FolderStore, folder: Path) -> None:
    mark(store)
    found = os.statvfs(folder)
    free = store.free()
    assert free is not None
    assert abs(free - found.f_bavail * found.f_frsize) < 1 << 30
    assert store.get(MARKER) == b"test"
    assert digest(b"test") == digest(store.get(MARKER))
