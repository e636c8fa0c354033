"""`sceau serve`: run the gateway."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace

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

    from gateway import maillog
    from gateway.cli.account import operator
    from gateway.config import LogFormat
    from gateway.node import node_name
    from gateway.queue.claims import free_claims
    from gateway.queue.processes import INDEX
    from gateway.queue.takeover import take_over
    from gateway.serve import Plan, Supervisor
    from gateway.smtp.binding import bind
    from gateway.wiring import Wiring

    path = config_path(args, os.environ).resolve()
    wiring = Wiring.from_file(path)
    maillog.configure(
        json=wiring.config.log.format is LogFormat.JSON, level=wiring.config.log.level.value
    )
    log = structlog.get_logger()
    wiring.try_out()
    roles = args.role or list(wiring.process_counts)
    counts = {role: count for role, count in wiring.process_counts.items() if role in roles}

    origin, org = wiring.config.archive.origin, wiring.config.gateway.organisation

    def free(worker: str | None, *, blame: bool) -> None:
        free_claims(wiring.database, origin=origin, org=org, worker=worker, blame=blame)

    def free_left_behind() -> None:
        """What an earlier run on this machine held; nothing of what others hold just now."""
        if not wiring.database.shared:
            free(None, blame=True)
            return
        node = node_name(wiring.lock_file)
        take_over(
            wiring.database,
            lambda one: one.node == node and one.role != INDEX,
            origin=origin,
            org=org,
            blame=True,
        )

    def on_start() -> None:
        # Not before the lock is held: who starts a second one is told that, not "port in use".
        free_left_behind()
        wiring.record_policy(operator())
        if "intake" in counts:
            plan.listen = bind(wiring.listen_settings)

    def on_ready() -> None:
        listen = None if plan.listen is None else plan.listen.getsockname()[:2]
        log.info("ready", listen=listen, processes=counts)

    plan = Plan(
        config=path,
        counts=counts,
        listen=None,
        lock=wiring.lock_file,
    )
    Supervisor(
        plan,
        on_start=on_start,
        on_death=lambda name, blame: free(name, blame=blame),
        on_ready=on_ready,
    ).run()
    return DONE
