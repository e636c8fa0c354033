"""Memory of the full-text index's process, commit by commit: what it keeps of each may not grow.

An hour of `uptime` in minutes: the index alone, set up as its process is, over a ledger that was
made before. At load it commits every 3.6 seconds, so a thousand commits count as an hour here. The
pauses between commits, in which segments are merged at load, are waited for.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from archive.index import Indexer
from archive.seal import WorkingUnwrapper
from archive.working import WorkingKeys
from gateway.database import open_database
from gateway.memory import collect_rarely, give_back, keep_heap, one_heap
from gateway.wiring.archive import words_of
from tests.soak.uptime import MOST_AN_HOUR, NOISE, Curve, anonymous, letter
from tests.unit.archive_world import World

ROUNDS = 6  # times a hundred commits

_COMMIT = 3.6  # seconds at load between two commits
_MINUTE = 17  # commits; a process collects circles once a minute
_MAILS = 12  # in a commit
_DIFFERENT = 300
_WARM_UP = 1 / 3


def run(seed: int, rounds: int = ROUNDS) -> None:
    """rounds: times a hundred commits. Raises AssertionError when what stays grows."""
    commits = rounds * 100
    with tempfile.TemporaryDirectory(prefix="sceau-index-") as name:
        folder = Path(name)
        with World(folder) as world:
            _fill(world, random.Random(seed), commits * _MAILS)
        # A process of its own, that nothing was done in before.
        fresh = multiprocessing.get_context("spawn")
        ours, theirs = fresh.Pipe(duplex=False)
        child = fresh.Process(target=_follow, args=(folder, theirs))
        child.start()
        theirs.close()
        curve = Curve("index", [(n * _COMMIT, mb) for n, mb in enumerate(_told(ours))])
        child.join()
    assert child.exitcode == 0, f"the process of the index ended with {child.exitcode}"
    assert len(curve.points) == commits, f"{len(curve.points)} of {commits} commits"
    for at, megabytes in curve.points[:: commits // 10]:
        print(f"commit {at / _COMMIT:5.0f}: {megabytes:6.1f} MB")
    slope, total = curve.growth(commits * _COMMIT * _WARM_UP)
    print(f"{slope:+.1f} MB in 1000 commits, {total:+.1f} MB after warm-up", flush=True)
    assert slope <= MOST_AN_HOUR or total <= NOISE, f"more than {MOST_AN_HOUR} MB in 1000 commits"


def _fill(world: World, dice: random.Random, mails: int) -> None:
    contents = [letter(dice).content for _ in range(_DIFFERENT)]
    for _ in range(0, mails, _MAILS):
        world.append(*(world.accepted(dice.choice(contents)) for _ in range(_MAILS)))


def _told(pipe: Connection) -> list[float]:
    told = []
    try:
        while True:
            told.append(float(pipe.recv()))
    except EOFError:
        return told


def _follow(folder: Path, pipe: Connection) -> None:
    """As `gateway.roles` has the index follow the log; tells the pipe what is held by commits."""
    one_heap()
    database = open_database(f"sqlite:///{folder}/archive.db")
    keys = WorkingUnwrapper(WorkingKeys(folder / "working"))
    collect_rarely()
    keep_heap()
    indexer = Indexer(folder / "index", words_of, database.read, keys, batch=_MAILS)
    commits = 0
    while indexer.step():
        commits += 1
        if commits % _MINUTE == 0:
            gc.collect()
        _merged()
        give_back()
        pipe.send(anonymous(os.getpid()))
    indexer.close()
    database.close()


def _merged() -> None:
    """Wait until threads that merge segments rest: no processor time goes by."""
    while True:
        begun = time.process_time()
        time.sleep(0.02)
        if time.process_time() - begun < 0.005:
            return
