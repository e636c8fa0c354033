"""`python -m tests.soak NAME [--seed N] [--rounds N]`: a long run; without NAME, the list of them.

A run is decided by its seed, which is printed first and last: the same seed asks the same again.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import secrets
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType


def subjects() -> dict[str, ModuleType]:
    """The modules beside this one, by name."""
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return {
        name: importlib.import_module(f"tests.soak.{name}")
        for name in sorted(names)
        if not name.startswith("_")
    }


def usual_rounds(module: ModuleType) -> int:
    """How long `run` takes when nobody says it."""
    default = inspect.signature(module.run).parameters["rounds"].default
    return 1 if default is inspect.Parameter.empty else int(default)


def main(arguments: list[str]) -> int:
    """Exit code: 0 when everything held, 1 when something did not, 2 for wrong usage."""
    known = subjects()
    parser = argparse.ArgumentParser(
        prog="./dev soak", description="Long runs against the product."
    )
    parser.add_argument("name", nargs="?", choices=known, help="which; without it: the list")
    parser.add_argument("--seed", type=int, help="of an earlier run, to have the same again")
    parser.add_argument("--rounds", type=int, help="how long; the list says what is usual")
    wanted = parser.parse_args(arguments)
    if wanted.name is None:
        for name, module in known.items():
            first = (module.__doc__ or "").partition("\n")[0]
            print(f"{name:12} {usual_rounds(module):4} rounds  {first}")
        return 0
    module = known[wanted.name]
    rounds = usual_rounds(module) if wanted.rounds is None else wanted.rounds
    if rounds < 1:
        parser.error("--rounds: at least 1")
    seed = secrets.randbits(32) if wanted.seed is None else wanted.seed
    again = f"./dev soak {wanted.name} --seed {seed} --rounds {rounds}"
    print(f"soak {wanted.name}: seed {seed}; the same again: {again}", flush=True)
    begun = time.monotonic()
    held = False
    try:
        module.run(seed, rounds)
        held = True
    except AssertionError as failed:
        at = traceback.extract_tb(failed.__traceback__)[-1]
        what = f"{failed}\n{Path(at.filename).name}:{at.lineno}: {at.line}"
        print(f"soak {wanted.name}: FAILED: {what}", file=sys.stderr)
        return 1
    finally:  # a gateway that did not start at all, too
        if not held:
            print(f"the same again: {again}", file=sys.stderr)
    print(f"soak {wanted.name}: held for {time.monotonic() - begun:.0f} s with seed {seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
