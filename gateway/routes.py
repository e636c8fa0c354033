"""Which next hop a recipient's mail goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from gateway.smtp.nexthop import NextHop, TlsDemand
from pki.addresses import domain_of, in_domain


@dataclass(frozen=True, slots=True)
class Route:
    """A next hop and the domains it serves, as `in_domain` takes them; default: all others."""

    name: str
    hop: NextHop
    domains: tuple[str, ...]
    default: bool

    def hop_with(self, tls: str) -> NextHop | None:
        """The next hop where a rule demands `tls` ("" for nothing): never less than the route's.

        None: verified TLS is demanded and the route names no CA to check against.
        """
        return self.hop if not tls else _strengthened(self.hop, TlsDemand(tls))


_ORDER = (TlsDemand.NONE, TlsDemand.OPPORTUNISTIC, TlsDemand.VERIFIED)


@lru_cache(maxsize=256)
def _strengthened(hop: NextHop, tls: TlsDemand) -> NextHop | None:
    if _ORDER.index(tls) <= _ORDER.index(hop.tls):
        return hop
    if tls is TlsDemand.VERIFIED and not hop.ca_file:
        return None
    return replace(hop, tls=tls)


class Routes:
    """The configured routes. The most exact domain wins: a.b.example before .b.example."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_name: Mapping[str, Route] = {route.name: route for route in routes}
        self._default = next((route for route in routes if route.default), None)
        self._exact = {d: r for r in routes for d in r.domains if not d.startswith(".")}
        below = [(d, r) for r in routes for d in r.domains if d.startswith(".")]
        self._below = sorted(below, key=lambda pair: -len(pair[0]))

    def find(self, address: str, *, named: str = "") -> Route | None:
        """Route for a canonical address; `named`: the route a rule demands. None: there is none."""
        if named:
            return self._by_name.get(named)
        domain = domain_of(address)
        if domain in self._exact:
            return self._exact[domain]
        for pattern, route in self._below:
            if in_domain(address, pattern):
                return route
        return self._default

    def get(self, name: str) -> Route | None:
        """Route by name: what a sealed group remembers."""
        return self._by_name.get(name)
