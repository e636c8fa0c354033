"""A large mail on the command line takes less than three times its size of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.smime_world import MAIL, at_home, world

_SIZE = 40_000_000
_HEAD = MAIL.partition(b"\r\n\r\n")[0].replace(b"8bit", b"7bit")

# Peaks of the command's process and of its guarded worker, in octets: each command in a process of
# its own, for the kernel keeps only the largest of all workers that ever were.
_CHILD = """
import json, os, resource, sys
from gateway.cli import main
from tests.peak import count_anew, peak
for command in json.loads(sys.argv[1]):
    # The one for the small mail in this process, so that everything is imported when it counts.
    if "large" not in command[-1]:
        assert main(["smime", *command]) == 0, command
    elif pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0, command
    else:
        before = count_anew()
        assert main(["smime", *command]) == 0, command
        workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        print(json.dumps([peak() - before, max(0, workers - before)]), file=sys.stderr)
        sys.stderr.flush()
        os._exit(0)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at_home(tmp_path, monkeypatch, "alice", "bob")
    line = os.urandom(38).hex().encode() + b"\r\n"
    for name, size in (("small", 1000), ("large", _SIZE)):
        (tmp_path / f"{name}.eml").write_bytes(_HEAD + b"\r\n\r\n" + line * (size // len(line)))
    return tmp_path


def _commands(name: str, cas: str) -> Iterator[tuple[str, list[str]]]:
    """Input and command, for a mail of that name."""
    sign = ["sign", "--key", "alice.key", "--cert", "alice.pem", "--cert", cas]
    trust = ["verify", "--anchor", cas, "--revocation", "off"]
    for command in (
        [*sign, "--out", f"{name}.signed", f"{name}.eml"],
        [*sign, "--opaque", "--out", f"{name}.opaque", f"{name}.eml"],
        ["encrypt", "--to", "bob.pem", "--out", f"{name}.sealed", f"{name}.eml"],
        [*trust, f"{name}.signed"],
        [*trust, f"{name}.opaque"],
        ["decrypt", "--key", "bob.key", "--out", f"{name}.opened", f"{name}.sealed"],
        ["encrypt", "--to", "bob.pem", "--out", f"{name}.both", f"{name}.signed"],
        [*trust, "--key", "bob.key", f"{name}.both"],
        ["decrypt", "--key", "bob.key", "--all", "--out", f"{name}.all", f"{name}.both"],
    ):
        yield command[-1], command


def test_less_than_three_times_its_size(here: Path) -> None:
    cas = str(world().write_cas(here))
    large = list(_commands("large", cas))
    commands = [*_commands("small", cas), *large]

    done = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps([command for _, command in commands])],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    peaks = [json.loads(line) for line in lines if line.startswith("[")]
    assert len(peaks) == len(large)
    for (file, command), taken in zip(large, peaks, strict=True):
        size = (here / file).stat().st_size
        assert max(taken) < 3 * size, f"{command}: {[one / size for one in taken]} times its size"
