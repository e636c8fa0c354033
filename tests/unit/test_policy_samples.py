"""Every sample policy is loaded, shown and asked: what the folder says is what happens."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config import load_policy
from gateway.mime.entity import split
from gateway.policy import Decision, Mail, WholeHeader
from tests.corpora import ROOT

FOLDER = ROOT / "samples" / "policies"
NOON, NIGHT = (datetime(2026, 11, 23, hour, tzinfo=UTC) for hour in (11, 23))

# file, From, recipient, Subject and other fields, size, when, the rule that decides
ASKED = [
    ("smallest", "a@interior.example", "b@x.example", "Subject: x", 1, NOON, "everybody"),
    ("strict", "press@interior.example", "desk@a.news.example", "Subject: [COMMUNIQUE] n° 3", 1,
     NOON, "press"),
    ("strict", "press@interior.example", "desk@a.news.example", "Subject: note", 1, NOON,
     "everybody-else"),
    ("ministry", "a@interior.example", "x@webmail.example", "", 1, NOON, "no-webmail"),
    ("ministry", "chief@police.interior.example", "x@webmail.example", "", 1, NOON, "no-webmail"),
    ("ministry", "chief@police.interior.example", "j@justice.example", "", 1, NOON, "chief"),
    ("ministry", "b@police.interior.example", "x@shop.example", "", 1, NOON, "police-suppliers"),
    ("marks", "a@interior.example", "b@x.example", "Subject: Re: SECRET: x", 1, NOON, "secret"),
    ("marks", "a@interior.example", "b@x.example", "X-Classification: NOW Restricted", 1, NOON,
     "classified"),
    ("marks", "a@interior.example", "b@x.example", "Sensitivity: Private", 1, NOON, "private"),
    ("marks", "a@interior.example", "b@x.example", "", 30_000_000, NOON, "large"),
    ("hours", "a@interior.example", "b@news.example", "", 1, NOON, "press-by-day"),
    ("hours", "a@interior.example", "b@news.example", "", 1, NIGHT, "press-by-night"),
    ("hours", "minister@interior.example", "b@news.example", "", 1, NIGHT, "cabinet"),
    ("hours", "a@interior.example", "judge@x.example", "", 1, NIGHT, "magistrates"),
    ("ministere", "a@interior.example", "b@x.example", "Subject: [Diffusion Restreinte] plan", 1,
     NOON, "diffusion-restreinte"),
    ("ministere", "a@interior.example", "redaction@mail.example", "", 1, NOON, "presse-a-relire"),
    ("ministere", "a@interior.example", "b@x.example", "", 15_000_001, NOON, "trop-gros"),
]  # fmt: skip
GROUPS = {"minister@interior.example": frozenset({"cabinet"}),
          "judge@x.example": frozenset({"magistrates"})}  # fmt: skip


@pytest.mark.parametrize(("name", "author", "recipient", "fields", "size", "moment", "rule"), ASKED)
def test_samples_decide_as_they_say(
    name: str, author: str, recipient: str, fields: str, size: int, moment: datetime, rule: str
) -> None:
    policy = load_policy(FOLDER / f"{name}.toml", None).policy()
    groups = {one: GROUPS.get(one, frozenset()) for one in (author, recipient)}
    header = WholeHeader(split(f"{fields}\r\n\r\n".encode()))
    verdict = policy.decide(Mail(author, size, moment, header, groups), recipient)
    assert isinstance(verdict, Decision)
    assert verdict.rule == rule


def test_no_sample_is_left_out() -> None:
    asked = {name for name, *_ in ASKED}
    assert asked == {file.stem for file in FOLDER.glob("*.toml")}
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert all(f"`{name}.toml`" in readme for name in asked)


@pytest.mark.parametrize("language", ["en_GB.UTF-8", "fr_FR.UTF-8"])
@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.toml")), ids=lambda f: f.stem)
def test_samples_are_checked_and_shown_without_a_configuration(
    file: Path, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", language)
    monkeypatch.delenv("SCEAU_CONFIG", raising=False)
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)

    assert main(["policy", "check", str(file)]) == 0
    assert main(["policy", "show", "--policy", str(file)]) == 0
    assert main(["policy", "show", "--policy", str(file), "--json"]) == 0

    records = [json.loads(line) for line in out.getvalue().splitlines() if line[:1] == "{"]
    assert "default" in {record["name"] for record in records}
    assert "{" not in out.getvalue().split('{"level"')[0]  # no place was left unfilled
