"""Python, libraries, the configuration file."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from datetime import datetime

from gateway import running
from gateway.accepted import Snapshot
from gateway.check.finding import Finding, error, good, warning
from gateway.floors import HOLE, INSTALL, old_libraries
from gateway.wiring import Wiring

# Below these, `email` and `ssl` have holes that are fixed (CVE-2026-1299 among them): a warning,
# since the product never generates mail with `email`.
_PYTHON_FLOOR = {(3, 11): 15, (3, 12): 13, (3, 13): 12, (3, 14): 3}


def python(_wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """The interpreter's own holes."""
    found = sys.version_info
    text = f"{found.major}.{found.minor}.{found.micro}"
    floor = _PYTHON_FLOOR.get((found.major, found.minor))
    if floor is not None and found.micro < floor:
        yield warning(
            "python",
            "program.python",
            "Python {version} has known faults in its mail package (CVE-2026-1299)",
            meaning="this product does not write mail with that package; others here may",
            advice="a newer Python of the same series ({floor} or later)",
            version=text,
            floor=f"{found.major}.{found.minor}.{floor}",
        )
    else:
        yield good(
            "python", "Python {version}, {openssl}", version=text, openssl=ssl.OPENSSL_VERSION
        )


def libraries(_wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Libraries with holes that break a promise; all of them, not the first."""
    old = list(old_libraries())
    for facts in old:
        yield error(
            "libraries",
            "program.library",
            HOLE,
            meaning="sceau serve does not start with it",
            advice=INSTALL,
            **facts,
        )
    if not old:
        yield good("libraries", "no library with a known hole that breaks a promise")


def configuration(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """That the file can be read is known by now; is it the one that is in force?"""
    config = wiring.config
    yield good(
        "configuration",
        "{domains}: relays {relays}, rules {rules}, routes {routes}",
        domains=", ".join(config.gateway.domains),
        relays=str(len(config.relays)),
        rules=str(len(config.policy.rules)),
        routes=str(len(config.routes)),
    )
    status = running.read(wiring.run_folder)
    if status is None:
        return
    if status.reload.number and not status.reload.accepted:
        yield error(
            "configuration",
            "configuration.refused",
            "the running gateway refused what it was told to read at {at}: {faults}",
            meaning="the configuration before it is still in force",
            advice="mend it, then sceau reload",
            at=status.reload.at,
            faults="; ".join(status.reload.faults) or "-",
        )
    if wiring.path is not None and Snapshot.read(wiring.path).digest != status.digest:
        yield warning(
            "configuration",
            "configuration.not-in-force",
            "the running gateway follows what it read at {at}; these files have changed since",
            meaning="what this check says is of the new ones",
            advice="sceau reload",
            at=status.accepted_at,
        )
