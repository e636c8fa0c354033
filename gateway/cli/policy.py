"""`sceau policy`: read, check, explain and try out the rules."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from gateway.cli.options import add_config, add_json, count, moment
from gateway.cli.policy_explain import run_explain
from gateway.cli.policy_show import run_check, run_show
from gateway.cli.policy_try import run_try

HELP = "the rules: show, check, explain what they decide, try out others"


def configure(parser: ArgumentParser) -> None:
    """Verbs and options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    explain = verbs.add_parser("explain", help="which rule decides on a mail, and why")
    explain.add_argument("--from", dest="author", metavar="ADDRESS", help="the address in From")
    explain.add_argument(
        "--to",
        action="append",
        required=True,
        metavar="ADDRESS",
        help="recipient",
    )
    explain.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="the mail; - is standard input"
    )
    explain.add_argument(
        "--at", type=moment, metavar="RFC3339", help="accepted at this time, not now"
    )
    explain.add_argument(
        "--find", action="store_true", help="look for the recipient's certificate, too"
    )
    explain.add_argument(
        "--policy", type=Path, metavar="FILE", help="the rules of this file, not those in force"
    )
    explain.set_defaults(run=run_explain)

    check = verbs.add_parser("check", help="whether rules can be loaded, and what is wrong")
    check.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="a policy, or a whole configuration"
    )
    check.set_defaults(run=run_check)

    show = verbs.add_parser("show", help="the rules in force as one table")
    show.add_argument("--policy", type=Path, metavar="FILE", help="the rules of this file")
    show.set_defaults(run=run_show)

    trial = verbs.add_parser("try", help="what other rules would have done with archived mail")
    trial.add_argument(
        "policy", type=Path, metavar="NEW.toml", help="a policy, or a whole configuration"
    )
    trial.add_argument("--last", type=count, default=100, metavar="N", help="so many mails (100)")
    trial.add_argument("--all", action="store_true", help="show what stays the same, too")
    trial.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the authority's key: opens headers where rules look at them (the reading is logged)",
    )
    trial.add_argument("--case", default="", help="file number or request, with --key")
    trial.set_defaults(run=run_try)
    for verb in (explain, check, show, trial):
        add_config(verb)
        add_json(verb)
