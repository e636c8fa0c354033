"""`sceau queue stats` and `sceau queue watch`: the queue in numbers, once or every second."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.installation import Installation
    from gateway.metrics.tally import Tally
    from gateway.queue.backlog import Backlog

_MOST = 8  # rows of a list on one screen
_EVERY = 1.0
# A look at a long queue takes its time; looking shall not take more than this share of it.
_SHARE = 5
_HOME = "\x1b[H\x1b[J"  # cursor home, erase below (ECMA-48): no colours
# Counters whose rates are shown.
_RATES = {
    message("accepted"): "sceau_accepted",
    message("refused"): "sceau_refused",
    message("delivered"): "sceau_delivered",
    message("deferred"): "sceau_deferred",
    message("failed"): "sceau_failed",
}


def add_numbers(stats: ArgumentParser, watch: ArgumentParser) -> None:
    """The options of both."""
    watch.add_argument("--once", action="store_true", help="show it once and end")
    for parser, run in ((stats, _stats), (watch, _watch)):
        add_config(parser)
        add_json(parser)
        parser.set_defaults(run=on_installation(run))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look. rates: events a second since the last one; None where nobody counts."""

    moment: datetime
    backlog: Backlog
    routes: dict[str, int]
    rates: dict[str, float] | None
    running: bool

    @property
    def oldest(self) -> float:
        """Age in seconds of the oldest mail that is not held."""
        found = self.backlog.oldest
        return 0.0 if found is None else max((self.moment - found).total_seconds(), 0.0)


# -- watch --------------------------------------------------------------------------------------


def _watch(args: Namespace, installation: Installation) -> int:
    output = output_of(args)
    screen = not args.once and not output.as_json and sys.stdout.isatty()
    screen = screen and os.environ.get("TERM", "dumb") != "dumb"
    try:
        for look in _looks(installation):
            if output.as_json:
                output.record(_record(look))
            else:
                if screen:
                    output.out.write(_HOME)
                _show(look, output)
                if not screen and not args.once:
                    output.line("")
            output.out.flush()
            if args.once:
                break
    except KeyboardInterrupt:
        if screen:
            output.line("")
    return DONE


def _looks(installation: Installation) -> Iterator[_Look]:
    before: tuple[float, Tally] | None = None
    while True:
        begun = time.monotonic()
        look, sums = _look(installation, before, begun)
        before = (begun, sums)
        yield look
        took = time.monotonic() - begun
        time.sleep(max(_EVERY - took, took * _SHARE if took > _EVERY / _SHARE else 0.0))


def _look(
    installation: Installation, before: tuple[float, Tally] | None, begun: float
) -> tuple[_Look, Tally]:
    from gateway import clock, running
    from gateway.metrics.tally import all_sums
    from gateway.queue.backlog import backlog, by_route

    with installation.database.read() as conn:
        found, routes = backlog(conn), by_route(conn)
    sums = all_sums(installation.run_folder)
    rates = None
    if before is not None:
        seconds = begun - before[0]
        rates = {
            word: max(sums.total(name) - before[1].total(name), 0.0) / seconds
            for word, name in _RATES.items()
        }
    runs = running.read(installation.run_folder) is not None
    return _Look(clock.now(), found, routes, rates, runs), sums


def _show(look: _Look, output: Output) -> None:
    queue = look.backlog
    title = "sceau serve runs" if look.running else "sceau serve does NOT run"
    output.line(f"{time_text(look.moment)}  {output.text(title)}")
    output.line("")
    output.say(
        "Messages waiting: {waiting}, in work: {in_work}. Recipients queued: {queued}, held: "
        "{held}.",
        waiting=str(queue.waiting),
        in_work=str(queue.in_work),
        queued=str(queue.queued),
        held=str(queue.held),
    )
    output.say("Oldest: {age}.", age=_age(look.oldest) if queue.oldest else "-")
    if look.rates is not None:
        shown = "  ".join(f"{output.text(word)} {rate:.1f}/s" for word, rate in look.rates.items())
        output.line(shown)
    _list(output, "Next hops:", {name or "-": n for name, n in look.routes.items()})
    _list(output, "Waiting because of:", queue.troubles)
    _list(output, "Held because of:", queue.reasons)


def _list(output: Output, template: str, numbers: Mapping[str, int]) -> None:
    if not numbers:
        return
    output.line("")
    output.say(template)
    largest = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    for name, number in largest[:_MOST]:
        output.line(f"  {number:>8}  {name}")


def _age(seconds: float) -> str:
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    return f"{whole // 3600} h" if whole < 172_800 else f"{whole // 86_400} d"


def _record(look: _Look) -> dict[str, object]:
    queue = look.backlog
    return {
        "at": time_json(look.moment),
        "running": look.running,
        "messages": {"waiting": queue.waiting, "in_work": queue.in_work},
        "recipients": {"queued": queue.queued, "held": queue.held},
        "oldest": time_json(queue.oldest) if queue.oldest else None,
        "rates": look.rates,
        "routes": {name: n for name, n in look.routes.items() if name},
        "not_sealed": look.routes.get("", 0),
        "queued_because": queue.troubles,
        "held_because": queue.reasons,
    }


# -- stats --------------------------------------------------------------------------------------


def _stats(args: Namespace, installation: Installation) -> int:
    from gateway.queue.backlog import by_domain
    from gateway.queue.states import State
    from gateway.queue.view import counts

    output = output_of(args)
    look, _ = _look(installation, None, time.monotonic())
    with installation.database.read() as conn:
        states = counts(conn)
        domains = {state: by_domain(conn, state) for state in (State.QUEUED, State.HELD)}
    if output.as_json:
        record = _record(look)
        del record["rates"]
        record["states"] = {str(state): number for state, number in states.items()}
        record["domains"] = {str(state): numbers for state, numbers in domains.items()}
        output.record(record)
        return DONE
    output.table(["state", "recipients"], [[str(s), str(n)] for s, n in states.items()])
    output.line("")
    _show(look, output)
    _list(output, "Queued, by domain:", domains[State.QUEUED])
    _list(output, "Held, by domain:", domains[State.HELD])
    return DONE
