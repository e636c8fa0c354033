"""`python -m tests.fuzz [NAME] [--minutes N]`: coverage-guided fuzzing of what strangers send.

Needs atheris (`./dev fuzz` installs it); without NAME all targets take their turn. An input that
breaks a property, takes over a second of processor time or too much memory is written to
tests/fuzz/found/NAME/, where `tests/unit/test_fuzz_found.py` replays it from then on; inputs that
only reach something new stay in .fuzz/NAME/ for the next run.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import time
from pathlib import Path

import atheris

from tests.corpora import ROOT

with atheris.instrument_imports(include=["gateway.smime", "gateway.mime", "pki"]):
    from tests.fuzz import mutate, seeds
    from tests.fuzz.targets import TARGETS, Target

FOUND = Path(__file__).with_name("found")
# Instrumented code takes up to five times as long; of processor time, not of a busy machine's.
_SECONDS = 5.0
_MEGABYTES = 1000


def main(arguments: list[str]) -> int:
    """Exit code: 0 when everything held, 1 when something was found."""
    parser = argparse.ArgumentParser(
        prog="./dev fuzz", description="Coverage-guided fuzzing of what strangers send."
    )
    parser.add_argument("name", nargs="?", choices=TARGETS, help="which; without it: all in turn")
    parser.add_argument(
        "--minutes", type=float, default=10, help="for each target, by the clock (10)"
    )
    wanted = parser.parse_args(arguments)
    if wanted.minutes <= 0:
        parser.error("--minutes: more than 0")
    if wanted.name is None:
        own = [sys.executable, "-m", "tests.fuzz", "--minutes", str(wanted.minutes)]
        code = max([subprocess.run([*own, name], check=False).returncode != 0 for name in TARGETS])
        # On a busy machine an hour by the clock may be ten minutes of work.
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        minutes = (spent.ru_utime + spent.ru_stime) / 60
        print(f"fuzz: {len(TARGETS)} targets, {minutes:.1f} minutes of processor time", flush=True)
        return code
    _fuzz(wanted.name, round(wanted.minutes * 60))
    return 0


def _fuzz(name: str, seconds: int) -> None:
    """Does not come back: libFuzzer ends the process, with 0 when nothing was found."""
    found, reached = FOUND / name, ROOT / ".fuzz" / name
    found.mkdir(parents=True, exist_ok=True)
    reached.mkdir(parents=True, exist_ok=True)
    for _, data in (*seeds.own(), *seeds.corpora()):
        (reached / hashlib.sha256(data).hexdigest()[:20]).write_bytes(data)
    options = [
        f"-max_total_time={max(seconds, 1)}",
        f"-max_len={seeds.LARGEST}",
        f"-rss_limit_mb={_MEGABYTES}",
        f"-artifact_prefix={found}/",
        "-timeout=60",
        "-print_final_stats=1",
        f"-dict={Path(__file__).with_name('words.dict')}",
        str(reached),
        str(found),
    ]
    print(f"fuzz {name}: {seconds} s; again: ./dev fuzz {name}", flush=True)
    atheris.Setup([f"fuzz-{name}", *options], _timed(TARGETS[name]), custom_mutator=_custom_mutator)
    atheris.Fuzz()


def _timed(target: Target) -> Target:
    def run(data: bytes) -> str:
        begun = time.process_time()
        said = target(data)
        assert time.process_time() - begun < _SECONDS, "it takes too long"
        return said

    return run


def _custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
    return mutate.mutated(data, seed, lambda some: atheris.Mutate(some, len(some) + 64))[:max_size]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
