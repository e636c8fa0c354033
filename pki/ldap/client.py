"""Certificates of others in LDAP directories (RFC 4511, RFC 4523).

What a directory gives back is input of strangers: candidates, nothing more. What it does not give
back is never a "no": every trouble is DirectoryTrouble.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pki.addresses import canonical
from pki.directory import Directory, ServerOrder, check_settings
from pki.errors import DirectoryTrouble, Problem
from pki.health import DirectoryHealth, ServerState, ServerTrial
from pki.ldap import faults
from pki.ldap.breaker import FIRST_PAUSE, LONGEST_PAUSE, Breaker
from pki.ldap.entries import MAX_ENTRIES, DirectoryAnswer, address_filter, answers
from pki.ldap.faults import ServerFault
from pki.ldap.server import Changed, Server
from pki.ldap.session import Found, Search

# Addresses in one search: a filter much longer costs servers more than a second search.
BATCH = 16


@dataclass(frozen=True, slots=True)
class Reply:
    """What a search gave, and the URL of the server that answered it."""

    found: Found
    server: str


class DirectoryClient:
    """One directory on one or several servers, with fail-over. Thread-safe.

    A look-up goes to the first server that is well; what it says counts, yes or no. If it fails,
    the next one is asked with what is left of `directory.time_limit`. Each server has a share of
    that time, so that a frozen one leaves enough for the others; then it is left alone for a pause
    that doubles with each failure, up to `longest_pause` (seconds). While no server is asked,
    look-ups fail at once. A server whose pause is over is tried beside the look-ups as long as
    another one is well.
    changed: hears of it, in any thread, when a server goes away or comes back.
    Raises DirectoryTrouble (directory.settings) for settings that would be unsafe.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        first_pause: float = FIRST_PAUSE,
        longest_pause: float = LONGEST_PAUSE,
        changed: Changed | None = None,
    ) -> None:
        check_settings(directory)
        self.directory = directory
        self._servers = tuple(
            Server(directory, url, Breaker(first_pause, longest_pause), changed)
            for url in directory.urls
        )
        self._turn = itertools.count()

    def search(self, address: str) -> DirectoryAnswer:
        """Certificates of the entries that hold this mail address.

        Raises DirectoryTrouble, AddressError: what has no canonical form never leaves (slapd takes
        a value with NUL at its end for the one without).
        """
        address = canonical(address)
        answer = self._certificates([address])[address]
        if isinstance(answer, DirectoryTrouble):
            raise answer
        return answer

    def search_many(
        self, addresses: Iterable[str]
    ) -> Mapping[str, DirectoryAnswer | DirectoryTrouble]:
        """The same for several canonical addresses: one search, where one is enough.

        The trouble of one address is not that of the others. Raises AddressError.
        """
        wanted = list(dict.fromkeys(map(canonical, addresses)))
        found: dict[str, DirectoryAnswer | DirectoryTrouble] = {}
        for start in range(0, len(wanted), BATCH):
            found |= self._batch(wanted[start : start + BATCH])
        return found

    def ask(self, search: Search, deadline: float | None = None) -> Reply:
        """Any search, on the first server that answers it. Raises DirectoryTrouble.

        deadline: monotonic seconds; without one, the directory's time limit from now.
        """
        if deadline is None:
            deadline = time.monotonic() + self.directory.time_limit
        first: Problem | None = None
        order = self._order()
        for number, server in enumerate(order):
            now = time.monotonic()
            if now >= deadline:  # our time is over: no server is to blame for it
                first = first or faults.timeout(self.directory).problem
                break
            share = (deadline - now) / (len(order) - number)
            try:
                found = server.run(lambda session, by: session.search(search, by), now + share)
            except (ServerFault, DirectoryTrouble) as error:
                first = first or error.problem
            else:
                return Reply(found, server.url)
        assert first is not None  # there is a server at least
        raise DirectoryTrouble(first)

    def health(self) -> DirectoryHealth:
        """How its servers are, without asking them."""
        return DirectoryHealth(
            self.directory.name, tuple(server.health() for server in self._servers)
        )

    def try_servers(self) -> tuple[ServerTrial, ...]:
        """Ask each server for the base, well or not."""
        return tuple(server.trial(at_once=True) for server in self._servers)

    def close(self) -> None:
        """Give back all idle connections."""
        for server in self._servers:
            server.close()

    # Certificates

    def _batch(self, wanted: list[str]) -> dict[str, DirectoryAnswer | DirectoryTrouble]:
        """One search for all. Where that leads to a limit or to entries of others, one for each:
        together within the time of two look-ups, however slow the answers are.
        """
        deadline = time.monotonic() + 2 * self.directory.time_limit
        if len(wanted) > 1:
            try:
                found = self._certificates(wanted)
            except DirectoryTrouble as error:
                if error.problem.code not in ("directory.answer", "limits.directory"):
                    return dict.fromkeys(wanted, error)
            else:
                if not any(_mixed(answer) for answer in found.values()):
                    return found
        single: dict[str, DirectoryAnswer | DirectoryTrouble] = {}
        for address in wanted:
            by = min(deadline, time.monotonic() + self.directory.time_limit)
            try:
                single |= self._certificates([address], by)
            except DirectoryTrouble as error:
                single[address] = error
        return single

    def _certificates(
        self, wanted: list[str], deadline: float | None = None
    ) -> dict[str, DirectoryAnswer | DirectoryTrouble]:
        directory = self.directory
        search = Search(
            directory.base,
            address_filter(directory.mail_attributes, wanted),
            (*directory.attributes, *directory.mail_attributes),
            MAX_ENTRIES * len(wanted),
        )
        reply = self.ask(search, deadline)
        found = answers(directory, reply.server, reply.found.entries, wanted)
        if reply.found.referred and not directory.ignore_references:
            for address, answer in found.items():
                if isinstance(answer, DirectoryAnswer) and not answer.candidates:
                    # What is asked for may lie there: nobody may conclude that it does not
                    # exist (I3).
                    found[address] = DirectoryTrouble(faults.referred(directory).problem)
        return found

    # Servers

    def _order(self) -> list[Server]:
        """Those that are well first; then those that may be tried; the others last, for they fail
        at once and say why.
        """
        servers = list(self._servers)
        if self.directory.order is ServerOrder.ROUND_ROBIN:
            turn = next(self._turn) % len(servers)
            servers = servers[turn:] + servers[:turn]
        states = [(server.state, server) for server in servers]
        well = [server for state, server in states if state is ServerState.CLOSED]
        perhaps = [server for state, server in states if state is ServerState.HALF_OPEN]
        if well:
            for server in perhaps:
                server.probe()
            return well + perhaps
        return perhaps or servers


def _mixed(answer: DirectoryAnswer | DirectoryTrouble) -> bool:
    """Whether it is, or holds, what may be the matter of another address of the same search."""
    if isinstance(answer, DirectoryTrouble):
        return True
    return any(refusal.problem.code == "directory.stranger" for refusal in answer.refused)
