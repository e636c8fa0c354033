"""No flow escapes the question whether `policy explain` agrees with what was done."""

from __future__ import annotations

import re

from tests.corpora import ROOT

# Scenes that are not asked, and why.
NOT_ASKED: dict[str, str] = {}


def test_every_flow_takes_its_stage_from_the_place_that_asks() -> None:
    own = re.compile(r"from gateway\.demo\.stage import (?:\(?[\w, \n]*\b)?stage\b")
    found = {
        str(file.relative_to(ROOT))
        for folder in ("flows", "faults")
        for file in (ROOT / "tests" / folder).glob("**/*.py")
        if own.search(file.read_text("utf-8"))
    }
    assert found == set(NOT_ASKED), "take `stage` from tests.flows.stages, or say here why not"
