"""The name of this installation on this machine, among those that share a database."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path


def node_name(file: Path) -> str:
    """Random, kept in `file` (made at the first call, by whoever holds the lock on it), and the
    host's name: a cloned machine with its files must not free what the first one holds.
    """
    token = file.read_text("ascii").strip() if file.exists() else ""
    if not token:
        token = secrets.token_hex(8)
        with file.open("w", encoding="ascii") as opened:
            opened.write(token + "\n")
            opened.flush()
            # Under another name after a power cut, this machine would wait for its own claims
            # until somebody takes them over.
            os.fsync(opened.fileno())
    return f"{token}@{socket.gethostname()}"[:128]
