"""docs/notices.md: its examples are what the code makes, and another implementation reads them."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.config.sections import Config
from gateway.dsn import Event
from tests.corpora import ROOT
from tests.unit.notice_examples import PAGE, block, examples, shown

TEXT = PAGE.read_text("utf-8")
JUDGE = ROOT / "tests" / "judges" / "bounces.pl"


@pytest.mark.parametrize("name", list(shown()))
def test_an_example_is_what_the_code_makes(name: str) -> None:
    assert block(name, shown()[name]) in TEXT, "python -m tests.unit.notice_examples --write"


def test_every_event_is_there_and_no_example_is_left_over() -> None:
    named = set(re.findall(r"<!-- example: ([a-z-]+) -->", TEXT))
    assert named == set(shown())
    assert {event.value for event in Event} < named


def test_examples_can_be_read_in_a_window_of_80_columns() -> None:
    assert [line for text in shown().values() for line in text.splitlines() if len(line) > 78] == []


def test_the_times_it_tells_are_the_defaults() -> None:
    queue = next(f for f in Config.__dataclass_fields__.values() if f.name == "queue")
    fields = queue.metadata["spec"].cls.__dataclass_fields__
    assert fields["warn"].default == timedelta(hours=4)
    assert fields["held_expire"].default == timedelta(days=30)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_mail_deliverystatus_bounceparser_reads_them(language: str, tmp_path: Path) -> None:
    files = []
    for name, data in examples(language).items():  # type: ignore[arg-type]
        files.append(tmp_path / name)
        files[-1].write_bytes(data)
    done = subprocess.run(
        ["perl", str(JUDGE), *map(str, files)], capture_output=True, check=True, timeout=30
    )
    found = dict(zip(examples("en"), map(json.loads, done.stdout.splitlines()), strict=True))
    # Only what has failed is a bounce: a list manager must not unsubscribe who is merely late.
    assert {name: one["bounce"] for name, one in found.items()} == {
        "failed": True,
        "delayed": False,
        "held": False,
        "relayed": False,
    }
    assert all(one["message_id"].strip() == "<7f3a@interior.example>" for one in found.values())
    (report,) = found["failed"]["reports"]
    assert report["email"] == "Bruno@justice.example"
    assert report["std_reason"] == "user_unknown"
    assert report["smtp_code"] == "550"
    assert report["status"] == "5.1.1"
    assert report["host"] == "justice.example"
    assert " ".join(report["reason"].split()) == (
        "550 5.1.1 <bruno@justice.example>: Recipient address rejected"
    )
    assert report["original-envelope-id"] == "QQ314159"
    assert report["reporting-mta"] == "dns; sceau.interior.example"
    assert report["final-log-id"] == "5f0c1f0e9a7d4c1b8a52e4d0c7b3a691"
