"""The stage of every flow: when it is left, `policy explain` is asked about all that was decided.

Flows take their stage from here, not from `gateway.demo.stage`:
`tests/unit/test_flows_explained.py` holds that.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.config import load
from gateway.demo import stage as demo
from gateway.demo.house import DEFAULT_RULES
from gateway.demo.pki import Keys
from gateway.demo.stage import Stage
from tests.flows.explained import Tally, ask_about_all
from tests.flows.way_out_scene import Scene

# Of this process; `tests/flows/conftest.py` tells it at the end.
TOLD: dict[str, tuple[Tally, float]] = {}


@contextmanager
def stage(folder: Path, **options: Any) -> Iterator[Stage]:
    """`gateway.demo.stage.stage`. Fails at the end where an explanation says something else than
    was done.
    """
    with demo.stage(folder, **options) as made:
        yield made
        begun = time.monotonic()
        tally = Tally()
        databases = set()
        for config in sorted(folder.glob("*/sceau.toml")):
            url = load(config).database.url
            if url not in databases:  # several machines may share one
                databases.add(url)
                with tempfile.TemporaryDirectory() as scratch:
                    tally.add(ask_about_all(config, Path(scratch)))
        TOLD[folder.name] = (tally, time.monotonic() - begun)
        assert tally.otherwise == []


@contextmanager
def one_house(folder: Path, keys: Keys, rules: str) -> Iterator[Scene]:
    """A gateway with one worker and the demo's rules and these; it ends cleanly, without faults."""
    with stage(folder, keys=keys) as made:
        house = made.house(rules=DEFAULT_RULES + rules, workers=1).make()
        house.start()
        scene = Scene(made, house)
        yield scene
        assert house.stop() == 0
        assert scene.faults() == []
