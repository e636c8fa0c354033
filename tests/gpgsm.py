"""gpgsm as a reader: bringing a key into it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

_TRIES = 4


def import_p12(command: Sequence[object], write: Callable[[], Path], password: bytes) -> None:
    """Import the PKCS#12 file that `write` makes, with a salt of its own each time.

    The parser of gpgsm 2.2 derives a wrong key for about one salt in a hundred ("possibly bad
    passphrase"); a file that is wrong is wrong with every salt. Raises AssertionError.
    """
    for _ in range(_TRIES):
        done = subprocess.run(
            [*map(str, command), "--import", str(write())],
            capture_output=True,
            input=password,
            check=False,
        )
        if done.returncode == 0:
            return
    raise AssertionError(done.stderr.decode("utf-8", "replace"))
