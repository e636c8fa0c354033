"""One TOML file to one `Config`, or all that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from gateway.config.checks import check
from gateway.config.faults import ConfigFaults, Fault
from gateway.config.lines import line_of, lines_of
from gateway.config.policy_checks import POLICY_CHECKS
from gateway.config.policy_sections import PolicyFile, PolicySection
from gateway.config.reader import Finding, KeyPath, read
from gateway.config.sections import Config

_BARE = re.compile(r"[A-Za-z0-9_-]*")


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Relative paths in it are relative to its folder. Raises ConfigFaults with all faults.
    """
    text, data = _parsed(path)
    config, findings = read(Config, data, path.absolute().parent)
    findings += check(config, complete=not findings)
    _raise(path, text, findings)
    return config


def load_policy(path: Path, base: Config | None) -> PolicySection:
    """The policy of a file that is a whole configuration, or has nothing but `[policy]` in it.

    base: the configuration whose routes, domains and directories a policy alone is checked
        against; None: what hangs on them is not checked.
    Raises ConfigFaults with all faults.
    """
    text, data = _parsed(path)
    if data.keys() - {"policy"}:
        return load(path).policy
    alone, findings = read(PolicyFile, data, path.absolute().parent)
    config = with_policy(base, alone.policy)
    findings += check(config, complete=base is not None and not findings, only=POLICY_CHECKS)
    _raise(path, text, findings)
    return alone.policy


def with_policy(base: Config | None, policy: PolicySection) -> Config:
    """A configuration with another policy; without a base it has nothing else."""
    config = object.__new__(Config)
    for each in fields(cast("Any", Config)):
        if base is not None:
            object.__setattr__(config, each.name, getattr(base, each.name))
    object.__setattr__(config, "policy", policy)
    return config


def _parsed(path: Path) -> tuple[str, dict[str, Any]]:
    text = _text(path)
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFaults((_syntax_fault(path, error),)) from error


def _raise(path: Path, text: str, findings: list[Finding]) -> None:
    if findings:
        lines = lines_of(text)
        faults = [_fault(path, each, lines) for each in findings]
        raise ConfigFaults(tuple(sorted(faults, key=lambda fault: fault.line)))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigFaults(
            (Fault(str(path), "", 0, "there is no such file", example="sceau init DIR"),)
        ) from None
    except OSError as error:
        reason = {"reason": error.strerror or type(error).__name__}
        raise ConfigFaults(
            (Fault(str(path), "", 0, "cannot be read: {reason}", reason),)
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigFaults((Fault(str(path), "", line, "this line is not UTF-8"),)) from error


def _syntax_fault(path: Path, error: tomllib.TOMLDecodeError) -> Fault:
    detail = str(error)
    line = 0
    if place := re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", detail):
        line = int(place[1] or 0)
        detail = detail[: place.start()]
    return Fault(str(path), "", line, "this is not TOML: {detail}", {"detail": detail})


def _fault(path: Path, finding: Finding, lines: dict[KeyPath, int]) -> Fault:
    return Fault(
        file=str(path),
        key=dotted(finding.path),
        line=line_of(finding.path, lines),
        template=finding.template,
        facts=finding.facts,
        example=finding.example,
    )


def dotted(path: KeyPath) -> str:
    """("relays", 0, "networks") as people read it: relays[1].networks."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            name = part if _BARE.fullmatch(part) else f'"{part}"'
            text += f".{name}" if text else name
    return text
