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

# Peaks of this process and of its guarded workers, in octets, for one command after the other.
_CHILD = """
import json, resource, sys
from pathlib import Path
from gateway.cli import main
def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")
def held(key):
    status = Path("/proc/self/status").read_text()
    return int(status.partition(key + ":")[2].split()[0]) * 1024
def workers():
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
found = []
for command in json.loads(sys.argv[1]):
    forget_peak()
    before = held("VmRSS")
    assert main(["smime", *command]) == 0, command
    found.append([held("VmHWM") - before, max(0, workers() - before)])
print(json.dumps(found), file=sys.stderr)
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
    ):
        yield command[-1], command


def test_less_than_three_times_its_size(here: Path) -> None:
    cas = str(world().write_cas(here))
    # The small one first, so that everything is imported when it counts.
    commands = [*_commands("small", cas), *_commands("large", cas)]

    done = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps([command for _, command in commands])],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    peaks = json.loads(done.stderr.splitlines()[-1])
    for (file, command), taken in list(zip(commands, peaks, strict=True))[len(commands) // 2 :]:
        size = (here / file).stat().st_size
        assert max(taken) < 3 * size, f"{command}: {[one / size for one in taken]} times its size"
