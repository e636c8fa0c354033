"""Asking `sceau policy explain` about every mail that a gateway has decided on.

It is asked with the mail as the archive has it, the time of acceptance, and the policy that was in
force: its text stands in the log, under the hash that each decision names. (Where that looks at
sender and recipient alone, all mails of a pair are one question.) What it says is compared with
what the decision record says was done, and with what was sealed.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import sqlalchemy as sa

import gateway.config
from archive.access import read_content
from archive.errors import ArchiveError
from archive.reading import history
from archive.recipients import load_private_key
from gateway.cli import main
from gateway.clock import from_micros, rfc3339
from gateway.installation import Installation
from gateway.policylog import policy_log_id
from gateway.queue.models import groups, messages, recipients

# What an explanation and a decision record call the same.
_SAME = {
    "encryption": "encryption", "without_certificate": "without-certificate", "sign": "sign",
    "rule": "rule",
}  # fmt: skip
_LEFT = ("encrypted", "signed", "plain")


@dataclass
class Tally:
    """asked: recipients. not_asked: those who could not be asked about, by why."""

    asked: int = 0
    not_asked: Counter[str] = field(default_factory=Counter)
    otherwise: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.asked += other.asked
        self.not_asked += other.not_asked
        self.otherwise += other.otherwise


@dataclass(frozen=True)
class _Line:
    archive_id: str
    author: str
    accepted: str
    recipient: str
    decision: dict[str, Any]
    route: str
    released: str


@dataclass(frozen=True)
class _Policy:
    """answers: by author and recipient, where the policy looks at nothing else of a mail."""

    file: Path
    asks_mail: bool
    answers: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)


def ask_about_all(config: Path, folder: Path) -> Tally:
    """Every recipient of every mail of an installation. folder: for what is asked with."""
    installation = Installation.from_file(config)
    try:
        return _Asking(installation, config, folder).run()
    finally:
        installation.close()


class _Asking:
    def __init__(self, installation: Installation, config: Path, folder: Path) -> None:
        self._installation = installation
        self._config = config
        self._folder = folder
        self._key = load_private_key(config.parent / "authority" / "authority.key")
        self._policies = self._policies_of_the_log()
        self.tally = Tally()

    def run(self) -> Tally:
        with _configurations_read_once():
            for mail in self._mails():
                self._ask(mail)
        return self.tally

    def _mails(self) -> Iterator[list[_Line]]:
        """The recipients of each mail for whom something was decided."""
        query = (
            sa.select(messages, recipients, groups.c.route)
            .select_from(
                messages.join(recipients, recipients.c.archive_id == messages.c.archive_id)
                .outerjoin(groups, groups.c.id == recipients.c.group_id)
            )
            .order_by(messages.c.archive_id, recipients.c.position)
        )  # fmt: skip
        found: dict[str, list[_Line]] = {}
        with self._installation.database.read() as conn:
            rows = conn.execute(query).mappings().all()
        for row in rows:
            decision = json.loads(row["decision"] or "{}")
            if row["kind"] == "notice":
                self.tally.not_asked["a notice of the gateway: no rule is asked"] += 1
            elif "undecided-rule" in decision:
                self.tally.not_asked["nobody could tell whether a rule matches"] += 1
            elif not decision:
                self.tally.not_asked["nothing was decided: " + row["state"]] += 1
            else:
                line = _Line(
                    row[messages.c.archive_id], row["author"],
                    rfc3339(from_micros(row["accepted_at"])), row["address"], decision,
                    row["route"] or "", row["released"],
                )  # fmt: skip
                found.setdefault(line.archive_id, []).append(line)
        yield from found.values()

    def _ask(self, lines: list[_Line]) -> None:
        for name, some in _by_policy(lines).items():
            policy = self._policies.get(name)
            if policy is None:
                found = f"{lines[0].archive_id}: the log has no policy {name}"
                self.tally.otherwise.append(found)
            elif policy.asks_mail:
                self._ask_with_mail(some, policy)
            else:
                for line in some:
                    self._compare(line, self._answer(line, policy))

    def _answer(self, line: _Line, policy: _Policy) -> dict[str, Any]:
        """Of a policy that looks at nothing but the two addresses: one question for all mails."""
        pair = (line.author, line.recipient)
        if pair not in policy.answers:
            (policy.answers[pair],) = self._explain(
                policy, "--from", line.author, "--to", line.recipient
            )
        return policy.answers[pair]

    def _ask_with_mail(self, lines: list[_Line], policy: _Policy) -> None:
        archive_id = lines[0].archive_id
        try:
            content = read_content(
                lambda _drafts: None, self._installation.database.read, archive_id, self._key,
                reader="test", case="explained", blobs=self._installation.blobs,
            )  # fmt: skip
        except ArchiveError:
            self.tally.not_asked["its content is gone from the blob store"] += len(lines)
            return
        file = self._folder / f"{archive_id}.eml"
        file.write_bytes(content)
        to = [word for line in lines for word in ("--to", line.recipient)]
        said = self._explain(policy, "--at", lines[0].accepted, *to, str(file))
        file.unlink()
        for line, one in zip(lines, said, strict=True):
            self._compare(line, one)

    def _explain(self, policy: _Policy, *arguments: str) -> list[dict[str, Any]]:
        out = io.StringIO()
        with redirect_stdout(out):
            main(
                ["policy", "explain", "--json", "--config", str(self._config),
                 "--policy", str(policy.file), *arguments]
            )  # fmt: skip
        return [json.loads(line) for line in out.getvalue().splitlines()]

    def _compare(self, line: _Line, said: dict[str, Any]) -> None:
        self.tally.asked += 1
        if differs := _differences(line, said):
            self.tally.otherwise.append(
                f"{line.archive_id} {line.recipient}: {differs}: {line.decision}, but {said}"
            )

    def _policies_of_the_log(self) -> dict[str, _Policy]:
        """What decisions name a policy by, and a file with its rules, from the log alone."""
        org = self._installation.config.gateway.organisation
        with self._installation.database.read() as conn:
            try:
                entries = history(conn, policy_log_id(org))
            except ArchiveError:
                return {}
        found = {}
        for entry in entries:
            name = (entry.value("policy.sha256") or b"").decode()
            file = self._folder / f"{name}.toml"
            file.write_text(as_toml(json.loads(entry.value("policy") or b"{}")), "utf-8")
            policy = gateway.config.load_policy(file, self._installation.config).policy()
            assert policy.sha256 == name, "the log's text is another policy"
            found[name[:16]] = _Policy(file, policy.asks_mail)
        return found


def as_toml(policy: dict[str, Any]) -> str:
    """The `[policy]` tables of a policy as the log has it."""
    lines = ["[policy.lists]"] if policy["lists"] else []
    lines += [f"{_toml(name)} = {_toml(words)}" for name, words in policy["lists"].items()]
    levels = [("policy.rules", policy["organisation"])]
    for level, of in (("domain", policy["domains"]), ("person", policy["persons"])):
        levels += [(f"policy.{level}.{_toml(name)}.rules", rules) for name, rules in of.items()]
    levels.append(("policy.partners", policy["partners"]))
    for table, entries in levels:
        for entry in entries:
            lines.append(f"[[{table}]]")
            # Some keys of a rule take no list; all take one value alone. Of a partner it is a list.
            alone = table != "policy.partners"
            lines += [
                f"{key} = {_toml(value[0] if alone and _single(value) else value)}"
                for key, value in entry.items()
            ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A string, a truth value, or a list of strings; JSON writes them as TOML does."""
    return json.dumps(value, ensure_ascii=False)


def _single(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 1


def _by_policy(lines: list[_Line]) -> dict[str, list[_Line]]:
    found: dict[str, list[_Line]] = {}
    for line in lines:
        found.setdefault(line.decision["policy"], []).append(line)
    return found


def _differences(line: _Line, said: dict[str, Any]) -> list[str]:
    """What the explanation says otherwise than the record of what was done."""
    done, outcome = line.decision, line.decision["outcome"]
    if said["status"] != "decided":
        return ["status"]
    found = [one for one, other in _SAME.items() if said[one] != done[other]]
    left = outcome in _LEFT
    checks = {
        "author": said["from"] == line.author == done["sender"],
        "policy": said["policy"].startswith(done["policy"]),
        "rules": said["rules"] == done.get("rules", [done["rule"]]),
        "encryption_rule": said["encryption_rule"] == done.get("encryption-rule", done["rule"]),
        "tls": said["tls"] == done.get("tls"),
        "copy": said["copy"] == done.get("copies", []),
        "request_receipt": not left or said["request_receipt"] == ("receipt-request" in done),
        "route": not (left and said["route"]) or said["route"] == line.route,
        "tell_sender_when_held": outcome != "held"
        or "copied-by" in done
        or said["tell_sender_when_held"] == done["tell-sender-when-held"],
        "action": _action_done(line, said),
        "outcome": not left or outcome in _allowed(said),
        "signer": not left or _signer(done) in _signers(said),
    }
    return found + [name for name, same in checks.items() if not same]


def _action_done(line: _Line, said: dict[str, Any]) -> bool:
    outcome = line.decision["outcome"]
    if said["action"] == "refuse":
        return outcome == ("held" if "copied-by" in line.decision else "refused")
    return said["action"] != "hold" or outcome == "held" or bool(line.released)


def _allowed(said: dict[str, Any]) -> tuple[str, ...]:
    """In what form it may leave."""
    if said["encryption"] == "never":
        return ("plain",) if said["sign"] == "none" else ("signed",)
    may_be_clear = (said["encryption"], said["without_certificate"]) == (
        "if-possible", "send-signed",
    )  # fmt: skip
    return ("encrypted", "signed") if may_be_clear else ("encrypted",)


def _signer(done: dict[str, Any]) -> str:
    signer = done.get("signer")
    if signer is None:
        return "nobody"
    return str(signer["role"]) + (" instead" if "instead-of-person" in signer else "")


def _signers(said: dict[str, Any]) -> tuple[str, ...]:
    return {
        "none": ("nobody",),
        "seal": ("domain",),
        "person": ("person", "domain instead"),
        "person-only": ("person",),
    }[said["sign"]]


@contextmanager
def _configurations_read_once() -> Iterator[None]:
    """Commands of one process that read the same file a thousand times read it once."""
    load, load_policy = cache(gateway.config.load), gateway.config.load_policy
    policies = cache(lambda file, base: load_policy(file, load(base)))
    bases: dict[int, Path] = {}

    def base_of(path: Path) -> Any:
        config = load(path)
        bases[id(config)] = path
        return config

    with (
        mock.patch.object(gateway.config, "load", base_of),
        mock.patch.object(
            gateway.config, "load_policy", lambda file, base: policies(file, bases[id(base)])
        ),
    ):
        yield
