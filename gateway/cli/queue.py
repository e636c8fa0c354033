"""`sceau queue`: what waits, why, and what a person may do about it."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO
from gateway.cli.nested import block
from gateway.cli.options import add_config, add_json, config_path
from gateway.cli.output import Output, output_of
from gateway.cli.queue_find import add_list, print_lines
from gateway.cli.queue_numbers import add_numbers
from gateway.i18n import message

HELP = "show and steer the mail that waits"

_ACTS = ("retry", "hold", "release", "bounce")
_DONE = {
    "retry": message("{id}: will be tried at once"),
    "hold": message("{id}: held until sceau queue release"),
    "release": message("{id}: released, and decided anew at once"),
    "bounce": message("{id}: given up"),
}
_PATIENCE = 10.0  # seconds to wait for a worker that holds the message


def configure(parser: ArgumentParser) -> None:
    """Verbs and options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_list(verbs.add_parser("list", help="recipients that are queued or held"))
    add_numbers(
        verbs.add_parser("stats", help="the queue in numbers: states, reasons, next hops, domains"),
        verbs.add_parser("watch", help="the same every second, with what comes and goes"),
    )
    show = verbs.add_parser("show", help="all recipients of one message, with the decisions")
    show.add_argument("id", metavar="ID", help="archive id")
    texts = {
        "retry": "try again now",
        "hold": "keep it until it is released",
        "release": "let held mail be decided and sent now",
        "bounce": "give up, and tell the sender",
    }
    for verb in _ACTS:
        act = verbs.add_parser(verb, help=texts[verb])
        act.add_argument("ids", nargs="+", metavar="ID", help="archive id")
        act.add_argument("--reason", default="", help="why; stands in the log")
        if verb == "hold":
            act.add_argument("--tell", action="store_true", help="send a notice to the sender")
        act.set_defaults(run=_act)
        add_config(act)
        add_json(act)
    show.set_defaults(run=_show)
    add_config(show)
    add_json(show)


def _show(args: Namespace) -> int:
    from gateway.errors import NotFound
    from gateway.installation import Installation
    from gateway.queue import view

    output = output_of(args)
    installation = Installation.from_file(config_path(args, os.environ))
    with installation.database.read() as conn:
        lines = view.lines(conn, archive_id=args.id)
    if not lines:
        raise NotFound("there is no message {id} in the queue", facts={"id": args.id})
    print_lines(lines, output)
    if not output.as_json:
        for line in lines:
            if line.decision:
                output.line("")
                output.say("Decision for {recipient}:", recipient=line.recipient)
                for text in block(line.decision, output):
                    output.line(f"  {text}")
    return DONE


def _act(args: Namespace) -> int:
    from gateway.wiring import Wiring

    output = output_of(args)
    wiring = Wiring.from_file(config_path(args, os.environ))
    code = DONE
    for archive_id in args.ids:
        tell = args.verb == "hold" and args.tell
        done = _act_on(wiring, args.verb, archive_id, args.reason, output, tell=tell)
        code = max(code, DONE if done else NO)
    return code


def _act_on(
    wiring: object, verb: str, archive_id: str, reason: str, output: Output, *, tell: bool
) -> bool:
    from gateway.cli.border import explained
    from gateway.cli.queue_acts import perform
    from gateway.errors import SceauError
    from gateway.queue.store.take import Busy
    from gateway.wiring import Wiring

    assert isinstance(wiring, Wiring)
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            perform(wiring, verb, archive_id, by=operator(), reason=reason, tell=tell)
        except SceauError as error:
            if isinstance(error, Busy) and time.monotonic() < end:
                time.sleep(0.2)
                continue
            for line in explained(error, output)[0]:
                output.note("{command}: {line}", command="sceau queue", line=line)
            return False
        break
    if output.as_json:
        output.record({"id": archive_id, "done": verb})
    else:
        output.say(_DONE[verb], id=archive_id)
    return True
