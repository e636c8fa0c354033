"""The queue narrowed and counted: what a filter lets through is what its words say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from gateway.clock import from_micros
from gateway.database import Database
from gateway.queue import backlog, view
from gateway.queue.jobs import problem_to_json
from gateway.queue.models import groups, messages, recipients
from gateway.queue.states import State
from gateway.queue.view import Filter
from pki.errors import Problem

T0 = 1_700_000_000_000_000
MINUTE = 60_000_000
NOW = from_micros(T0 + 60 * MINUTE)

# name, sender, recipient, state, problem code, minutes after T0, size, attempts, route
ROWS = (
    ("m0", "a@x.example", "b@y.example", "queued", "directory.timeout", 0, 10, 1, ""),
    ("m1", "A@X.example", "c@y.example", "held", "directory.unreachable", 10, 30, 4, ""),
    ("m2", "", "d@z.example", "queued", "", 20, 20, 2, "border"),
    ("m3", "e@x.example", "b@sub.y.example", "queued", "delivery.deferred", 30, 5, 3, "100%_x"),
    ("m4", "e@x.example", "f@y.example", "delivered", "", 40, 7, 1, "border"),
    ("m5", "e@x.example", "g@yyy.example", "held", "limits.poison", 50, 9, 3, ""),
)


@pytest.fixture
def full(database: Database) -> Database:
    with database.write() as conn:
        for name, sender, to, state, code, minutes, size, tries, route in ROWS:
            due = T0 + minutes * MINUTE if state == "queued" else None
            conn.execute(
                messages.insert().values(
                    archive_id=name, org="o", kind="mail", sender=sender, author="", size=size,
                    parameters="{}", sha256="", accepted_at=T0 + minutes * MINUTE, due_at=due,
                    claimed_by="worker-1" if name == "m3" else None, crashes=0,
                )
            )  # fmt: skip
            if route:
                conn.execute(
                    groups.insert().values(
                        id=f"g{name}", archive_id=name, treatment="encrypted", route=route,
                        sha256="", size=1, emitted=b"x",
                    )
                )  # fmt: skip
            reason = problem_to_json(Problem(code, "{a}", {"a": "limits.poison"})) if code else ""
            conn.execute(
                recipients.insert().values(
                    archive_id=name, position=0, address=to, state=state, attempts=tries,
                    group_id=f"g{name}" if route else None, reason=reason, decision="",
                    expires_at=T0 + 10**12,
                    next_attempt_at=T0 + (100 - minutes) * MINUTE if state == "queued" else None,
                )
            )  # fmt: skip
    return database


@pytest.fixture
def found(full: Database) -> Callable[..., str]:
    def names(*, sort: str = "oldest", limit: int = 100, **wanted: Any) -> str:
        with full.read() as conn:
            lines = view.select(conn, Filter(**wanted), sort=sort, limit=limit)
        return " ".join(line.archive_id for line in lines)

    return names


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({}, "m0 m1 m2 m3 m5"),
        ({"states": (State.DELIVERED,)}, "m4"),
        ({"recipient": "B@Y.EXAMPLE"}, "m0"),
        ({"sender": "a@x.example"}, "m0 m1"),
        ({"sender": "<>"}, "m2"),
        ({"domain": "y.example"}, "m0 m1"),
        ({"domain": "@Y.example"}, "m0 m1"),
        ({"domain": "%.example"}, ""),
        ({"domain": "y_example"}, ""),
        ({"reason": "directory"}, "m0 m1"),
        ({"reason": "directory."}, "m0 m1"),
        ({"reason": "directory.timeout"}, "m0"),
        ({"reason": "direct"}, ""),
        ({"reason": "limits.poison"}, "m5"),
        ({"accepted_before": NOW - timedelta(minutes=30)}, "m0 m1 m2"),
        ({"route": "border"}, "m2"),
        ({"route": "100%_x"}, "m3"),
        ({"domain": "y.example", "reason": "directory", "sender": "a@x.example"}, "m0 m1"),
        ({"archive_id": "m4"}, "m4"),
    ],
)
def test_filters(found: Callable[..., str], wanted: dict[str, Any], names: str) -> None:
    assert found(**wanted) == names


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("oldest", "m0 m1 m2 m3 m5"),
        ("newest", "m5 m3 m2 m1 m0"),
        ("next", "m3 m2 m0 m1 m5"),
        ("size", "m1 m2 m0 m5 m3"),
        ("tries", "m1 m3 m5 m2 m0"),
    ],
)
def test_orders(found: Callable[..., str], sort: str, names: str) -> None:
    assert found(sort=sort) == names
    assert found(sort=sort, limit=2) == " ".join(names.split()[:2])


def test_every_order_of_the_command_is_one() -> None:
    from gateway.cli.queue_find import _ORDERS

    assert tuple(view.SORTS) == _ORDERS


def test_the_numbers(full: Database) -> None:
    with full.read() as conn:
        seen = backlog.backlog(conn)
        routes = backlog.by_route(conn)
        domains = backlog.by_domain(conn, State.HELD)

    assert (seen.waiting, seen.in_work) == (2, 1)
    assert (seen.queued, seen.held) == (3, 2)
    assert seen.oldest == from_micros(T0)
    assert seen.reasons == {"directory.unreachable": 1, "limits.poison": 1}
    assert seen.troubles == {"directory.timeout": 1, "delivery.deferred": 1}
    assert routes == {"": 1, "border": 1, "100%_x": 1}
    assert domains == {"y.example": 1, "yyy.example": 1}


def test_an_empty_queue_has_no_oldest(database: Database) -> None:
    with database.read() as conn:
        assert backlog.backlog(conn) == backlog.Backlog()
