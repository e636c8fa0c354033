"""What a machine finds after a power cut: built from a copy made before, and the shim's journal.

A file's octets are there if an fsync of the file began after they were written and ended; a name
is there, or gone, if an fsync of its folder did. Of all else nothing is there, or some of it, as
the seed says: file systems write back when they like, in any order, and a write may be torn.
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import stat
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<II Q QQ QQ QQ Q III III")
_MAGIC = 0x6B736964
_SECTOR = 512

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _NOFOLLOW, _WITH_BIRTH = -100, 0x100, 0xFFF


class _Kind(IntEnum):
    WRITE = 1
    TRUNCATE = 2
    EXTEND = 3
    CREATE = 4
    UNLINK = 5
    RENAME = 6
    SYNC_BEGUN = 7
    SYNC_DONE = 8
    SYNC_ALL = 9


class Id(NamedTuple):
    """What a file or folder is, whatever its name."""

    inode: int
    birth: int


class _Record(NamedTuple):
    kind: _Kind
    number: int
    what: Id
    folder: Id
    folder2: Id
    offset: int
    mode: int
    uid: int
    gid: int
    name: str
    name2: str
    file: Path
    at: int  # of the octets in that file
    length: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Which of what was not synced is there all the same.

    octets: "none", "some" (each write or not), "torn" (and of a write some sectors).
    names: "none", "first" (all up to a moment), "some" (each change or not).
    """

    octets: str = "none"
    names: str = "none"

    @classmethod
    def drawn(cls, draw: random.Random) -> Loss:
        """One of them."""
        return cls(draw.choice(("none", "some", "torn")), draw.choice(("none", "first", "some")))


@dataclass(frozen=True, slots=True)
class Lost:
    """What was thrown away: octets, and changes of names."""

    octets: int
    names: int


@dataclass(slots=True)
class _Node:
    """A file or folder. image: its durable octets, None for none. pending: not synced yet."""

    kind: str
    mode: int
    uid: int
    gid: int
    image: Path | None = None
    target: str = ""
    pending: list[_Record] = field(default_factory=list)


class Before:
    """The tree as it was when all of it was on the disk, in a folder of its own."""

    def __init__(self, root: Path, store: Path) -> None:
        """Copy it; nothing may run that writes to it."""
        self._root = root
        self._store = store
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir()
        subprocess.run(["cp", "-a", "--reflink=auto", str(root), str(store / "copy")], check=True)
        self._nodes: dict[Id, _Node] = {}
        self._names: dict[tuple[Id, str], Id] = {}
        self._made = 0
        folders: dict[str, Id] = {}
        for id_, kind, mode, uid, gid, path in _walk(root):
            copy = store / "copy" / path
            node = self._nodes.setdefault(id_, _Node(kind, mode, uid, gid))
            if kind == "f":
                node.image = copy
            elif kind == "l":
                node.target = str(copy.readlink())
            if kind == "d":
                folders[path] = id_
            if path:
                above, _, name = path.rpartition("/")
                self._names[(folders[above], name)] = id_
        self._top = folders[""]

    def cut_power(
        self, journal: Path, loss: Loss, draw: random.Random, *, files_bring_names: bool = False
    ) -> Lost:
        """Put in place of the tree what would be found. The programs have ended. Use once.

        files_bring_names: an fsync of a new file makes its name durable too. POSIX promises it
            not; ext4, XFS and Btrfs do it, and PostgreSQL counts on it for its relations.
        """
        changes: list[_Record] = []
        begun: dict[int, int] = {}
        for one in _records(journal):
            match one.kind:
                case _Kind.WRITE | _Kind.TRUNCATE | _Kind.EXTEND:
                    self._node(one.what, one).pending.append(one)
                case _Kind.CREATE:
                    self._node(one.what, one)
                    changes.append(one)
                case _Kind.RENAME:  # perhaps of a file that was made unseen
                    self._node(one.what, one)
                    changes.append(one)
                case _Kind.UNLINK:
                    changes.append(one)
                case _Kind.SYNC_BEGUN:
                    begun[one.number] = one.number
                case _Kind.SYNC_DONE:
                    self._synced(one, failed=one.mode != 0)
                    if one.mode == 0:
                        changes = self._named(changes, one, files_bring_names)
                case _Kind.SYNC_ALL:
                    for node in self._nodes.values():
                        self._settle(node, one.number)
                    for change in changes:
                        self._rename(change)
                    changes = []
        lost = self._some_of_the_rest(changes, loss, draw)
        self._put_in_place()
        return lost

    # -- parts ---------------------------------------------------------------------------------

    def _node(self, what: Id, one: _Record) -> _Node:
        if what not in self._nodes:
            kind = {0o040000: "d", 0o120000: "l"}.get(one.mode & 0o170000, "f")
            # Files that came by ways that the shim does not see have no mode.
            mode = one.mode & 0o7777 or 0o600
            self._nodes[what] = _Node(
                kind, mode, one.uid, one.gid, target=one.name2 if kind == "l" else ""
            )
        return self._nodes[what]

    def _synced(self, done: _Record, *, failed: bool) -> None:
        node = self._nodes.get(done.what)
        if node is None:
            return
        if failed:  # the kernel has marked those pages clean: nobody writes them any more
            node.pending = [one for one in node.pending if one.number > done.offset]
        else:
            self._settle(node, done.offset)

    def _settle(self, node: _Node, until: int) -> None:
        for one in node.pending:
            if one.number < until:
                self._apply(node, one)
        node.pending = [one for one in node.pending if one.number > until]

    def _named(
        self, changes: list[_Record], done: _Record, files_bring_names: bool
    ) -> list[_Record]:
        rest = []
        for one in changes:
            of_folder = done.what in (one.folder, one.folder2)
            of_file = files_bring_names and one.what == done.what and one.kind != _Kind.UNLINK
            if one.number < done.offset and (of_folder or of_file):
                self._rename(one)
            else:
                rest.append(one)
        return rest

    def _rename(self, one: _Record) -> None:
        here = (one.folder, one.name)
        match one.kind:
            case _Kind.CREATE:
                self._names[here] = one.what
            case _Kind.UNLINK:
                self._names.pop(here, None)
            case _:
                if self._names.get(here) == one.what:
                    del self._names[here]
                self._names[(one.folder2, one.name2)] = one.what

    def _apply(self, node: _Node, one: _Record, sectors: random.Random | None = None) -> None:
        if node.image is None:
            self._made += 1
            node.image = self._store / f"made-{self._made}"
            node.image.touch()
        if one.kind == _Kind.TRUNCATE:
            os.truncate(node.image, one.offset)
            return
        if one.kind == _Kind.EXTEND:
            if node.image.stat().st_size < one.offset:
                os.truncate(node.image, one.offset)
            return
        with one.file.open("rb") as file:
            file.seek(one.at)
            octets = file.read(one.length)
        with node.image.open("r+b") as image:
            for start, piece in _pieces(one.offset, octets, sectors):
                image.seek(start)
                image.write(piece)

    def _some_of_the_rest(self, changes: list[_Record], loss: Loss, draw: random.Random) -> Lost:
        octets = names = 0
        for node in self._nodes.values():
            for one in node.pending:
                if loss.octets != "none" and draw.random() < 0.5:
                    self._apply(node, one, draw if loss.octets == "torn" else None)
                else:
                    octets += one.length
        first = draw.randint(0, len(changes))
        for n, one in enumerate(changes):
            kept = n < first if loss.names == "first" else draw.random() < 0.5
            if loss.names != "none" and kept:
                self._rename(one)
            else:
                names += 1
        return Lost(octets, names)

    def _put_in_place(self) -> None:
        content: dict[Id, list[tuple[str, Id]]] = {}
        for (folder, name), what in self._names.items():
            content.setdefault(folder, []).append((name, what))
        new = self._store / "new"
        placed: dict[Id, Path] = {}
        self._place(self._top, new, content, placed)
        shutil.rmtree(self._root)
        shutil.move(new, self._root)
        shutil.rmtree(self._store)

    def _place(
        self,
        what: Id,
        path: Path,
        content: dict[Id, list[tuple[str, Id]]],
        placed: dict[Id, Path],
    ) -> None:
        node = self._nodes[what]
        if node.kind == "d":
            path.mkdir()
            for name, child in content.get(what, []):
                self._place(child, path / name, content, placed)
        elif node.kind == "l":
            path.symlink_to(node.target)
            return
        elif what in placed:
            path.hardlink_to(placed[what])
            return
        elif node.image is None:
            path.touch()
        else:
            node.image.rename(path)
        placed[what] = path
        os.chown(path, node.uid, node.gid)
        path.chmod(node.mode)


def _walk(root: Path) -> Iterator[tuple[Id, str, int, int, int, str]]:
    """Id, kind, mode, owner, group, path; folders before what is in them."""
    yield (*_look(root), "")
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            yield (*_look(path), str(path.relative_to(root)))


def _look(path: Path) -> tuple[Id, str, int, int, int]:
    # statx(2) because Python does not tell a file's birth.
    found = ctypes.create_string_buffer(256)
    if _LIBC.statx(_AT_FDCWD, os.fsencode(path), _NOFOLLOW, _WITH_BIRTH, found) != 0:
        raise OSError(ctypes.get_errno(), f"statx: {path}")
    uid, gid, mode = struct.unpack_from("<IIH", found, 20)
    (inode,) = struct.unpack_from("<Q", found, 32)
    seconds, nanoseconds = struct.unpack_from("<qI", found, 80)
    kind = {stat.S_IFDIR: "d", stat.S_IFLNK: "l"}.get(stat.S_IFMT(mode), "f")
    birth = seconds * 1_000_000_000 + nanoseconds
    return Id(inode, birth), kind, stat.S_IMODE(mode), uid, gid


def _records(journal: Path) -> Iterator[_Record]:
    """All records in order. What SIGKILL cut off is the last of its file, and left out."""
    found: list[_Record] = []
    for file in journal.glob("*.journal"):
        size = file.stat().st_size
        at = 0
        with file.open("rb") as stream:
            while at + _HEAD.size <= size:
                stream.seek(at)
                head = _HEAD.unpack(stream.read(_HEAD.size))
                assert head[0] == _MAGIC, f"{file} is not a journal at {at}"
                name, name2, length = head[13:16]
                names = stream.read(name + name2)
                end = at + _HEAD.size + name + name2 + length
                if end > size:
                    break
                found.append(
                    _Record(
                        _Kind(head[1]), head[2], Id(*head[3:5]), Id(*head[5:7]), Id(*head[7:9]),
                        head[9], head[10], head[11], head[12],
                        os.fsdecode(names[:name]), os.fsdecode(names[name:]),
                        file, end - length, length,
                    )
                )  # fmt: skip
                at = end
    found.sort(key=lambda one: one.number)
    yield from found


def _pieces(
    offset: int, octets: bytes, sectors: random.Random | None
) -> Iterator[tuple[int, bytes]]:
    if sectors is None:
        yield offset, octets
        return
    start = 0
    while start < len(octets):
        # A disk writes whole sectors: the first piece ends where the file's sector ends.
        end = min(len(octets), start + _SECTOR - (offset + start) % _SECTOR)
        if sectors.random() < 0.5:
            yield offset + start, octets[start:end]
        start = end
