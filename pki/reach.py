"""A connection to a host that may have several addresses, of which some may be dead.

One way for CRLs, OCSP responders and directories. The addresses are asked in turn, each by itself:
what is sent is sent over the one connection that came about, so no question reaches two servers
(an OCSP request by POST is not repeated) and no second server is asked because of what the
first one answered. A server that takes the connection and then fails, in TLS, in HTTP or by
silence, is the host's answer: who can spoil one answer shall not choose who gives the next.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from itertools import chain, zip_longest

LookUp = Callable[[str, int], list[str]]

# A name that a certificate may have put there, with a thousand addresses, shall not make us knock
# at a thousand doors, nor cut the time into pieces in which nobody can answer.
MOST_TRIED = 6


class NoAddress(OSError):
    """A name that the resolver does not know, or has no address for."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} has no address")
        self.host = host


class NoneReached(OSError):
    """Several addresses, and no connection to any. named: one of them; why: what it said."""

    def __init__(self, tried: int, named: str, why: OSError) -> None:
        super().__init__(f"none of {tried} addresses was reached; one of them, {named}: {why}")
        self.tried = tried
        self.named = named
        self.why = why


class NoneInTime(NoneReached, TimeoutError):
    """As `NoneReached`, and none of them said anything."""


def resolve(host: str, port: int) -> list[str]:
    """IP addresses of a host, by the system's resolver, in its order (RFC 6724). Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def addresses_within(look_up: LookUp, host: str, port: int, deadline: float) -> list[str]:
    """IP addresses of a host, at least one. deadline: monotonic seconds.

    The system's resolver has no time limit, so it runs beside us.
    Raises OSError (TimeoutError and NoAddress among it).
    """
    found: list[str] = []

    def ask() -> None:
        with contextlib.suppress(OSError):
            found.extend(look_up(host, port))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds_left(deadline))
    if thread.is_alive():
        raise TimeoutError("the name was not resolved in time")
    if not found:
        raise NoAddress(host)
    return list(found)


def reach(
    addresses: list[str], port: int, deadline: float, *, most: int = MOST_TRIED
) -> socket.socket:
    """A connection to the first of these addresses that takes one, in the order of `in_turn`.

    most: so many of them are asked.

    Each but the last has its share of the time that is left: that time, divided by the addresses
    left and one more, for the answer. So with two addresses and 10 s the first is given up
    after 3.3 s, and what swallows packets never uses all of the time; the last has what is left,
    and a single one all of it. One after the other, not side by side as RFC 8305 §5 has it: here
    nobody looks at a page that does not come, and a server is not knocked at only to be left.
    deadline: monotonic seconds. Raises OSError: what a single address said, TimeoutError where the
    time is over, else NoneReached.
    """
    asked = in_turn(addresses)[:most]
    refused: list[tuple[str, OSError]] = []
    for place, address in enumerate(asked):
        left = seconds_left(deadline)
        after = len(asked) - place - 1
        try:
            return socket.create_connection(
                (address, port), timeout=left / (after + 2) if after else left
            )
        except OSError as error:
            if len(asked) == 1:
                raise
            refused.append((address, error))
            if after:
                continue
            # The same one whatever turn a resolver gives them: who writes reasons down when they
            # change shall not write at each attempt.
            named, why = min(refused, key=lambda one: one[0])
            if all(isinstance(said, TimeoutError) for _, said in refused):
                raise NoneInTime(len(asked), named, why) from error
            raise NoneReached(len(asked), named, why) from error
    raise ValueError("no address to reach")


def in_turn(addresses: list[str]) -> list[str]:
    """All of them in their order, but the families by turns (RFC 8305 §4).

    The resolver puts all addresses of one family first (RFC 6724 §6): where IPv6 is dead as a
    whole, the second one asked is of IPv4.
    """
    first = ":" in addresses[0] if addresses else False
    same = [one for one in addresses if (":" in one) is first]
    other = [one for one in addresses if (":" in one) is not first]
    mixed = chain.from_iterable(zip_longest(same, other))
    return [one for one in mixed if one is not None]


def seconds_left(deadline: float) -> float:
    """Until a moment of the monotonic clock. Raises TimeoutError when it is over."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is over")
    return left
