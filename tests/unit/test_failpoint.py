"""Failpoints: one list, all of them used, free when not armed, and not to be armed in service."""

from __future__ import annotations

import ast
import errno
import os
import signal
import subprocess
import sys
import time
import timeit
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import SceauError
from gateway.failpoint import MARKER, POINTS, VARIABLE, failpoint, refuse_outside_tests
from tests.faults.shots import AIMS

ROOT = Path(__file__).resolve().parents[2]
# Passed by mail that the kills do not send; tests/flows/test_blobs.py kills there.
ELSEWHERE = {"accept.blob-stored", "sweep.marked"}


def places() -> Counter[str]:
    """Every name that product code passes to `failpoint` or `ahead`."""
    found: Counter[str] = Counter()
    for package in ("gateway", "pki", "archive", "migrations"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in ("failpoint", "ahead") and isinstance(node.args[0], ast.Constant):
                    found[str(node.args[0].value)] += 1
    return found


def test_the_list_and_the_code_name_the_same_points_each_in_one_place() -> None:
    assert places() == Counter(POINTS.keys())


def test_each_point_says_what_has_happened_and_is_shot_at() -> None:
    assert all(len(text) > 20 for text in POINTS.values())
    assert {aim.point for aim in AIMS} | ELSEWHERE == POINTS.keys()


def test_the_manual_has_the_same_list() -> None:
    text = (ROOT / "docs" / "faults.md").read_text("utf-8").partition("## The points")[2]
    assert [line for line in text.splitlines() if line.startswith("| `")] == [
        f"| `{name}` | {text} |" for name, text in POINTS.items()
    ]


def test_a_point_that_is_not_armed_costs_nothing() -> None:
    """Little more than a call: what a function that does nothing takes, in the same minute."""

    def nothing(name: str) -> None:
        del name

    def least(function: Callable[[str], None]) -> float:
        # The least of many: everything else that the machine does only adds to it.
        calls = timeit.repeat(lambda: function("claim.committed"), number=20_000, repeat=10)
        return min(calls)

    rounds = [(least(failpoint), least(nothing)) for _ in range(5)]
    assert min(one for one, _ in rounds) < 2 * min(other for _, other in rounds)


@pytest.mark.parametrize("more", [{}, {"NOTIFY_SOCKET": "/run/systemd/notify"}])
def test_arming_is_refused_outside_tests(tmp_path: Path, more: dict[str, str]) -> None:
    if more:
        (tmp_path / MARKER).touch()
    with pytest.raises(SceauError, match=VARIABLE) as refused:
        refuse_outside_tests({VARIABLE: str(tmp_path), **more})
    assert refused.value.hint
    refuse_outside_tests(more)


def test_serve_does_not_start_where_the_folder_is_not_for_tests(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "serve", "--config", str(tmp_path / "none.toml")],
        env={**os.environ, VARIABLE: str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "SCEAU_FAILPOINTS is set, which makes the gateway kill itself" in done.stderr
    assert "Traceback" not in done.stderr


def passing(folder: Path, *names: str, words: str = "") -> subprocess.Popen[str]:
    """A process that passes these points in order and says each when it is past."""
    code = (
        "from gateway.failpoint import failpoint\n"
        f"for name in {names!r}:\n"
        "    try:\n        failpoint(name)\n"
        "    except OSError as error:\n        print('raised', error.errno, flush=True)\n"
        "    print(name, flush=True)\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *words.split()],
        env={**os.environ, VARIABLE: str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def points(tmp_path: Path) -> Path:
    (tmp_path / MARKER).touch()
    return tmp_path


def test_the_process_dies_at_the_pass_that_was_ordered_counted_over_all(points: Path) -> None:
    (points / "seal.signed").write_text("kill 3")
    first = passing(points, "seal.signed", "seal.encrypted", "seal.signed")
    assert (first.communicate()[0].split(), first.returncode) == (
        ["seal.signed", "seal.encrypted", "seal.signed"],
        0,
    )
    second = passing(points, "seal.signed", "seal.encrypted")
    begun = time.time()
    assert (second.communicate()[0], second.returncode) == ("", -signal.SIGKILL)
    action, pid, at = (points / "seal.signed.fired").read_text().split()
    assert (action, int(pid)) == ("kill", second.pid)
    assert begun - 60 < float(at) < time.time()
    # Once only: whoever is started in its place goes on.
    third = passing(points, "seal.signed")
    assert (third.communicate()[0].split(), third.returncode) == (["seal.signed"], 0)


def test_only_the_process_that_is_meant(points: Path) -> None:
    (points / "commit.before").write_text("kill 1 intake")
    other = passing(points, "commit.before", words="worker")
    meant = passing(points, "commit.before", words="intake")
    assert (other.communicate()[0].split(), other.returncode) == (["commit.before"], 0)
    assert (meant.communicate()[0], meant.returncode) == ("", -signal.SIGKILL)


def test_an_error_is_raised_once(points: Path) -> None:
    (points / "claim.committed").write_text("raise")
    said = passing(points, "claim.committed", "claim.committed").communicate()[0].splitlines()
    assert said == [f"raised {errno.EIO}", "claim.committed", "claim.committed"]


def test_a_process_stands_still_until_it_is_let_go(points: Path) -> None:
    (points / "claim.committed").write_text("pause")
    process = passing(points, "claim.committed")
    fired = points / "claim.committed.fired"
    deadline = time.monotonic() + 30
    while not fired.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.poll() is None
    fired.unlink()
    assert process.communicate()[0].split() == ["claim.committed"]
