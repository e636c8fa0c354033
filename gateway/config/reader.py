"""From TOML tables to frozen dataclasses, by the dataclasses' own fields.

A section is a class whose fields say, beside their type, how they are read:

    @section
    class Listen:
        port: int = setting(kinds.port, example="10025", default=10025)

`read` walks a parsed file along such classes and collects every fault instead of stopping at the
first. What could be read of a faulty table is kept, so that the checks between tables
(`checks.py`) still find theirs in the same run.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, dataclass_transform, overload

from gateway.config.faults import Wrong

T = TypeVar("T")
D = TypeVar("D")

# Where a value stands: ("relays", 0, "networks").
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of value. `read(value, folder)` gives it or raises `Wrong`.

    folder: the configuration file's folder, against which relative paths are taken.
    """

    read: Callable[[object, Path], T]


@dataclass(frozen=True, slots=True)
class KeySpec:
    """A key of a table: how its value is read, and what a right one looks like (as TOML).

    table: the class of a table that may stand in the place of the value.
    live: the file it names is looked at again and again while the gateway runs, and is not frozen
    with the configuration (`gateway.accepted`).
    """

    kind: Kind[Any]
    example: str
    table: type[Any] | None = None
    live: bool = False


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table in a table: `[pki.fetch]`, or with `many` a list of them: `[[pki.anchors]]`.

    optional: read as None when it is absent.
    """

    cls: type[Any]
    many: bool
    optional: bool = False


@dataclass(frozen=True, slots=True)
class NamedSpec:
    """Tables or values under names that the file chooses: `[policy.lists]`, or
    `[policy.domain."b.example"]`. `name` reads the name; exactly one of kind and cls is there.
    """

    name: Kind[str]
    kind: Kind[Any] | None = None
    cls: type[Any] | None = None


@overload
def setting(kind: Kind[T], *, example: str, live: bool = ...) -> T: ...
@overload
def setting(kind: Kind[T], *, example: str, default: D, live: bool = ...) -> T | D: ...
def setting(kind: Kind[Any], *, example: str, default: Any = MISSING, live: bool = False) -> Any:
    """A key; required unless there is a default. example: right-hand side in TOML."""
    return field(default=default, metadata={"spec": KeySpec(kind, example, live=live)})


@overload
def value_or_table(kind: Kind[T], cls: type[D], *, example: str) -> T | D: ...
@overload
def value_or_table(kind: Kind[T], cls: type[D], *, example: str, default: None) -> T | D | None: ...
def value_or_table(kind: Kind[Any], cls: type[Any], *, example: str, default: Any = MISSING) -> Any:
    """A key whose value is of `kind`, or a table that is read as `cls`."""
    return field(default=default, metadata={"spec": KeySpec(kind, example, cls)})


def table(cls: type[T]) -> T:
    """A table; when it is absent it is read as an empty one (its defaults, or its faults)."""
    return cast("T", field(metadata={"spec": TableSpec(cls, many=False)}))


def optional_table(cls: type[T]) -> T | None:
    """A table that means something by being there; None when it is absent."""
    spec = TableSpec(cls, many=False, optional=True)
    return cast("T | None", field(default=None, metadata={"spec": spec}))


def tables(cls: type[T]) -> tuple[T, ...]:
    """A list of tables; may be absent."""
    return cast("tuple[T, ...]", field(metadata={"spec": TableSpec(cls, many=True)}))


def named_values(kind: Kind[T], *, name: Kind[str]) -> Mapping[str, T]:
    """A table whose keys are names that the file chooses; may be absent."""
    return cast("Mapping[str, T]", field(metadata={"spec": NamedSpec(name, kind=kind)}))


def named_tables(cls: type[T], *, name: Kind[str]) -> Mapping[str, T]:
    """Tables under names that the file chooses; may be absent."""
    return cast("Mapping[str, T]", field(metadata={"spec": NamedSpec(name, cls=cls)}))


@dataclass_transform(
    kw_only_default=True,
    frozen_default=True,
    field_specifiers=(
        setting,
        value_or_table,
        table,
        optional_table,
        tables,
        named_values,
        named_tables,
    ),
)
def section(cls: type[T]) -> type[T]:
    """Class decorator: a frozen dataclass that `read` can fill."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault before its line is known."""

    path: KeyPath
    template: str
    facts: dict[str, str]
    example: str = ""


def read(cls: type[T], data: Mapping[str, object], folder: Path) -> tuple[T, list[Finding]]:
    """Fill `cls` from `data`. With findings, the object lacks the attributes that were wrong."""
    findings: list[Finding] = []
    return _read_table(cls, data, (), folder, findings), findings


def _read_table(
    cls: type[T],
    data: Mapping[str, object],
    path: KeyPath,
    folder: Path,
    findings: list[Finding],
) -> T:
    specs = {each.name: each for each in fields(cast("Any", cls))}
    findings += [_unknown(name, path, list(specs)) for name in data if name not in specs]
    made = object.__new__(cls)
    for name, spec_field in specs.items():
        spec = spec_field.metadata["spec"]
        here = (*path, name)
        try:
            if isinstance(spec, TableSpec) and spec.optional and name not in data:
                value = None
            elif isinstance(spec, TableSpec):
                value = _read_tables(spec, data.get(name), here, folder, findings)
            elif isinstance(spec, NamedSpec):
                value = _read_named(spec, data.get(name, {}), here, folder, findings)
            elif spec.table is not None and isinstance(data.get(name), dict):
                inner = cast("Mapping[str, object]", data[name])
                value = _read_table(spec.table, inner, here, folder, findings)
            elif name in data:
                value = spec.kind.read(data[name], folder)
            elif spec_field.default is not MISSING:
                value = spec_field.default
            else:
                raise Wrong("this key is missing")
        except Wrong as wrong:
            shown = isinstance(spec, KeySpec) and wrong.example
            example = f"{name} = {spec.example}" if shown else ""
            findings += [
                Finding(here, template, facts, example) for template, facts in wrong.reasons
            ]
        else:
            # Not through __init__: a table with a fault is kept as far as it could be read.
            object.__setattr__(made, name, value)
    return made


def _read_tables(
    spec: TableSpec, value: object, path: KeyPath, folder: Path, findings: list[Finding]
) -> object:
    name = ".".join(str(part) for part in path if isinstance(part, str))
    if not spec.many:
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise Wrong("this must be a table, written [{name}]", name=name)
        return _read_table(spec.cls, value, path, folder, findings)
    if value is None:
        value = []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Wrong("this must be a list of tables, each written [[{name}]]", name=name)
    return tuple(
        _read_table(spec.cls, item, (*path, number), folder, findings)
        for number, item in enumerate(value)
    )


def _read_named(
    spec: NamedSpec, value: object, path: KeyPath, folder: Path, findings: list[Finding]
) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Wrong("this must be a table, written [{name}]", name=".".join(map(str, path)))
    made: dict[str, Any] = {}
    for key, item in value.items():
        here = (*path, key)
        try:
            name = spec.name.read(key, folder)
            if name in made:
                raise Wrong("{value} stands there twice", value=key)
            if spec.kind is not None:
                made[name] = spec.kind.read(item, folder)
            elif isinstance(item, dict):
                assert spec.cls is not None
                made[name] = _read_table(spec.cls, item, here, folder, findings)
            else:
                raise Wrong("this must be a table, written [{name}]", name=".".join(map(str, here)))
        except Wrong as wrong:
            findings += [Finding(here, template, facts) for template, facts in wrong.reasons]
            if spec.kind is not None:
                made.setdefault(key, ())  # so that who names it is not told that it is missing
    return made


def _unknown(name: str, path: KeyPath, known: list[str]) -> Finding:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return Finding(
            (*path, name), "there is no such key; did you mean {name}?", {"name": close[0]}
        )
    return Finding(
        (*path, name), "there is no such key here; there are: {names}", {"names": ", ".join(known)}
    )
