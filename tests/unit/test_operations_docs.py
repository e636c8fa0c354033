"""docs/operations.md: every command in it is one, and no verb of the daily work is left out."""

from __future__ import annotations

import re
import shlex

import pytest

from gateway.cli import archive, queue
from gateway.cli.usage import SceauParser
from tests.corpora import ROOT

TEXT = (ROOT / "docs" / "operations.md").read_text("utf-8")
NOUNS = {"queue": queue, "archive": archive}
COMMANDS = re.findall(r"(?m)^    sceau ((?:queue|archive) .+?)$", TEXT)
COMMANDS += re.findall(r"`sceau ((?:queue|archive) \w+ ID[^`]*)`", TEXT)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_is_one(line: str) -> None:
    noun, *words = shlex.split(line)
    parser = SceauParser(prog=f"sceau {noun}")
    NOUNS[noun].configure(parser)
    assert callable(parser.parse_args(words).run)


def test_every_verb_is_there() -> None:
    said = {tuple(line.split()[:2]) for line in COMMANDS}
    verbs = ("list", "show", "stats", "watch", "retry", "release", "hold", "bounce")
    acts = {("queue", verb) for verb in verbs}
    reads = {("archive", verb) for verb in ("history", "search", "show", "verify")}
    assert said == acts | reads
