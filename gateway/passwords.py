"""Passwords that stand in files of their own."""

from __future__ import annotations

from pathlib import Path


def secret(path: Path) -> bytes:
    """Content of a password file; one trailing newline is dropped (design §6)."""
    data = path.read_bytes()
    return data[:-1] if data.endswith(b"\n") else data
