"""`sceau serve`: run the gateway."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from gateway.cli.exits import DONE
from gateway.cli.options import add_config, config_path

HELP = "run the gateway: take mail, seal it, deliver it"


def configure(parser: ArgumentParser) -> None:
    """Options."""
    parser.add_argument(
        "--role",
        action="append",
        choices=["intake", "worker", "keeper", "index"],
        help="run only this role (may be repeated); otherwise all of them",
    )
    add_config(parser)
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    import structlog

    from gateway.cli.account import operator
    from gateway.config import load
    from gateway.failpoint import refuse_outside_tests
    from gateway.installation import Installation, shared_database
    from gateway.metrics.tally import Tally, make_run_folder, saved, tally_file
    from gateway.notify import Notifier
    from gateway.queue.store.deaths import Blame
    from gateway.serve import Supervisor
    from gateway.service import Service
    from gateway.wiring import Wiring

    refuse_outside_tests(os.environ)
    path = config_path(args, os.environ).resolve()
    log = structlog.get_logger()
    notifier = Notifier(os.environ)
    installation = Installation(load(path))
    if not shared_database(installation.config):
        # A file that is not there is a mistake, and nothing is made in its place.
        installation.database.close()
    run_folder = make_run_folder(installation.run_folder)
    # The index process would make it, but the keeper may look before whether the disk takes what is
    # written there, and a folder that is gone is an alarm.
    installation.config.archive.index.mkdir(mode=0o700, exist_ok=True)
    tally = Tally(tally_file(run_folder, "supervisor"))
    by = operator()

    def record_policy(wiring: Wiring) -> None:
        wiring.record_policy(by)

    service = Service(path, args.role, tally, on_start=(record_policy,), on_reload=(record_policy,))
    plan = service.first_plan()

    def tell() -> None:
        listen = service.status.listen
        place = "-" if listen is None else f"{listen[0]} {listen[1]}"
        notifier.ready(f"mail is taken at {place}; configuration of {service.status.accepted_at}")

    def on_ready() -> None:
        listen = service.status.listen
        log.info("ready", listen=listen, processes=supervisor.plan.counts)
        tell()

    def on_reloaded(faults: Sequence[str]) -> None:
        service.reloaded(supervisor.plan, faults)
        tell()

    supervisor = Supervisor(
        plan,
        on_start=lambda: service.started(plan),
        on_death=lambda name, blame: service.free(
            name, blame=Blame.ANYBODY if blame else Blame.NOBODY
        ),
        on_ready=on_ready,
        on_reload=service.next_plan,
        on_reloaded=on_reloaded,
        on_change=service.changed,
        on_turn=lambda: service.watch_clock(),
        notifier=notifier,
    )
    with saved(tally):
        supervisor.run()
    return DONE
