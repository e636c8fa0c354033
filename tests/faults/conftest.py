"""What tests of disks share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.pki import Keys
from gateway.demo.stage import Stage
from tests.flows.stages import stage


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Open to PostgreSQL, which runs as somebody else."""
    made = Path(tempfile.mkdtemp(prefix="sceau-disk-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def made(folder: Path) -> Iterator[Stage]:
    """A stage in it."""
    with stage(folder / "stage", keys=Keys()) as made:
        yield made
