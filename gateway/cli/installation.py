"""The installation a command works on: opened from its configuration, closed at the end."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.cli.options import config_path

if TYPE_CHECKING:
    from gateway.wiring import Wiring


@contextmanager
def opened(args: Namespace) -> Iterator[Wiring]:
    """The parts of the installation that `--config` means. Raises ConfigFaults, SceauError."""
    from gateway.wiring import Wiring  # not for `--help`: it imports the whole product

    wiring = Wiring.from_file(config_path(args, os.environ))
    try:
        yield wiring
    finally:
        wiring.close()


def on_installation(act: Callable[[Namespace, Wiring], int]) -> Callable[[Namespace], int]:
    """A verb's `run(args)` out of one that wants the opened installation too."""

    def run(args: Namespace) -> int:
        with opened(args) as wiring:
            return act(args, wiring)

    return run
