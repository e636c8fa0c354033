"""Passwords that stand in files of their own."""

from __future__ import annotations

from pathlib import Path

from pki.bounded_file import LARGEST_SECRET, read_bounded


def secret(path: Path) -> bytes:
    """Content of a password file; one trailing newline is dropped (design §6)."""
    data = read_bounded(path, LARGEST_SECRET)
    return data[:-1] if data.endswith(b"\n") else data
