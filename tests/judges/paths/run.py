"""A run over many cases."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.judges.paths.classes import class_of
from tests.judges.paths.compare import Comparison, Peer, compare
from tests.judges.paths.generate import case
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
    for number in numbers:
        made = case(seed, number)
        result.cases += 1
        result.traits.update(made.traits)
        files = folder / str(number)
        write(made, files)
        kept = False
        for peer in peers:
            found = compare(made, peer, files)
            result.verdicts[peer.name, found.ours.valid, found.theirs.valid] += 1
            if found.agree:
                continue
            known = class_of(found)
            if known is not None:
                result.classes[peer.name, known.key].append(number)
            else:
                result.unclassified.append(found)
                tell(found)
                kept = True
        if not kept:
            shutil.rmtree(files)
    return result
