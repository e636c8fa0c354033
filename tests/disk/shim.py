"""The shim (`shim.c`), compiled where it is needed, and the faults that it makes on demand."""

from __future__ import annotations

import errno
import mmap
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")

# As `struct faults` has it: clock, syncs; then rules: on, error, before, times, hits, pattern.
_TOP = struct.Struct("<QQ")
_RULE = struct.Struct("<Iiqqq224s")
_RULES = 8
_ON_WRITE, _ON_SYNC = 1, 2
_SIZE = _TOP.size + _RULES * _RULE.size


def compile_shim(folder: Path) -> Path:
    """The shared object, made in `folder`."""
    made = folder / "shim.so"
    if not made.exists():
        command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([*command, "-o", str(made), str(SOURCE), "-lpthread"], check=True)
        made.chmod(0o755)
    return made


@dataclass
class Disk:
    """What is watched below `root`, with its journal in a folder beside it.

    The journal's folder is open to all: PostgreSQL runs as another user than we do.
    """

    shim: Path
    root: Path
    journal: Path

    def __post_init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin a new journal, with no faults; none of the programs may run."""
        shutil.rmtree(self.journal, ignore_errors=True)
        self.journal.mkdir()
        self.journal.chmod(0o1777)
        shared = self.journal / "faults"
        shared.write_bytes(bytes(_SIZE))
        shared.chmod(0o666)

    @property
    def environment(self) -> dict[str, str]:
        """For the programs."""
        return {
            "LD_PRELOAD": str(self.shim),
            "SCEAU_DISK_ROOT": str(self.root),
            "SCEAU_DISK_JOURNAL": str(self.journal),
        }

    @property
    def syncs(self) -> int:
        """How many fsync and fdatasync calls there were."""
        with self._mapped() as shared:
            return int(_TOP.unpack_from(shared, 0)[1])

    @contextmanager
    def full(
        self, pattern: str, *, after: int = 0, code: int = errno.ENOSPC, times: int = -1
    ) -> Iterator[Fault]:
        """No room for files whose path matches, once `after` more octets are written to them."""
        with self._rule(_ON_WRITE, pattern, code, after, times) as fault:
            yield fault

    @contextmanager
    def sync_fails(self, pattern: str, *, after: int = 0, times: int = 1) -> Iterator[Fault]:
        """EIO from the fsync that comes after `after` others, of files whose path matches."""
        with self._rule(_ON_SYNC, pattern, errno.EIO, after, times) as fault:
            yield fault

    @contextmanager
    def _rule(self, on: int, pattern: str, code: int, before: int, times: int) -> Iterator[Fault]:
        with self._mapped() as shared:
            free = next(n for n in range(_RULES) if not _rule_on(shared, n))
            at = _TOP.size + free * _RULE.size
            # The switch comes last: a program that looks meanwhile sees no half of a rule.
            whole = _RULE.pack(on, code, before, times, 0, pattern.encode())
            shared[at + 4 : at + _RULE.size] = whole[4:]
            shared[at : at + 4] = whole[:4]
            try:
                yield Fault(shared, at)
            finally:
                shared[at : at + 4] = bytes(4)

    @contextmanager
    def _mapped(self) -> Iterator[mmap.mmap]:
        with (self.journal / "faults").open("r+b") as file, mmap.mmap(file.fileno(), 0) as shared:
            yield shared


@dataclass
class Fault:
    """A rule in force."""

    _shared: mmap.mmap
    _at: int

    @property
    def hits(self) -> int:
        """How often something failed by it: a test whose fault was never met has tested nothing."""
        return int(_RULE.unpack_from(self._shared, self._at)[4])


def _rule_on(shared: mmap.mmap, number: int) -> bool:
    return bool(_RULE.unpack_from(shared, _TOP.size + number * _RULE.size)[0])
