"""The cases of `policy_cases.md`: policies, mails, and what must be decided."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.config import load_policy
from gateway.mime.entity import split
from gateway.policy import NO_HEADER, Decision, Mail, Policy, Step, Undecided, WholeHeader
from pki.errors import Problem
from tests.corpora import ROOT

DOWN = Problem("directory.down", "the directory is down")
HERE = Path(__file__).with_name("policy_cases.md")


@dataclass(frozen=True)
class Case:
    section: str
    policy: str
    author: str
    recipient: str
    mail: str
    decision: str


def cases() -> Iterator[Case]:
    for section in re.split(r"^## ", HERE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        policy = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
        assert policy
        rows = [line.strip("| ") for line in section.splitlines() if line.startswith("|")]
        for row in rows[2:]:
            author, to, *mail, decision = (cell.strip() for cell in row.split("|"))
            author = author if "@" in author else f"{author}@int.example"
            yield Case(section.splitlines()[0], policy[1], author, to, "".join(mail), decision)


CASES = list(cases())


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Policy]:
    found = {}
    for case in CASES:
        if case.policy not in found:
            file = tmp_path_factory.mktemp("policy") / "policy.toml"
            file.write_text(case.policy, "utf-8")
            found[case.policy] = load_policy(file, None).policy()
    return found


def mail_of(case: Case) -> Mail:
    size: int | None = 500
    moment: datetime | None = datetime(2026, 11, 23, 12, tzinfo=UTC)
    groups: dict[str, frozenset[str] | Problem] = {}
    lines: list[str] = []
    known = True
    for part in filter(None, (part.strip() for part in case.mail.split(";"))):
        if part == "header unknown":
            known = False
        elif part == "size unknown":
            size = None
        elif part == "at unknown":
            moment = None
        elif part.startswith("size="):
            size = int(part[5:])
        elif part.startswith("at="):
            moment = datetime.fromisoformat(part[3:])
        elif part.startswith("groups "):
            for name, value in re.findall(r"(\w+)=(\?|[^=]*?)(?= \w+=|$)", part[7:]):
                one = frozenset(filter(None, value.split(",")))
                address = case.recipient if case.recipient.startswith(name + "@") else case.author
                groups[address] = DOWN if value == "?" else one
        elif part != "header known":
            lines.append(part)
    raw = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\nx"
    return Mail(case.author, size, moment, WholeHeader(split(raw)) if known else NO_HEADER, groups)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.section}: {c.mail or c.recipient}")
def test_case(case: Case, loaded: dict[str, Policy]) -> None:
    rule, *wanted = case.decision.split(" ")
    steps: list[Step] = []

    verdict = loaded[case.policy].decide(mail_of(case), case.recipient, steps)

    assert verdict == loaded[case.policy].decide(mail_of(case), case.recipient)  # untraced
    if rule == "?":
        assert isinstance(verdict, Undecided), verdict
        assert verdict.problem.code == wanted[0]
        assert steps[-1].matched is None
        assert steps[-1].rule.name == verdict.rule
        return
    assert isinstance(verdict, Decision), verdict
    assert verdict.rule == rule
    assert [step.rule.name for step in steps if step.matched] == list(verdict.rules)
    assert all(step.why is not None for step in steps if not step.matched)
    told = {
        "by": ",".join(verdict.rules),
        "encryption": verdict.encryption.value,
        "encryption-rule": verdict.encryption_rule,
        "without": verdict.without_certificate.value,
        "sign": verdict.sign.value,
        "crypto": verdict.crypto.value,
        "tls": verdict.tls.value if verdict.tls else "",
        "action": verdict.action.value,
        "receipt": "yes" if verdict.receipt else "no",
        "copy": ",".join(copy.address for copy in verdict.copies),
        "tell": "yes" if verdict.tell_held else "no",
    }
    for one in wanted:
        key, _, value = one.partition("=")
        assert told[key] == value, one


def test_there_are_enough_cases_to_be_a_specification() -> None:
    assert len(CASES) >= 60
    assert (ROOT / "docs" / "policy.md").exists()
