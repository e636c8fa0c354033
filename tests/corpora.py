"""Where the test data lies that nobody on this project wrote, and how to skip without it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def corpus(name: str) -> Path:
    """Folder or file `name` of the shared corpora; skips the test with a reason if absent."""
    base = Path(os.environ.get("SCEAU_CORPORA", ROOT.parent / "shared" / "corpora"))
    path = base / name
    if not path.exists():
        pytest.skip(f"test data {name!r} is not on this machine (looked in {base})")
    return path
