"""A stopped next hop and mail at full speed, in small; `tests/soak/backpressure.py` has 30,000."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flows.stages import stage
from tests.soak.backpressure import limited_house, press

pytestmark = [pytest.mark.fault, pytest.mark.flow]


def test_the_queue_fills_clients_are_told_and_nothing_is_lost(tmp_path: Path) -> None:
    with stage(tmp_path) as made:
        house = limited_house(made, 300).start()
        try:
            press(made, house, mails=1500, most=300)
        finally:
            assert house.stop() == 0
