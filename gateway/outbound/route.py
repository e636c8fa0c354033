"""The route a recipient's mail takes: what a rule demands of it, and why there may be none."""

from __future__ import annotations

from gateway.policy import Decision
from gateway.routes import Route
from pki.errors import Problem


def tls_of(decision: Decision) -> str:
    """What a rule demands of the connection beyond the route; "" for nothing."""
    return "" if decision.tls is None else decision.tls.value


def no_ca(route: Route, decision: Decision) -> Problem | None:
    """What keeps mail from a route that cannot give the TLS a rule demands; None if it can."""
    if route.hop_with(tls_of(decision)) is not None:
        return None
    return Problem(
        "policy.no-ca",
        "a rule demands verified TLS, and the route {name} has no CA to check against",
        {"name": route.name},
    )


def no_route(address: str) -> Problem:
    """What keeps mail for an address that no route serves."""
    return Problem(
        "limits.no-route",
        "no route leads to {address}: configure one for its domain, or a default",
        {"address": address},
    )
