"""`sceau queue list`: which recipients are meant, and how they are printed."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json, count
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.errors import SceauError

if TYPE_CHECKING:
    from gateway.installation import Installation
    from gateway.queue.states import State
    from gateway.queue.view import Filter, Line

_ORDERS = ("oldest", "newest", "next", "size", "tries")


def add_list(parser: ArgumentParser) -> None:
    """The options of `queue list`."""
    parser.add_argument("--state", action="append", metavar="STATE", help="only this state")
    parser.add_argument(
        "--to", "--recipient", dest="to", default="", metavar="ADDRESS", help="only this recipient"
    )
    parser.add_argument(
        "--from", dest="sender", default="", metavar="ADDRESS",
        help="only mail of this envelope sender (<> is the null sender)",
    )  # fmt: skip
    parser.add_argument(
        "--domain", default="", metavar="DOMAIN", help="only recipients of this domain"
    )
    parser.add_argument(
        "--reason", default="", metavar="CODE",
        help="only what waits for this reason (directory.timeout, or directory for all of them)",
    )  # fmt: skip
    parser.add_argument(
        "--older-than", type=age, metavar="DURATION",
        help="only mail that was accepted longer ago (30m, 4h, 2d)",
    )  # fmt: skip
    parser.add_argument(
        "--route", default="", metavar="NAME", help="only what is sealed for this route"
    )
    parser.add_argument("--limit", type=count, default=1000, help="at most so many lines")
    parser.add_argument(
        "--sort", choices=_ORDERS, default="oldest", help="order of the lines (oldest mail first)"
    )
    add_config(parser)
    add_json(parser)
    parser.set_defaults(run=on_installation(_list))


def age(text: str) -> timedelta:
    """A duration as the configuration writes it. Raises SceauError."""
    from pathlib import Path

    from gateway.config import kinds
    from gateway.config.faults import Wrong

    try:
        return kinds.duration.read(text, Path())
    except Wrong:
        raise SceauError(
            "{value} is not a duration", hint="write 30m, 4h or 2d", facts={"value": text}
        ) from None


def _list(args: Namespace, installation: Installation) -> int:
    from gateway.queue import view

    wanted = _filter(args)
    with installation.database.read() as conn:
        lines = view.select(conn, wanted, sort=args.sort, limit=args.limit)
    output = output_of(args)
    print_lines(lines, output)
    if len(lines) == args.limit and not output.as_json:
        output.note("There may be more: --limit {limit} was reached.", limit=str(args.limit))
    return DONE


def _filter(args: Namespace) -> Filter:
    from gateway import clock
    from gateway.queue.states import OPEN
    from gateway.queue.view import Filter

    return Filter(
        states=tuple(_state(text) for text in args.state) if args.state else OPEN,
        recipient=args.to,
        sender=args.sender,
        domain=args.domain,
        reason=args.reason,
        accepted_before=None if args.older_than is None else clock.now() - args.older_than,
        route=args.route,
    )


def _state(text: str) -> State:
    from gateway.queue.states import State

    try:
        return State(text)
    except ValueError:
        raise SceauError(
            "{state} is not a state",
            hint="{known}",
            facts={"state": text, "known": ", ".join(State)},
        ) from None


def print_lines(lines: list[Line], output: Output) -> None:
    """A table for people, an object a line for programs."""
    if output.as_json:
        for line in lines:
            output.record(_record(line))
        return
    output.table(
        ["id", "accepted", "sender", "recipient", "state", "tries", "next", "reason"],
        [
            [
                line.archive_id,
                time_text(line.accepted_at),
                line.sender or "<>",
                line.recipient,
                str(line.state),
                str(line.attempts),
                time_text(line.next_attempt) if line.next_attempt else "-",
                output.problem(line.reason) if line.reason else "",
            ]
            for line in lines
        ],
    )


def _record(line: Line) -> dict[str, object]:
    reason = line.reason
    return {
        "id": line.archive_id,
        "accepted": time_json(line.accepted_at),
        "sender": line.sender,
        "recipient": line.recipient,
        "state": str(line.state),
        "size": line.size,
        "attempts": line.attempts,
        "next_attempt": time_json(line.next_attempt) if line.next_attempt else None,
        "reason": None if reason is None else {"code": reason.code, "text": reason.text},
        "treatment": line.treatment,
        "route": line.route or None,
        "emitted_sha256": line.emitted_sha256,
        "in_work": line.claimed,
        "decision": line.decision,
    }
