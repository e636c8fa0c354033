"""A configuration as it was accepted, with the content of every file it names.

Processes that are started later than the configuration was read (one died, say) must not see what
somebody has written to those files meanwhile: a half-edited policy, the key for next week. So the
supervisor keeps what it has tried out in memory (memfd_create(2), sealed against writing: no copy
of a key ever lies in a file system) and hands that to its children, who read
`/proc/self/fd/N` in the place of each file.

Folders that the gateway writes to, the database, and files that are `live` (see
`gateway.config.reader.KeySpec`) stay what they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from gateway.config import Config, ConfigFaults, Fault, load
from gateway.config.load import dotted
from gateway.config.reader import KeyPath, KeySpec, NamedSpec, TableSpec, read
from gateway.errors import SceauError

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_TRIES = 5


@dataclass(frozen=True, slots=True)
class _File:
    """In the place of a file's name: its number among the files of a snapshot."""

    number: int


@dataclass
class Snapshot:
    """A configuration file and the files it names, read at one time.

    data: the TOML tables, with a `_File` in the place of each file's name.
    live: keys whose files are looked at anew, with their paths.
    """

    path: Path
    config: Config
    text: bytes
    data: dict[str, Any] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)
    live: list[tuple[KeyPath, str]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Snapshot:
        """Read everything. Raises ConfigFaults with all faults, OSError, SceauError."""
        for _ in range(_TRIES):
            before = path.read_bytes() if path.is_file() else b""
            config = load(path)
            text = path.read_bytes()
            if text == before:
                break
        else:
            raise SceauError(
                "{path} changes all the time", hint="try again", facts={"path": str(path)}
            )
        snapshot = cls(path.absolute(), config, text)
        snapshot.data = snapshot._table(config, tomllib.loads(text.decode("utf-8")), ())
        return snapshot

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the file and all it names: the same while nobody changes them."""
        whole = hashlib.sha256()
        for content in (self.text, *self.files):
            whole.update(len(content).to_bytes(8) + content)
        return whole.hexdigest()

    def _table(self, section: object, data: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        found = dict(data)
        for each in fields(cast("Any", section)):
            if each.name not in data:
                continue
            spec, value = each.metadata["spec"], getattr(section, each.name)
            key, said = (*path, each.name), data[each.name]
            if isinstance(spec, NamedSpec):
                found[each.name] = self._named_table(spec, value, said, key)
            elif isinstance(spec, KeySpec) and spec.table is not None and isinstance(said, dict):
                found[each.name] = self._table(value, said, key)
            elif isinstance(spec, TableSpec):
                found[each.name] = (
                    [self._table(value[n], one, (*key, n)) for n, one in enumerate(said)]
                    if spec.many
                    else self._table(value, said, key)
                )
            elif spec.live:
                self.live.append((key, str(value)))
            elif isinstance(value, Path) and value.is_file():
                found[each.name] = self._take(value)
            elif isinstance(value, tuple) and value and all(isinstance(v, Path) for v in value):
                found[each.name] = [self._take(file) for v in value for file in _files_of(v)]
                if not found[each.name]:
                    del found[each.name]  # nothing but empty folders: as if it were not said
        return found

    def _named_table(
        self, spec: NamedSpec, value: Mapping[str, Any], said: dict[str, Any], path: KeyPath
    ) -> dict[str, Any]:
        if spec.cls is None:
            # A list of addresses may stand in a file: what was read from it is what counts.
            return {name: [pattern.text for pattern in value[name]] for name in value}
        # Names are read into one canonical form; the order stays.
        return {
            name: self._table(value[name], one, (*path, name))
            for name, one in zip(value, said.values(), strict=True)
        }

    def _take(self, file: Path) -> _File:
        self.files.append(file.read_bytes())
        return _File(len(self.files) - 1)


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(each for each in path.iterdir() if each.is_file())
    else:
        yield path


class Accepted:
    """A snapshot in sealed memory files, for children. `fds` is what they must inherit."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.path = snapshot.path
        self.digest = snapshot.digest
        held = [_memory_file(content) for content in snapshot.files]
        document = {
            "folder": str(snapshot.path.parent),
            "data": _named(snapshot.data, held),
            "live": snapshot.live,
        }
        self.fd = _memory_file(json.dumps(document).encode())
        self.fds = (self.fd, *held)

    def close(self) -> None:
        """Give the memory back; children that run have their own hold on it."""
        for fd in self.fds:
            os.close(fd)


def inherited(fd: int) -> Config:
    """The configuration behind an inherited `Accepted.fd`. Raises ConfigFaults."""
    with Path(f"/proc/self/fd/{fd}").open("rb") as file:
        document = json.load(file)
    folder = Path(document["folder"])
    config, findings = read(Config, document["data"], folder)
    live = {tuple(key): Path(value) for key, value in document["live"]}
    for key, value in live.items():
        # Whether it is there just now is not asked: it was when the configuration was accepted.
        section: Any = config
        for part in key[:-1]:
            section = section[part] if isinstance(part, int) else getattr(section, part)
        object.__setattr__(section, str(key[-1]), value)
    if wrong := [finding for finding in findings if finding.path not in live]:
        raise ConfigFaults(
            tuple(Fault(str(folder), dotted(one.path), 0, one.template, one.facts) for one in wrong)
        )
    return config


def _named(value: Any, held: list[int]) -> Any:
    if isinstance(value, dict):
        return {key: _named(each, held) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, held) for each in value]
    if isinstance(value, _File):
        return f"/proc/self/fd/{held[value.number]}"
    return value


def _memory_file(content: bytes) -> int:
    fd = os.memfd_create("sceau", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(content)
    os.fchmod(fd, 0o600)  # who reads a key asks whether others may
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    return fd
