"""The manual and the generated file name every key, and the defaults that are true."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from gateway.config.reader import KeySpec, TableSpec
from gateway.config.sections import Config
from tests.corpora import ROOT

MANUAL = (ROOT / "docs" / "configuration.md").read_text("utf-8")
TEMPLATE = (ROOT / "gateway" / "config" / "template.toml").read_text("utf-8")


def tables(cls: type = Config, name: str = "") -> Iterator[tuple[str, type]]:
    """Every table with its name as the file writes it."""
    for each in fields(cls):
        spec = each.metadata["spec"]
        if isinstance(spec, TableSpec):
            full = f"{name}.{each.name}" if name else each.name
            yield (f"[[{full}]]" if spec.many else f"[{full}]"), spec.cls
            yield from tables(spec.cls, full)
        elif isinstance(spec, KeySpec) and spec.table is not None and each.default is MISSING:
            yield f"[{name}.{each.name}]", spec.table


def keys(cls: type) -> dict[str, Any]:
    return {each.name: each for each in fields(cls) if isinstance(each.metadata["spec"], KeySpec)}


SECTIONS = [(name, cls) for name, cls in tables() if keys(cls)]


@pytest.mark.parametrize(("name", "cls"), SECTIONS)
def test_the_manual_describes_exactly_the_keys_there_are(name: str, cls: type) -> None:
    assert list(_rows(name)) == list(keys(cls))


@pytest.mark.parametrize(("name", "cls"), SECTIONS)
def test_the_manual_tells_the_true_default(name: str, cls: type, tmp_path: Path) -> None:
    for key, cell in _rows(name).items():
        each = keys(cls)[key]
        if cell == "required":
            assert each.default is MISSING, key
        elif cell == "–":
            assert each.default in (None, ()), key
        elif cell == '`""`':
            assert each.default == "", key
        else:
            written = tomllib.loads(f"x = {cell.strip('`')}")["x"]
            assert each.metadata["spec"].kind.read(written, tmp_path) == each.default, key


def test_the_manual_has_no_section_for_a_table_that_is_gone() -> None:
    headings = re.findall(r"^## `(\[.*\])`$", MANUAL, re.MULTILINE)

    assert set(headings) == {name for name, _ in SECTIONS}


@pytest.mark.parametrize(("name", "cls"), SECTIONS)
def test_the_generated_file_shows_every_key(name: str, cls: type) -> None:
    shown = "\n".join(line.removeprefix("# ") for line in TEMPLATE.splitlines())
    parts = shown.split(f"\n{name}\n")[1:]
    text = "\n".join(re.split(r"\n\[", part)[0] for part in parts)

    for key in keys(cls):
        assert re.search(rf"^{key} = ", text, re.MULTILINE), key


@pytest.mark.parametrize(("name", "cls"), SECTIONS)
def test_examples_are_toml_and_of_the_right_kind(name: str, cls: type, tmp_path: Path) -> None:
    """What a message calls right must be right (files apart, which are not there)."""
    for each in keys(cls).values():
        spec = each.metadata["spec"]
        written = tomllib.loads(f"x = {spec.example}")["x"]
        if "…" in spec.example or any(
            end in spec.example for end in (".pub", "keys/", "crt", ".so")
        ):
            continue
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "crls").mkdir(exist_ok=True)
        (tmp_path / "crls" / "issuing.crl").touch()
        (tmp_path / "intermediates").mkdir(exist_ok=True)
        spec.kind.read(written, tmp_path)


def _rows(name: str) -> dict[str, str]:
    """Key to default, from the table under a section's heading."""
    section = MANUAL.split(f"\n## `{name}`\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \| ", section, re.MULTILINE))
