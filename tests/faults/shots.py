"""What the gateway is shot at with: every failpoint of the way out, in series that a seed decides.

A point of another way gets a line in AIMS, and mail that passes it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

# The supervisor waits longer after each death of a role within 30 seconds; after so many the next
# shot falls on all, and whoever starts it again begins afresh.
_DEATHS = 4


@dataclass(frozen=True, slots=True)
class Shot:
    """What is done while mail passes.

    role: who passes it. passes: the point is passed for the so-many-th time. word: see
    `gateway.failpoint`. refuses: the next hop refuses somebody meanwhile, so that a sender has to
    be told. times: as soon as it has fallen it is ordered anew. rest: seconds of silence before.
    """

    point: str
    role: str
    action: str
    passes: int
    word: str = ""
    refuses: bool = False
    times: int = 1
    rest: float = 0.0

    def __str__(self) -> str:
        return f"{self.point}-{self.action}" + (f"-{self.times}" if self.times > 1 else "")

    @property
    def order(self) -> str:
        """For the file of the point."""
        return f"{self.action} {self.passes} {self.word}".strip()


@dataclass(frozen=True, slots=True)
class Aim:
    """A point, by which role it is passed, and how often fourteen mails are sure to pass it."""

    point: str
    role: str
    sure: int
    refuses: bool = False
    other_roles: bool = False  # pass it too, and are not meant
    rest: float = 0.0  # seconds for which a worker remembers, and passes it no more


AIMS = (
    Aim("accept.content-sealed", "intake", 10),
    Aim("accept.rows-written", "intake", 5),
    Aim("commit.before", "intake", 5, other_roles=True),
    Aim("commit.after", "intake", 5, other_roles=True),
    Aim("accept.replying", "intake", 10),
    Aim("accept.replied", "intake", 10),
    Aim("claim.committed", "worker", 1),
    Aim("find.crls-asked", "worker", 1, other_roles=True, rest=1.1),
    Aim("find.done", "worker", 1),
    Aim("seal.signed", "worker", 10),
    Aim("seal.encrypted", "worker", 10),
    Aim("seal.rows-written", "worker", 1),
    Aim("seal.committed", "worker", 1),
    Aim("deliver.connecting", "worker", 10),
    Aim("deliver.dot-sent", "worker", 10),
    Aim("deliver.reply-read", "worker", 10),
    Aim("outcome.rows-written", "worker", 1),
    Aim("outcome.committed", "worker", 10),
    Aim("notice.written", "worker", 1, refuses=True),
)

# The third that lies beside a commit or a promise: what another database could do otherwise.
BESIDE_A_COMMIT = (
    "accept.rows-written",
    "commit.before",
    "commit.after",
    "claim.committed",
    "seal.committed",
    "deliver.dot-sent",
    "outcome.rows-written",
)

# One of each kind: the client hears of it, a commit fails, a mail is tried again, a worker ends.
OF_EACH_KIND = (
    "accept.content-sealed",
    "accept.rows-written",
    "commit.before",
    "commit.after",
    "accept.replying",
    "seal.signed",
    "seal.rows-written",
    "deliver.reply-read",
    "notice.written",
)


def kills(chance: random.Random, only: Collection[str] = ()) -> list[Shot]:
    """A kill at each point (of `only`, if any), most of one process, some of all of them."""
    shots = []
    deaths: Counter[str] = Counter()
    for aim in AIMS:
        if only and aim.point not in only:
            continue
        shot = _shot(aim, "kill", chance)
        if deaths[aim.role] == _DEATHS:
            shot = replace(shot, action="kill-service")
            deaths.clear()
        else:
            deaths[aim.role] += 1
        shots.append(shot)
    return shots


def faults(chance: random.Random, only: Collection[str] = ()) -> list[Shot]:
    """An OSError at each point (of `only`): the process may go on, or end and be started again."""
    return [_shot(aim, "raise", chance) for aim in AIMS if not only or aim.point in only]


def _shot(aim: Aim, action: str, chance: random.Random) -> Shot:
    word = aim.role if aim.other_roles else ""
    passes = chance.randint(1, aim.sure)
    return Shot(aim.point, aim.role, action, passes, word, aim.refuses, rest=aim.rest)
