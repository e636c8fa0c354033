"""Replacing the processes of a running gateway by those of a newly accepted plan.

First the new ones start beside the old ones and get ready, role after role; then the new plan is
in force, and the old ones end what they have in hand. What runs alone (the keeper; the index, one
writer at a time) is stopped before it is started again: mail does not wait for either.

If a new process does not get ready, it is the new ones that end, and nothing has changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.errors import SceauError

if TYPE_CHECKING:
    from gateway.serve import Child, Plan

BESIDE = ("intake", "worker")
ALONE = ("keeper", "index")

# Seconds within which a new process is ready: it reads what was tried out a moment ago.
_READY_WITHIN = 60.0


class HandoverFailed(SceauError):
    """A new process did not get ready; the old ones go on."""


class Household(Protocol):
    """The supervisor, as a handover needs it."""

    @property
    def children(self) -> Sequence[Child]: ...
    def start(self, role: str, plan: Plan) -> Child: ...
    def retire(self, child: Child) -> None: ...
    def take_over(self, plan: Plan) -> None: ...


def handover(household: Household, new: Plan) -> Iterator[None]:
    """Go on with `next` until it ends; each step waits for something to happen.

    Raises HandoverFailed.
    """
    fresh: list[Child] = []
    try:
        for role in BESIDE:
            group = [household.start(role, new) for _ in range(new.counts.get(role, 0))]
            fresh += group
            deadline = time.monotonic() + _READY_WITHIN
            while not all(child.ready for child in group):
                _look(fresh, deadline)
                yield
    except HandoverFailed:
        for child in fresh:
            household.retire(child)
        raise
    household.take_over(new)
    for role in (*BESIDE, *ALONE):
        old = [c for c in household.children if c.role == role and c.plan is not new]
        for child in old:
            if not child.retiring:
                household.retire(child)
        if role in ALONE:
            while any(child.process.poll() is None for child in old):
                yield
            for _ in range(new.counts.get(role, 0)):
                household.start(role, new)
    # No way back from here: what does not get ready is started again and again, as ever.
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if all(child.ready for child in household.children if child.plan is new):
            return
        yield


def _look(fresh: Sequence[Child], deadline: float) -> None:
    for child in fresh:
        if child.process.poll() is not None:
            raise HandoverFailed(
                "a new process ({role}) ended with {code} before it was ready; the log says why",
                facts={"role": child.role, "code": str(child.process.returncode)},
            )
    if time.monotonic() > deadline:
        raise HandoverFailed(
            "the new processes were not ready after {seconds} s",
            facts={"seconds": f"{_READY_WITHIN:.0f}"},
        )
