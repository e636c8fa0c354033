"""One TOML file to one `Config`, or all that is wrong with it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from gateway.config.checks import check
from gateway.config.faults import ConfigFaults, Fault
from gateway.config.lines import line_of, lines_of
from gateway.config.reader import Finding, KeyPath, read
from gateway.config.sections import Config


def load(path: Path) -> Config:
    """Read and check a configuration file.

    Relative paths in it are relative to its folder. Raises ConfigFaults with all faults.
    """
    text = _text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigFaults((_syntax_fault(path, error),)) from error
    config, findings = read(Config, data, path.absolute().parent)
    findings += check(config, complete=not findings)
    if findings:
        lines = lines_of(text)
        faults = [_fault(path, each, lines) for each in findings]
        raise ConfigFaults(tuple(sorted(faults, key=lambda fault: fault.line)))
    return config


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
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text
