"""Looks after the certificates that sign: the seals, and everybody who agreed to be signed for.

A revocation counts at the next signature, whoever looks; this is how people hear of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from gateway.seal_check import blocks
from gateway.signers import SealJudge
from gateway.succession import Seals, in_force
from pki.errors import Problem
from pki.may_sign import Unfit
from pki.person_standing import PersonStanding, some_people
from pki.trust import Trust

ENDING = timedelta(days=7)
_NAMED = 20
_AGAIN = timedelta(hours=1)  # dates are reached, whatever CRLs there are
_SECONDS = 2.0  # of each half minute, until all were looked at


@dataclass(frozen=True, slots=True)
class People:
    """How many of those who agreed may sign (`fit`, of whom `ending` have no certificate that is
    valid for longer than so many days), must not (`unfit`), or nobody can tell.

    refused: the first who must not, with the reason. ends: the first whose certificates end.
    unknown: the first of whom nobody can tell.
    """

    fit: int = 0
    ending: int = 0
    unfit: int = 0
    cannot_tell: int = 0
    refused: Mapping[str, Problem] = field(default_factory=dict)
    ends: Mapping[str, datetime] = field(default_factory=dict)
    unknown: Mapping[str, Problem] = field(default_factory=dict)


class Count:
    """Adds up `People`."""

    def __init__(self, moment: datetime, *, ending: timedelta = ENDING) -> None:
        self._soon = moment + ending
        self._numbers = {"fit": 0, "ending": 0, "unfit": 0, "cannot_tell": 0}
        self._refused: dict[str, Problem] = {}
        self._ends: dict[str, datetime] = {}
        self._unknown: dict[str, Problem] = {}

    def add(self, one: PersonStanding) -> None:
        """One person more."""
        if isinstance(one.answer, Unfit):
            certain = one.answer.certain
            self._numbers["unfit" if certain else "cannot_tell"] += 1
            named = self._refused if certain else self._unknown
            if len(named) < _NAMED:
                named[one.address] = one.answer.problem
            return
        self._numbers["fit"] += 1
        if one.ends is not None and one.ends < self._soon:
            self._numbers["ending"] += 1
            if len(self._ends) < _NAMED:
                self._ends[one.address] = one.ends

    def people(self) -> People:
        """What was added."""
        return People(
            **self._numbers, refused=self._refused, ends=self._ends, unknown=self._unknown
        )


Connect = Callable[[], AbstractContextManager[sa.Connection]]


def look_at_all(read: Connect, trust: Trust, moment: datetime) -> People:
    """Everybody, now: for `sceau check`."""
    count, after = Count(moment), ""
    while True:
        with read() as conn:
            found = some_people(conn, trust, moment, after=after)
        if not found:
            return count.people()
        for one in found:
            count.add(one)
        after = found[-1].address


class SigningWatch:
    """The same, some at a time, beside other work.

    people: of the last complete look. refused_seals: by domain, why a seal signs nothing; where
    nobody can tell, once that has lasted from one look to the next: a gateway that starts has no
    CRL for a moment.
    """

    def __init__(
        self,
        read: Connect,
        trust: Callable[[], Trust],
        seals: Seals,
        may_seal: SealJudge,
        *,
        seconds: float = _SECONDS,
        ending: timedelta = ENDING,
    ) -> None:
        self._read = read
        self._trust = trust
        self._seals = seals
        self._may_seal = may_seal
        self._seconds = seconds
        self._ending = ending
        self._count: Count | None = None
        self._after = ""
        self._looked: tuple[int, datetime] | None = None  # CRLs and beginning of the last look
        self._unsure: set[str] = set()
        self.people = People()
        self.refused_seals: Mapping[str, Problem] = {}

    def once(self, moment: datetime) -> None:
        """Look at the seals; go on with the people, or begin where CRLs are new, or each hour."""
        self._look_at_seals(moment)
        trust = self._trust()
        if self._count is None:
            if self._looked is not None:
                crls, begun = self._looked
                if crls == trust.crls and begun <= moment < begun + _AGAIN:
                    return
            self._looked = (trust.crls, moment)
            self._count, self._after = Count(moment, ending=self._ending), ""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            with self._read() as conn:
                found = some_people(conn, trust, moment, after=self._after)
            if not found:
                self.people, self._count = self._count.people(), None
                return
            for one in found:
                self._count.add(one)
            self._after = found[-1].address

    def _look_at_seals(self, moment: datetime) -> None:
        refused: dict[str, Problem] = {}
        unsure: set[str] = set()
        for domain in self._seals:
            seal = in_force(self._seals, domain, moment)
            assert seal is not None
            answer = self._may_seal(seal, domain, moment)
            if not isinstance(answer, Unfit) or not blocks(answer):
                continue
            if not answer.certain:
                unsure.add(domain)
            if answer.certain or domain in self._unsure:
                refused[domain] = answer.problem
        self._unsure, self.refused_seals = unsure, refused
