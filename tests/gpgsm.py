"""gpgsm as a reader: bringing a key into it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

_TRIES = 8
_WRONG_KEY = "possibly bad passphrase given"


def import_p12(command: Sequence[object], write: Callable[[], Path], password: bytes) -> None:
    """Import the PKCS#12 file that `write` makes, with a salt of its own each time.

    The parser of gpgsm 2.2 derives a wrong key for one salt in some dozens ("possibly bad
    passphrase"); a file that is wrong is wrong with every salt. Raises AssertionError.
    """
    errors = []
    for _ in range(_TRIES):
        done = subprocess.run(
            [*map(str, command), "--import", str(write())],
            capture_output=True,
            input=password,
            check=False,
        )
        if done.returncode == 0:
            return
        errors.append(done.stderr.decode("utf-8", "replace"))
    # That a key is wrong it says of a right one, too: it is not what is wrong with the file.
    usual = [error for error in errors if _WRONG_KEY not in error]
    raise AssertionError((usual or errors)[-1])
