"""What a command works on: opened from its configuration, closed at the end."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gateway.cli.options import config_path

if TYPE_CHECKING:
    from gateway.installation import Installation
    from gateway.wiring import Wiring


def on_installation(act: Callable[[Namespace, Installation], int]) -> Callable[[Namespace], int]:
    """A verb's `run(args)` out of one that wants configuration and database too."""

    def run(args: Namespace) -> int:
        with opened_installation(args) as installation:
            return act(args, installation)

    return run


def on_wiring(act: Callable[[Namespace, Wiring], int]) -> Callable[[Namespace], int]:
    """A verb's `run(args)` out of one that wants parts of the running product."""

    def run(args: Namespace) -> int:
        with opened_wiring(args) as wiring:
            return act(args, wiring)

    return run


@contextmanager
def opened_installation(args: Namespace) -> Iterator[Installation]:
    """Configuration and database that `--config` means. Raises ConfigFaults, SceauError."""
    from gateway.installation import Installation  # not for `--help`: it takes time

    installation = Installation.from_file(config_path(args, os.environ))
    try:
        yield installation
    finally:
        installation.close()


@contextmanager
def opened_wiring(args: Namespace) -> Iterator[Wiring]:
    """All parts that `--config` means. Raises ConfigFaults, SceauError."""
    from gateway.wiring import Wiring  # imports the whole product

    wiring = Wiring.from_file(config_path(args, os.environ))
    try:
        yield wiring
    finally:
        wiring.close()
