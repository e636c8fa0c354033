"""`python -m tests.soak NAME [--seed N] [--rounds N]`: a long run; without NAME, the list of them.

A run is decided by its seed, which is printed first and last: the same seed asks the same again.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import secrets
import sys
import time
from pathlib import Path

ROUNDS = 10


def subjects() -> dict[str, str]:
    """Name → first line of its docstring."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith("_"):
            text = importlib.import_module(f"tests.soak.{module.name}").__doc__ or ""
            found[module.name] = text.strip().partition("\n")[0]
    return found


def main(arguments: list[str]) -> int:
    """Exit code: 0 when everything held, 1 when something did not, 2 for wrong usage."""
    known = subjects()
    parser = argparse.ArgumentParser(
        prog="./dev soak", description="Long runs against the product."
    )
    parser.add_argument(
        "name", nargs="?", choices=sorted(known), help="which; without it: the list"
    )
    parser.add_argument("--seed", type=int, help="of an earlier run, to have the same again")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how long (default {ROUNDS})")
    wanted = parser.parse_args(arguments)
    if wanted.rounds < 1:
        parser.error("--rounds: at least 1")
    if wanted.name is None:
        for name, text in sorted(known.items()):
            print(f"{name:12} {text}")
        return 0
    seed = secrets.randbits(32) if wanted.seed is None else wanted.seed
    again = f"./dev soak {wanted.name} --seed {seed} --rounds {wanted.rounds}"
    print(f"soak {wanted.name}: seed {seed}; the same again: {again}", flush=True)
    begun = time.monotonic()
    try:
        importlib.import_module(f"tests.soak.{wanted.name}").run(seed, wanted.rounds)
    except AssertionError as failed:
        print(f"soak {wanted.name}: FAILED: {failed}\nthe same again: {again}", file=sys.stderr)
        return 1
    print(f"soak {wanted.name}: held for {time.monotonic() - begun:.0f} s with seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
