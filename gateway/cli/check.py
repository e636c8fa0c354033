"""`sceau check`: try out the configuration and everything it names."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from gateway.cli.exits import CANNOT_TELL, DONE, NO, worst
from gateway.cli.options import add_config, add_json, config_path
from gateway.cli.output import output_of

HELP = "try out the configuration and everything it depends on"

_SIGNS = {"ok": "✓", "warning": "!", "error": "✗", "unknown": "?"}


def configure(parser: ArgumentParser) -> None:
    """Options."""
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    from gateway import clock
    from gateway.check import Level, run_checks
    from gateway.check.finding import filled
    from gateway.wiring import Wiring

    output = output_of(args)
    wiring = Wiring.from_file(config_path(args, os.environ))
    codes = {Level.ERROR: NO, Level.UNKNOWN: CANNOT_TELL}
    seen = dict.fromkeys(Level, 0)
    for finding in run_checks(wiring, moment=clock.now()):
        seen[finding.level] += 1
        if output.as_json:
            output.record(
                {
                    "subject": finding.subject,
                    "level": finding.level.value,
                    "code": finding.code or None,
                    "text": finding.text,
                    "meaning": filled(finding.meaning, finding.facts),
                    "advice": filled(finding.advice, finding.facts),
                }
            )
            continue
        text = output.text(finding.template, **finding.facts)
        output.line(f"{_SIGNS[finding.level.value]} {finding.subject}: {text}")
        if finding.meaning:
            output.line(f"    {output.text(finding.meaning, **finding.facts)}")
        if finding.advice:
            output.line(f"    → {output.text(finding.advice, **finding.facts)}")
        output.out.flush()  # a directory may be slow: what is known is shown
    output.say(
        "Errors: {errors}, warnings: {warnings}, no answer: {unknown}.",
        errors=str(seen[Level.ERROR]),
        warnings=str(seen[Level.WARNING]),
        unknown=str(seen[Level.UNKNOWN]),
    )
    wiring.close()
    return worst([DONE, *(codes[level] for level in codes if seen[level])])
