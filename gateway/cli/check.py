"""`sceau check`: try out the configuration and everything it names."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from gateway.cli.exits import CANNOT_TELL, DONE, NO
from gateway.cli.options import add_config, add_json, config_path
from gateway.cli.output import output_of

HELP = "try out the configuration and everything it depends on"

_SIGNS = {"good": "✓", "warning": "!", "bad": "✗", "cannot tell": "?"}


def configure(parser: ArgumentParser) -> None:
    """Options."""
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    from gateway import clock
    from gateway.check import Grade, run_checks
    from gateway.wiring import Wiring

    output = output_of(args)
    wiring = Wiring.from_file(config_path(args, os.environ))
    code = DONE
    for finding in run_checks(wiring, moment=clock.now()):
        if finding.grade is Grade.BAD:
            code = NO
        elif finding.grade is Grade.UNKNOWN and code == DONE:
            code = CANNOT_TELL
        if output.as_json:
            output.record(
                {
                    "subject": finding.subject,
                    "grade": finding.grade.value,
                    "text": finding.text,
                    "advice": finding.advice.format(**finding.facts),
                }
            )
            continue
        text = output.text(finding.template, **finding.facts)
        output.line(f"{_SIGNS[finding.grade.value]} {finding.subject}: {text}")
        if finding.advice:
            output.line(f"    → {output.text(finding.advice, **finding.facts)}")
    return code
