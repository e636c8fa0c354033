"""A run over many cases."""

from __future__ import annotations

import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.judges.paths.classes import class_of
from tests.judges.paths.compare import Comparison, Peer, compare
from tests.judges.paths.disagreement import Class
from tests.judges.paths.generate import case
from tests.judges.paths.model import Case
from tests.judges.paths.peers import write


@dataclass
class Result:
    """What came out. verdicts: (peer, ours valid, theirs valid) → cases; classes: (peer, class)."""

    cases: int = 0
    verdicts: Counter[tuple[str, bool, bool]] = field(default_factory=Counter)
    classes: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    unclassified: list[Comparison] = field(default_factory=list)
    traits: Counter[str] = field(default_factory=Counter)


def run(
    seed: int,
    numbers: Iterable[int],
    peers: Sequence[Peer],
    folder: Path,
    tell: Callable[[Comparison], None] = lambda _: None,
) -> Result:
    """Every case before every peer. Files of cases that are in no class stay in `folder`.

    tell: is told of each of these at once, for a run takes long.
    """
    result = Result()
    # Most of the time goes into waiting for the processes of peers.
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for made, compared in pool.map(lambda number: _one(seed, number, peers, folder), numbers):
            result.cases += 1
            result.traits.update(made.traits)
            for found, known in compared:
                name = found.peer.name
                result.verdicts[name, found.ours.valid, found.theirs.valid] += 1
                if known is not None:
                    result.classes[name, known.key].append(made.number)
                elif not found.agree:
                    result.unclassified.append(found)
                    tell(found)
    return result


def _one(
    seed: int, number: int, peers: Sequence[Peer], folder: Path
) -> tuple[Case, list[tuple[Comparison, Class | None]]]:
    """One case before every peer, and the class of each disagreement."""
    made = case(seed, number)
    files = folder / str(number)
    write(made, files)
    compared = [compare(made, peer, files) for peer in peers]
    judged = [(found, None if found.agree else class_of(found)) for found in compared]
    if all(found.agree or known is not None for found, known in judged):
        shutil.rmtree(files)
    return made, judged
