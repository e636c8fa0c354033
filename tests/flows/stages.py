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
from gateway.demo.stage import Stage
from tests.flows.explained import Tally, ask_about_all

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
