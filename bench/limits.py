"""What this machine can do at most: signatures a second, by `openssl speed`, on all cores."""

from __future__ import annotations

import os
import re
import subprocess

from gateway.demo.process import NotStartedError

_SECONDS = 3
# openssl speed's names of the algorithms, and how its last table begins the line.
_NAMES = {
    "rsa": ("rsa2048", r"rsa +2048 bits"),
    "ec": ("ecdsap256", r"256 bits ecdsa \(nistp256\)"),
}


def signatures_a_second(kind: str) -> float:
    """kind: "rsa" (2048 bits) or "ec" (P-256). Raises NotStartedError."""
    name, beginning = _NAMES[kind]
    command = ["openssl", "speed", "-seconds", str(_SECONDS), "-multi", str(os.cpu_count()), name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # Its table: seconds for one signature, for one verification, then both a second.
    found = re.search(rf"{beginning} +[\d.]+s +[\d.]+s +([\d.]+)", done.stdout)
    if done.returncode or found is None:
        raise NotStartedError(f"openssl speed: {done.stderr[-500:]}")
    return float(found[1])
