"""`sceau policy` as a person meets it: what is printed, in which language, with which exit code."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.unit.config_files import GOOD, write_good

RULES = """
[[policy.rules]]
name = "secret"
sender = "@interior.example"
subject_start = "[secret]"
encryption = "required"
tls = "opportunistic"

[[policy.rules]]
name = "night"
recipient = "@news.example"
time = "mon-sun 22:00-06:00 UTC"
action = "hold"
encryption = "never"
tell_sender_when_held = false

[[policy.rules]]
name = "press"
recipient = "@news.example"
encryption = "if-possible"
without_certificate = "send-signed"
copy = "registry@interior.example"
"""
MAIL = b"From: Anna <anna@interior.example>\nSubject: =?utf-8?q?=5BSECRET=5D?= x\n\nhello\n"

BOB, NOON = "bob@police.interior.example", "2026-11-23 12:00:00+0000"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    begin, end = GOOD.index("[[policy.rules]]"), GOOD.index("[[policy.partners]]")
    config = write_good(tmp_path, GOOD[:begin] + RULES + "\n" + GOOD[end:])
    (tmp_path / "mail.eml").write_bytes(MAIL)
    monkeypatch.chdir(tmp_path)

    def sceau(*arguments: str, language: str = "C", config: Path | None = config) -> Any:
        monkeypatch.setenv("LC_ALL", language)
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        named = [] if config is None else ["--config", str(config)]
        return main(["policy", *arguments, *named]), out.getvalue(), err.getvalue()

    return sceau


def test_explain_names_the_rule_and_what_kept_each_earlier_one_from_matching(run: Run) -> None:
    code, out, _ = run(
        "explain", "--to", "desk@news.example", "--at", "2026-11-23T12:00:00Z", "mail.eml",
        "--from", "bob@police.interior.example",
    )  # fmt: skip
    assert code == 0
    assert out.splitlines() == [
        "bob@police.interior.example to desk@news.example:",
        f"  – secret (organisation): the sender {BOB} is not @interior.example",
        f"  – night (organisation): the mail came at {NOON}, not in mon-sun 22:00-06:00 UTC",
        "  ✓ press (organisation): matches",
        "  encryption: if-possible",
        "  without a certificate: send-signed",
        "  algorithms: readable",
        "  signed by: seal",
        "  by the route: onward",
        "  copy to: registry@interior.example (press)",
    ]


def test_explain_takes_the_author_from_the_mail_and_speaks_french(run: Run) -> None:
    code, out, _ = run("explain", "--to", "x@justice.example", "mail.eml", language="fr_FR.UTF-8")
    assert code == 0
    assert "  ✓ secret (organisation) : s’applique" in out.splitlines()
    assert "  chiffrement: required" in out.splitlines()
    assert "  TLS au moins: opportunistic" in out.splitlines()


def test_explain_without_the_mail_says_what_it_cannot_know(run: Run) -> None:
    code, out, _ = run("explain", "--from", "anna@interior.example", "--to", "x@justice.example")
    assert code == 3
    assert "? secret (organisation): the header field Subject is not known here" in out
    assert "Nobody can tell whether the rule secret decides: the mail would wait." in out

    code, out, _ = run(
        "explain", "--from", "anna@interior.example", "--to", "x@justice.example", "--json"
    )
    record = json.loads(out)
    assert (code, record["status"], record["rule"]) == (3, "undecided", "secret")
    assert record["problem"]["code"] == "policy.unknown-header"


def test_explain_in_json_has_one_line_a_recipient(run: Run) -> None:
    code, out, _ = run(
        "explain", "--to", "desk@news.example", "--to", "x@justice.example", "mail.eml", "--json",
        "--from", "bob@police.interior.example", "--at", "2026-11-23T23:00:00Z",
    )  # fmt: skip
    first, second = map(json.loads, out.splitlines())
    assert code == 0
    assert (first["rule"], first["action"], first["tell_sender_when_held"]) == (
        "night", "hold", False
    )  # fmt: skip
    assert [step["matched"] for step in first["steps"]] == [False, True]
    assert first["steps"][0]["why"]["code"] == "policy.not-sender"
    assert (second["rule"], second["encryption"], second["certificate"]) == (
        "default", "required", None
    )  # fmt: skip


def test_explain_warns_of_a_sender_who_is_not_ours(run: Run) -> None:
    _, _, err = run("explain", "--from", "eve@evil.example", "--to", "desk@news.example")
    assert "eve@evil.example is not in one of our domains" in err


def test_explain_needs_an_author(run: Run, tmp_path: Path) -> None:
    code, _, err = run("explain", "--to", "desk@news.example")
    assert (code, err) == (
        2,
        "sceau policy: --from is missing, and no mail says who wrote it\n",
    )
    (tmp_path / "two.eml").write_bytes(b"From: a@interior.example, b@interior.example\n\nx\n")
    code, _, err = run("explain", "--to", "desk@news.example", "two.eml")
    assert code == 2
    assert "two.eml has 2 From addresses" in err


def test_check_tells_all_faults_and_puts_nothing_in_force(run: Run, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(RULES)
    bad.write_text(RULES.replace('"never"', '"neve"').replace("copy", "route"))

    code, out, err = run("check", "good.toml", "bad.toml")
    assert code == 2
    assert out.startswith("good.toml: 3 rules, nothing wrong; hash ")
    assert "bad.toml:14: policy.rules[2].encryption: " in err
    assert "bad.toml:22: policy.rules[3].route: " in err

    code, out, _ = run("check", "bad.toml", "--json")
    record = json.loads(out)
    assert (code, record["status"], len(record["problems"])) == (2, "malformed", 2)
    assert record["problems"][0]["line"] == 14

    code, out, _ = run("check", "--json")
    assert json.loads(out)["status"] == "valid"


def test_check_without_a_configuration_says_what_it_did_not_check(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SCEAU_CONFIG", raising=False)
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    file = tmp_path / "good.toml"
    file.write_text(RULES.replace("copy", 'route = "gone"\ncopy'))
    code, _, err = run("check", str(file), config=None)
    assert code == 0
    assert "routes, domains and directories were not checked" in err
    code, _, err = run("check", str(file))
    assert code == 2
    assert "there is no route gone; there are: justice, onward" in err


def test_show_is_a_table_with_the_hash(run: Run) -> None:
    code, out, _ = run("show")
    assert code == 0
    heading, secret, night, press, default, partner, sha256 = out.splitlines()
    assert heading.split() == ["level", "rule", "sender", "recipient", "when", "encryption",
                               "otherwise", "signed", "by", "and"]  # fmt: skip
    assert "subject_start [secret]" in secret
    assert "action hold; tell_sender_when_held no" in night
    assert "copy registry@interior.example" in press
    assert default.split()[:2] == ["organisation", "default"]
    assert partner == "justice.example: algorithms modern are agreed"
    checked = json.loads(run("check", "--json")[1])
    assert checked["sha256"] in sha256


def test_what_was_agreed_about_header_fields_is_shown(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "sceau.toml"
    text = config.read_text("utf-8").replace(
        'crypto = "modern"', 'crypto = "modern"\nheader_protection = "confidential"'
    )
    config.write_text(text, "utf-8")

    _, shown, _ = run("show")
    assert (
        "justice.example: protection of header fields confidential is agreed" in shown.splitlines()
    )
    arguments = ("explain", "--to", "x@justice.example", "--to", "x@news.example", "mail.eml")
    _, explained, _ = run(*arguments)
    assert explained.count("  protection of header fields: confidential\n") == 1
    _, lines, _ = run(*arguments, "--json")
    found = [json.loads(line)["header_protection"] for line in lines.splitlines()]
    assert found == ["confidential", "off"]


def test_try_needs_a_case_with_a_key(run: Run) -> None:
    code, _, err = run("try", "sceau.toml", "--key", "a.pub")
    assert code == 2
    assert "--key needs --case" in err
