"""`sceau clock`: whether the machine's clock is believed, and to say that it is right."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import output_of

if TYPE_CHECKING:
    from gateway.belief import Doubt
    from gateway.installation import Installation

HELP = "whether the machine's clock is believed; say that it is right"


def configure(parser: ArgumentParser) -> None:
    """Verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="whether it is believed, and why not")
    confirm = verbs.add_parser(
        "confirm", help="say that the clock is right as it is now: mail that is held goes on"
    )
    confirm.add_argument("--reason", default="", help="why, for the log")
    for verb, run in ((show, _show), (confirm, _confirm)):
        add_config(verb)
        add_json(verb)
        verb.set_defaults(run=on_installation(run))


def _doubt(installation: Installation) -> Doubt | None:
    from gateway.clocklog import last_believed_entry

    belief = installation.belief
    with installation.database.read() as conn:
        belief.saw_last_entry(last_believed_entry(conn))
    return belief.doubt()


def _show(args: Namespace, installation: Installation) -> int:
    from gateway import clock

    output = output_of(args)
    doubt = _doubt(installation)
    if output.as_json:
        output.record(_record(doubt))
    elif doubt is None:
        now = clock.rfc3339(clock.now())
        output.say("The clock shows {wall} and is believed.", wall=now)
    else:
        output.say(doubt.template, **doubt.facts)
        output.say(
            "Mail is taken and held. Set the clock right, and it goes on by itself; if the clock "
            "is right as it is, say so: {command}",
            command="sceau clock confirm",
        )
    return DONE if doubt is None else NO


def _confirm(args: Namespace, installation: Installation) -> int:
    from gateway.clocklog import confirm
    from gateway.node import node_name

    output = output_of(args)
    config = installation.config
    doubt = _doubt(installation)
    if doubt is not None:
        confirm(
            installation.database,
            installation.belief.file,
            doubt,
            origin=config.archive.origin,
            org=config.gateway.organisation,
            node=node_name(installation.lock_file),
            by=operator(),
            reason=args.reason,
            expire=config.queue.expire,
        )
    if output.as_json:
        output.record({"confirmed": doubt is not None, "before": _record(doubt)})
    elif doubt is None:
        output.say("The clock is believed already; nothing was changed.")
    else:
        output.say(
            "The clock is believed as it is: {wall}. The log says who said so.", **doubt.facts
        )
    return DONE


def _record(doubt: Doubt | None) -> dict[str, object]:
    if doubt is None:
        return {"believed": True}
    facts = doubt.facts
    return {
        "believed": False,
        "code": doubt.code,
        "wall": facts["wall"],
        "expected": facts["expected"],
        "seconds": doubt.seconds,
    }
