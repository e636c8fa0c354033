"""Groups of an address, as rules name them: asked of directories, remembered for minutes.

The same line as for certificates: what was not answered is "cannot tell", never "in no group".
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from pki.addresses import canonical, in_domain
from pki.directory import GroupRules
from pki.errors import CannotTellGroups, DirectoryTrouble, problem
from pki.ldap import faults
from pki.ldap.client import DirectoryClient
from pki.ldap.entries import MAX_ENTRIES, address_filter, addresses_of
from pki.ldap.session import Search
from pki.ldap.wire import BASE_SCOPE, Entry, both, either, equal

# For one address: groups, and DNs in the filter of one search.
MAX_GROUPS = 1000
_TOGETHER = 32
_MAX_CACHED = 50_000
# Attributes of a group that hold names of accounts instead of DNs (RFC 2307 §2.2).
_BY_UID = frozenset({"memberuid"})


class GroupSource(Protocol):
    """Says which groups an address is in."""

    def groups_of(self, address: str) -> frozenset[str]:
        """Lower-case names (cn) of the groups of a canonical address, nested ones too.

        Empty: it is in none, or no directory is asked for its domain. May block on the network.
        Raises CannotTellGroups when a directory does not answer; AddressError.
        """
        ...


class DirectoryGroups:
    """Groups in one directory. `rules`: how they are found there."""

    def __init__(self, client: DirectoryClient, rules: GroupRules) -> None:
        self._client = client
        self._rules = rules

    @property
    def domains(self) -> tuple[str, ...]:
        """Address domains it is asked for."""
        return self._client.directory.domains

    @property
    def ttl(self) -> float:
        """Seconds for which an answer is used again."""
        return self._rules.ttl.total_seconds()

    def groups_of(self, address: str) -> frozenset[str]:
        """Names of the groups of a canonical address. Raises DirectoryTrouble."""
        # However many groups there are, it ends: the time is for all searches together.
        deadline = time.monotonic() + self._client.directory.time_limit
        entries = self._people(address, deadline)
        names: set[str] = set()
        seen: set[tuple[str, ...]] = set()
        frontier = [entry.dn for entry in entries]
        uids = [uid for entry in entries for uid in entry.values("uid")]
        above = [dn for entry in entries for dn in self._member_of(entry)]
        # One round for the person's own groups, and one for each level of groups in groups.
        for _ in range(1 + self._rules.nested):
            unknown = [dn for dn in above if _compared(dn) not in seen]
            found = self._named(unknown, deadline) + self._holding(frontier, uids, deadline)
            uids = []  # no group has one
            # A group that was seen is not looked at again: groups may hold each other.
            fresh = {_compared(group.dn): group for group in found}
            fresh = {dn: group for dn, group in fresh.items() if dn not in seen}
            seen |= fresh.keys()
            self._limit(address, len(seen))
            frontier = [group.dn for group in fresh.values()]
            above = [dn for group in fresh.values() for dn in self._member_of(group)]
            names |= {name for group in fresh.values() for name in self._names(group)}
            if not frontier:
                break
        return frozenset(names)

    def _limit(self, address: str, count: int) -> None:
        if count > MAX_GROUPS:
            raise DirectoryTrouble(
                problem(
                    "limits.directory",
                    "{address} is in more than {limit} groups of the directory {directory}",
                    address=address,
                    limit=str(MAX_GROUPS),
                    directory=self._client.directory.name,
                )
            )

    def _people(self, address: str, deadline: float) -> list[Entry]:
        """Entries that hold the address: the server's word for it is not enough (S19)."""
        directory = self._client.directory
        attributes = directory.mail_attributes
        wanted = (*attributes, "uid", *filter(None, (self._rules.member_of,)))
        filter_ = address_filter(attributes, [address])
        found = self._all(Search(directory.base, filter_, wanted, MAX_ENTRIES), deadline)
        return [entry for entry in found if address in addresses_of(entry, attributes)]

    def _member_of(self, entry: Entry) -> list[str]:
        """DNs of groups that an entry says it is in; those below the base count."""
        if not self._rules.member_of:
            return []
        if entry.is_partial(self._rules.member_of):
            self._limit(entry.dn, MAX_GROUPS + 1)
        dns = [value.decode("utf-8", "replace") for value in entry.values(self._rules.member_of)]
        base = _compared(self._rules.base)
        return [dn for dn in dns if _compared(dn)[-len(base) :] == base]

    def _named(self, dns: Iterable[str], deadline: float) -> list[Entry]:
        """The groups with these DNs, read one by one; one that is gone is no group any more."""
        found: list[Entry] = []
        for dn in list(dict.fromkeys(dns))[: MAX_GROUPS + 1]:
            search = Search(
                dn,
                equal("objectClass", self._rules.object_class),
                self._group_attributes(),
                1,
                BASE_SCOPE,
                may_be_absent=True,
            )
            found += self._all(search, deadline)
        return found

    def _holding(self, dns: Sequence[str], uids: Sequence[bytes], deadline: float) -> list[Entry]:
        """Groups that name one of these as their member."""
        member = self._rules.member
        if not member:
            return []
        values: Sequence[str | bytes] = uids if member.lower() in _BY_UID else dns
        found: list[Entry] = []
        for start in range(0, len(values), _TOGETHER):
            terms = [equal(member, value) for value in values[start : start + _TOGETHER]]
            search = Search(
                self._rules.base,
                both(equal("objectClass", self._rules.object_class), either(*terms)),
                self._group_attributes(),
                MAX_GROUPS,
            )
            found += self._all(search, deadline)
        return found

    def _group_attributes(self) -> tuple[str, ...]:
        return (self._rules.name, *filter(None, (self._rules.member_of,)))

    def _all(self, search: Search, deadline: float) -> tuple[Entry, ...]:
        reply = self._client.ask(search, deadline)
        if reply.found.referred and not self._client.directory.ignore_references:
            raise DirectoryTrouble(faults.referred(self._client.directory).problem)
        return reply.found.entries

    def _names(self, group: Entry) -> list[str]:
        """All its names: rules may use any."""
        values = [value.decode("utf-8", "replace") for value in group.values(self._rules.name)]
        return [value.strip().lower() for value in values if value.strip()]


class Groups:
    """`GroupSource` over all directories that know groups; answers are kept. Thread-safe.

    An answer is kept for the shortest `ttl` of the directories asked, also that there is no group.
    Trouble is not kept, and an old answer never stands in for a new one that fails: a right that
    was taken away must end.
    """

    def __init__(
        self,
        directories: Sequence[DirectoryGroups],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directories = tuple(directories)
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: dict[str, tuple[float, frozenset[str]]] = {}

    def groups_of(self, address: str) -> frozenset[str]:
        """See GroupSource. Of several directories all must answer; their groups are united."""
        kept = self._cache.get(address)
        if kept is not None and self._clock() < kept[0]:
            return kept[1]
        wanted = canonical(address)
        asked = [
            each
            for each in self._directories
            if any(in_domain(wanted, domain) for domain in each.domains)
        ]
        if not asked:
            return frozenset()
        start = self._clock()
        try:
            names = frozenset().union(*(each.groups_of(wanted) for each in asked))
        except DirectoryTrouble as error:
            raise CannotTellGroups(error.problem) from error
        with self._lock:
            if len(self._cache) >= _MAX_CACHED:
                self._cache = {}
            self._cache[address] = (start + min(each.ttl for each in asked), names)
        return names

    def forget(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._cache = {}


def _compared(dn: str) -> tuple[str, ...]:
    """A DN as this file compares it: its parts, without regard to case and outer blanks."""
    # A comma behind a backslash belongs to a value (RFC 4514 §2.4).
    parts = re.findall(r"(?:\\.|[^,\\])+", dn.lower(), re.DOTALL)
    return tuple("=".join(piece.strip() for piece in part.split("=", 1)) for part in parts)
