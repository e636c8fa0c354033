"""docs/pki.md: every verdict is explained, and the files it names are there."""

from __future__ import annotations

import re
from pathlib import Path

HOUSE = Path(__file__).parents[2]
PAGE = (HOUSE / "docs" / "pki.md").read_text("utf-8")
CODE = re.compile(r"\b(?:path|revocation|algorithm|limits)\.[a-z][a-z0-9-]*")


def section(title: str) -> str:
    """Text below a heading."""
    begin = PAGE.index(f"\n## {title}\n")
    end = PAGE.find("\n## ", begin + 1)
    return PAGE[begin : end if end > 0 else len(PAGE)]


def codes_of_the_code() -> set[str]:
    found = set()
    for package in ("pki", "gateway"):
        for file in (HOUSE / package).rglob("*.py"):
            text = file.read_text("utf-8")
            found |= {word[1:-1] for word in re.findall(rf'"{CODE.pattern}"', text)}
    return found


def explained() -> list[str]:
    rows = re.findall(r"^\| (`[^|]+`) \|", section("What each verdict means"), re.MULTILINE)
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


def test_every_verdict_is_explained_once_and_no_other() -> None:
    codes = explained()
    assert sorted(codes) == sorted(set(codes))
    assert codes_of_the_code() ^ set(codes) == set()


def test_the_collector_finds_codes() -> None:
    assert {"path.signature", "revocation.reasons", "limits.names"} <= codes_of_the_code()


def test_the_table_of_sections_names_files_that_are_there() -> None:
    files = re.findall(r"`((?:pki|tests)/[a-z_/]+\.py)`", section("RFC 5280, section by section"))
    assert len(files) > 20
    assert [file for file in files if not (HOUSE / file).is_file()] == []


def test_the_tests_that_are_named_anywhere_are_there() -> None:
    """`test_x.py`, `test_x.py::test_y`, `test_y`, and `test_y_…` for the beginning of a name."""
    files = {file.name: file.read_text("utf-8") for file in (HOUSE / "tests").rglob("test_*.py")}
    functions = {name: set(re.findall(r"def (test_\w+)\(", text)) for name, text in files.items()}
    every = set().union(*functions.values())
    named = re.findall(r"`(?:tests/[a-z/]+/)?(test_\w+\.py)?(?:::)?(test_\w+)?(…)?`", PAGE)
    missing = []
    for file, function, begins in named:
        if file and file not in files:
            missing.append(file)
            continue
        known = functions[file] if file else every
        if function and not any(
            one.startswith(function) if begins else one == function for one in known
        ):
            missing.append(f"{file}::{function}")
    assert len([one for one in named if one[0] or one[1]]) > 30
    assert missing == []
