"""docs/pki.md and docs/persons.md: every command in them is one, and every verb has an example."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from gateway.cli import person, pki
from gateway.cli.usage import SceauParser
from tests.corpora import ROOT

TEXT = "".join((ROOT / "docs" / name).read_text("utf-8") for name in ("pki.md", "persons.md"))
PERSON = re.findall(r"^ *\$ sceau person (.+)$", TEXT.replace(" \\\n    ", " "), re.M)
EXAMPLES = re.findall(r"^ *(?:\$|   ) sceau pki (.+)$", TEXT, re.M)


def parser() -> SceauParser:
    made = SceauParser(prog="sceau pki")
    pki.configure(made)
    return made


def verbs(of: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """All chains of sub-commands."""
    subs = [a for a in of._actions if isinstance(a, argparse._SubParsersAction)]
    if not subs:
        return {words}
    return {
        chain for name, below in subs[0].choices.items() for chain in verbs(below, (*words, name))
    }


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_a_command_line(line: str) -> None:
    assert callable(parser().parse_args(shlex.split(line)).run)


@pytest.mark.parametrize("line", PERSON)
def test_an_example_of_person_is_a_command_line(line: str) -> None:
    made = SceauParser(prog="sceau person")
    person.configure(made)
    assert callable(made.parse_args(shlex.split(line)).run)


def test_every_verb_has_an_example() -> None:
    missing = {
        verb
        for verb in verbs(parser())
        if not any(tuple(shlex.split(line)[: len(verb)]) == verb for line in EXAMPLES)
    }

    assert missing == set()
