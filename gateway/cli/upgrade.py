"""`sceau upgrade`: the tables of an older version, with all that is in them."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

from gateway.cli.exits import DONE
from gateway.cli.options import add_config, add_json, config_path
from gateway.cli.output import output_of

HELP = "bring the tables of an older version up to date"


def configure(parser: ArgumentParser) -> None:
    """Options."""
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    from gateway.config import load
    from gateway.install import upgrade_database

    output = output_of(args)
    found, now = upgrade_database(load(config_path(args, os.environ)))
    if output.as_json:
        output.record({"found": found, "now": now})
    elif found == now:
        output.say("The tables are of version {now} already.", now=now)
    else:
        output.say("The tables were of version {found} and are now of {now}.", found=found, now=now)
    return DONE
