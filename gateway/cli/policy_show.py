"""`sceau policy show`, `sceau policy check`: the rules as an officer reads them."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE, USAGE, worst
from gateway.cli.options import config_path
from gateway.cli.output import Output, output_of
from gateway.cli.policy_source import base_config, policy_section

if TYPE_CHECKING:
    from gateway.policy import Policy
    from gateway.policy.decide import Level

_WHO = ("name", "sender", "recipient")
_MAIN = ("encryption", "without_certificate", "sign")
_CONDITIONS = (
    "larger_than", "smaller_than", "time", "sensitivity", "subject_start", "subject_mark",
    "header", "sender_group", "recipient_group",
)  # fmt: skip


def run_show(args: Namespace) -> int:
    """All rules in the order in which they are looked at within a level."""
    from gateway.policy import HeaderProtection
    from pki.models import DomainCertificate

    output = output_of(args)
    policy = policy_section(args, args.policy).policy()
    if output.as_json:
        for level, of, rule in _in_order(policy):
            output.record({"level": level.value, "of": of, **rule})
        return DONE
    output.table(
        [
            "level",
            "rule",
            "sender",
            "recipient",
            "when",
            "encryption",
            "otherwise",
            "signed by",
            "and",
        ],
        [_row(level, of, rule) for level, of, rule in _in_order(policy)],
    )
    for agreed in policy.partners:
        output.say(
            "{domains}: algorithms {crypto} are agreed",
            domains=", ".join(agreed.domains),
            crypto=agreed.crypto.value,
        )
        if agreed.header_protection is not HeaderProtection.OFF:
            output.say(
                "{domains}: protection of header fields {header_protection} is agreed",
                domains=", ".join(agreed.domains),
                header_protection=agreed.header_protection.value,
            )
        if agreed.domain_certificate is not DomainCertificate.FALLBACK:
            output.say(
                "{domains}: use of a certificate of the whole domain: {domain_certificate}",
                domains=", ".join(agreed.domains),
                domain_certificate=agreed.domain_certificate.value,
            )
    output.say("The hash of this policy is {sha256}.", sha256=policy.sha256)
    return DONE


def _in_order(policy: Policy) -> list[tuple[Level, str, dict[str, object]]]:
    """The organisation's rules first, as they are looked at."""
    from gateway.policy.canonical import rule_record
    from gateway.policy.decide import Level

    order = list(Level)
    every = sorted(policy.every_rule(), key=lambda one: order.index(one[0]))
    return [(level, of, rule_record(rule)) for level, of, rule in every]


def _row(level: Level, of: str, rule: dict[str, object]) -> list[str]:
    main = [_said(rule.get(key)) for key in _MAIN]
    when = [f"{key} {_said(rule[key])}" for key in _CONDITIONS if key in rule]
    known = {*_WHO, *_MAIN, *_CONDITIONS}
    rest = [
        key if value is True else f"{key} {_said(value)}"
        for key, value in rule.items()
        if key not in known
    ]
    return [
        of or level.value,
        str(rule["name"]),
        _said(rule.get("sender", "*")),
        _said(rule.get("recipient", "*")),
        "; ".join(when) or "-",
        *main,
        "; ".join(rest) or "-",
    ]


def _said(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
    return str(value)


def run_check(args: Namespace) -> int:
    """Each file, or the configuration itself; the worst exit code."""
    output = output_of(args)
    files = args.files or [config_path(args, os.environ)]
    return worst([_check(args, file, output) for file in files])


def _check(args: Namespace, file: Path, output: Output) -> int:
    from gateway.cli.border import explained
    from gateway.config import ConfigFaults, load_policy

    try:
        base = base_config(args) if args.files else None
        policy = load_policy(file, base).policy()
    except ConfigFaults as error:
        for line in explained(error, output)[0]:
            output.note("{command}: {line}", command="sceau policy", line=line)
        if output.as_json:
            output.record(
                {
                    "file": str(file),
                    "status": "malformed",
                    "problems": [
                        {
                            "code": "structure.policy",
                            "text": fault.reason,
                            "file": fault.file,
                            "line": fault.line,
                            "key": fault.key,
                            "right": fault.example,
                        }
                        for fault in error.faults
                    ],
                }
            )
        return USAGE
    rules = sum(1 for _ in policy.every_rule()) - 1  # the built-in one stands in no file
    if output.as_json:
        output.record(
            {"file": str(file), "status": "valid", "rules": rules, "sha256": policy.sha256}
        )
    output.say(
        "{file}: {count} rules, nothing wrong; hash {sha256}",
        file=str(file),
        count=str(rules),
        sha256=policy.sha256,
    )
    if base is None and args.files:
        output.note(
            "{file}: no configuration was named, so routes, domains and directories were not "
            "checked",
            file=str(file),
        )
    return DONE
