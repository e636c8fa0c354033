"""Published certificates get the verdicts that stand in docs/pki-verdicts.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.corpora import corpus
from tests.judges.verdicts.page import SOURCES, page
from tests.judges.verdicts.row import Row, say

pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

ALL = [
    pytest.param(folder, row, id=f"{name}: {row.leaf}, {row.about}")
    for name, folder, _, rows in SOURCES
    for row in rows
]


@pytest.mark.parametrize(("folder", "row"), ALL)
def test_verdict(folder: str, row: Row) -> None:
    assert say(row, corpus(folder)) == row.ours


@pytest.mark.parametrize(("folder", "row"), ALL)
def test_another_verdict_has_a_reason(folder: Any, row: Row) -> None:
    assert bool(row.why) == row.differs


def test_the_page_says_so() -> None:
    found = page(corpus("pkits").parent)
    kept = Path(__file__).parents[2] / "docs" / "pki-verdicts.md"
    assert kept.read_text() == found, "run: python -m tests.judges.verdicts"
