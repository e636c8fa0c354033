"""Whatever a message does to the worker that reads it, it gets an answer, and nobody else pays."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import CannotTell
from gateway.guard import pool as pool_module
from gateway.guard.answer import Answer
from gateway.guard.budget import MEGABYTE, Budget
from gateway.guard.pool import Busy, Guarded
from gateway.guard.single import Single
from pki.errors import Problem
from tests.bombs import BOMBS
from tests.unit.guard_functions import factory

FACTORY = "tests.unit.guard_functions:factory"
# What the host takes from a virtual machine counts as processor time of whoever was at work then.
# So a little of it is given to who shall use it up, and to nobody else.
SMALL = Budget(cpu=30, memory=64 * MEGABYTE, patience=30, answer=MEGABYTE)
BRIEF = replace(SMALL, cpu=0.3)


@pytest.fixture(scope="module")
def single() -> Iterator[Single]:
    with Single(factory({"config": 1}), SMALL) as worker:
        yield worker


@pytest.fixture(scope="module")
def brief() -> Iterator[Single]:
    with Single(factory({}), BRIEF) as worker:
        yield worker


@pytest.fixture(scope="module")
def pool() -> Iterator[Guarded]:
    with Guarded(FACTORY, {"config": 1}, workers=2, budget=SMALL) as guarded:
        yield guarded


def _value(found: Answer | Problem) -> dict[str, Any]:
    assert isinstance(found, Answer), found
    return dict(found.value)


def _code(found: Answer | Problem) -> str:
    assert isinstance(found, Problem), found
    assert "{" not in found.text
    return found.code


def _until_gone(*pids: int) -> None:
    """Wait until these processes have ended: nobody, or a zombie that nobody waits for yet."""
    deadline = time.monotonic() + 60
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.01)


def _until(condition: Callable[[], object]) -> None:
    """Wait until another thread has come so far."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


HOSTILE: list[tuple[dict[str, Any], str, str]] = [
    ({"do": "allocate_at_once", "megabytes": 150}, "limits.memory", "64 MB"),
    ({"do": "allocate_at_once", "megabytes": 3000}, "limits.memory", "64 MB"),
    ({"do": "hide_memory_error"}, "limits.memory", "64 MB"),
    ({"do": "recurse"}, "limits.depth", "nested too deeply"),
    ({"do": "segfault"}, "limits.crash", "SIGSEGV"),
    ({"do": "abort"}, "limits.crash", "SIGABRT"),
    ({"do": "exit"}, "limits.crash", "exit 3"),
    ({"do": "system_exit"}, "limits.internal", "SystemExit"),
    ({"do": "fault"}, "limits.internal", "KeyError, tests/unit/guard_functions.py:"),
    ({"do": "no_json"}, "limits.internal", "TypeError"),
    ({"do": "too_much", "megabytes": 2}, "limits.answer", "1 MB"),
]


@pytest.mark.parametrize(("about", "code", "text"), HOSTILE, ids=lambda value: str(value)[:40])
def test_what_no_message_may_do(
    single: Single, about: dict[str, Any], code: str, text: str
) -> None:
    found = single.run(b"secret", about)

    assert _code(found) == code
    assert isinstance(found, Problem)
    assert text in found.text
    assert "secret" not in found.text  # what an exception says may quote the message
    assert _value(single.run(b"abc"))["sha256"] == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("act", ["spin", "spin_in_c"])
def test_no_message_may_take_the_processor(brief: Single, act: str) -> None:
    found = brief.run(b"secret", {"do": act})

    assert _code(found) == "limits.cpu"
    assert isinstance(found, Problem)
    assert "0.3 s" in found.text
    assert "secret" not in found.text
    assert _value(brief.run(b"abc"))["sha256"] == hashlib.sha256(b"abc").hexdigest()


def test_memory_held_between_two_looks_counts(
    single: Single, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that takes a MemoryError for damage must not pass its finding for the mail's."""
    monkeypatch.setattr("gateway.guard.outside._LOOK", 60_000)

    assert _code(single.run(b"", {"do": "hide_memory_error"})) == "limits.memory"
    assert _code(single.run(b"", {"do": "allocate_at_once", "megabytes": 70})) == "limits.memory"
    assert _value(single.run(b"", {"do": "allocate_at_once", "megabytes": 50})) == {
        "size": 50 * MEGABYTE
    }


def test_28_kb_that_make_readers_recurse() -> None:
    bomb = BOMBS["28 kB that make readers recurse"]()
    with Single(factory({}), Budget(cpu=30)) as single:
        assert _code(single.run(bomb, {"do": "parse_and_write"})) == "limits.depth"


def test_many_small_objects_are_memory_too() -> None:
    with Single(factory({}), Budget(cpu=30, memory=32 * MEGABYTE)) as single:
        assert _code(single.run(b"", {"do": "allocate"})) == "limits.memory"


@pytest.mark.parametrize("act", ["sleep", "stop"])
def test_who_neither_works_nor_ends_is_ended(act: str) -> None:
    with Single(factory({}), Budget(cpu=0.2, patience=1)) as single:
        began = time.monotonic()
        assert _code(single.run(b"", {"do": act})) == "limits.time"
        assert 0.2 <= time.monotonic() - began < 30  # asleep it would be for 1000


def test_a_large_message_may_take_longer() -> None:
    budget = Budget(cpu=0.1, cpu_per_megabyte=0.3, patience=100)
    with Single(factory({}), budget) as single:
        found = single.run(bytes(MEGABYTE), {"do": "spin"})
    assert isinstance(found, Problem)
    assert (found.code, found.facts) == ("limits.cpu", {"seconds": "0.4"})


def test_what_a_library_prints_is_not_taken_for_an_answer(
    single: Single, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _value(single.run(b"", {"do": "chatter"})) == {"said": True}
    assert capfd.readouterr() == ("", "")


def test_octets_come_back_beside_the_answer(single: Single) -> None:
    data = os.urandom(3_000_000)
    found = single.run(data, {"do": "echo"})
    assert isinstance(found, Answer)
    assert found.octets == data


@pytest.mark.parametrize(
    "act",
    [
        {"do": "lie", "octets": "ff" * 12},
        {"do": "lie", "octets": "00000002" + "ff" * 8 + "7b7d"},
        {"do": "lie", "say": "[1]"},
        {"do": "lie", "say": '{"answer": 1}'},
        {"do": "lie", "say": '{"over": "x"}'},
        {"do": "lie", "say": "[" * 100_000},
        {"do": "lie", "say": "1" * 100_000},
        {"do": "lie", "say": "\udcff"},
    ],
    ids=lambda act: str(act)[:40],
)
def test_a_worker_that_is_taken_over_can_say_data_only(single: Single, act: dict[str, Any]) -> None:
    assert _code(single.run(b"", act)) in ("limits.crash", "limits.answer")


def test_a_hundred_megabytes_lie_in_the_worker_once() -> None:
    data = bytes(100_000_000)
    with Single(factory({}), Budget(memory=32 * MEGABYTE, copies=1)) as single:
        assert _value(single.run(data))["sha256"] == hashlib.sha256(data).hexdigest()
        assert _value(single.run(data))["sha256"] == hashlib.sha256(data).hexdigest()
    with Single(factory({}), Budget(memory=32 * MEGABYTE, copies=0.5)) as single:
        assert _code(single.run(data)) == "limits.memory"


def test_children_end_with_their_worker() -> None:
    if os.geteuid() == 0:
        with Single(factory({}), SMALL) as single:
            child = _value(single.run(b"", {"do": "fork"}))["child"]
            assert _lives(child)
        _until_gone(child)
    else:  # the kernel refuses it
        with Single(factory({}), SMALL) as single:
            assert _code(single.run(b"", {"do": "fork"})) == "limits.internal"


def test_a_child_that_lives_on_does_not_hide_a_death(single: Single) -> None:
    """It holds the socket of its parent, which so never comes to its end."""
    found = single.run(b"", {"do": "leave_child"})
    assert _code(found) == ("limits.crash" if os.geteuid() == 0 else "limits.internal")


def test_no_file_grows(single: Single, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert _code(single.run(b"", {"do": "open_file", "file": str(file)})) == "limits.internal"
    assert file.stat().st_size == 0


def test_an_interrupted_question_leaves_no_answer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    with Single(factory({}), SMALL) as single:
        first = _value(single.run(b"one"))
        worker = single._worker
        assert worker is not None

        def interrupted() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(worker, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            single.run(b"two")
        third = _value(single.run(b"three"))
        assert third["sha256"] == hashlib.sha256(b"three").hexdigest()
        assert third["pid"] != first["pid"]


# -- pools ---------------------------------------------------------------------------------------


def test_a_pool_passes_configuration_and_question(pool: Guarded) -> None:
    value = _value(pool.run(b"abc", {"moment": "2026-11-21T00:00:00Z"}))
    assert value["sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert (value["config"], value["moment"]) == (1, "2026-11-21T00:00:00Z")
    assert value["pid"] in pool.pids()


def test_a_pool_shuts_its_workers_in(pool: Guarded, tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert _code(pool.run(b"", {"do": "open_file", "file": str(file)})) == "limits.internal"
    assert _code(pool.run(b"", {"do": "open_socket"})) == "limits.internal"
    assert not file.exists()


def test_charsets_are_there_though_no_file_can_be_opened(pool: Guarded) -> None:
    for charset in ("koi8_u", "gb18030", "mac_roman", "utf_16", "iso2022_jp", "cp437"):
        found = pool.run("abc".encode(charset), {"do": "charset", "charset": charset})
        assert _value(found)["text"] == "abc"


def test_who_dies_is_replaced() -> None:
    with Guarded(FACTORY, {}, budget=BRIEF) as pool:
        before = _value(pool.run(b""))["pid"]
        assert _code(pool.run(b"", {"do": "segfault"})) == "limits.crash"
        assert _code(pool.run(b"", {"do": "spin"})) == "limits.cpu"
        after = _value(pool.run(b""))["pid"]
        os.kill(after, signal.SIGKILL)  # as the OOM killer does, while it waits for work
        _until_gone(after)
        last = _value(pool.run(b""))["pid"]
        assert len({before, after, last}) == 3
        assert pool.pids() == {last}
    _until_gone(before, after, last)


def test_workers_are_replaced_before_they_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "REQUESTS", 2)
    with Guarded(FACTORY, {}, budget=SMALL) as pool:
        pids = [_value(pool.run(b""))["pid"] for _ in range(5)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


def test_workers_that_grow_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "GROWTH", 10 * MEGABYTE)
    with Guarded(FACTORY, {}, budget=SMALL) as pool:
        pids = [_value(pool.run(b"", {"do": "leak"}))["pid"] for _ in range(4)]
    assert pids[0] == pids[1] == pids[2] != pids[3]


def test_a_thousand_messages_go_through_one_worker(single: Single) -> None:
    data = os.urandom(4000)
    began = time.monotonic()
    pids = {_value(single.run(data))["pid"] for _ in range(1000)}
    took = time.monotonic() - began
    assert len(pids) == 1
    assert took < 30, "0.2 s on an idle machine"


def test_one_that_spins_does_not_delay_the_others() -> None:
    """On a worker of their own; whatever else the machine does, the best of ten counts."""
    with Guarded(FACTORY, {}, workers=2, budget=BRIEF) as pool:
        delays = _delays(pool)
    assert min(delays) < 0.1, delays


def _delays(pool: Guarded) -> list[float]:
    """Seconds that the slowest of fifty waited longer than before, until it was little."""
    _value(pool.run(b""))

    def slowest(number: int) -> float:
        worst = 0.0
        for _ in range(number):
            began = time.monotonic()
            _value(pool.run(b"abc"))
            worst = max(worst, time.monotonic() - began)
        return worst

    delays: list[float] = []
    while len(delays) < 10 and min(delays, default=1) >= 0.1:
        quiet = slowest(50)
        bomb = threading.Thread(target=pool.run, args=(b"", {"do": "spin"}))
        bomb.start()
        delays.append(slowest(50) - quiet)
        bomb.join()
        while len(pool.pids()) < 2:
            time.sleep(0.01)
    return delays


def test_waiting_is_bounded() -> None:
    with Guarded(FACTORY, {}, budget=Budget(cpu=100), waiting=1) as pool:
        worker = _value(pool.run(b""))["pid"]
        held = threading.Thread(target=pool.run, args=(b"", {"do": "sleep"}))
        held.start()
        _until(lambda: not pool._idle)
        began = time.monotonic()
        with pytest.raises(Busy):
            pool.run(b"", wait=0.3)
        assert 0.3 <= time.monotonic() - began < 30  # and the one before it sleeps for 1000

        in_line = threading.Thread(target=pool.run, args=(b"",), kwargs={"wait": 100})
        in_line.start()
        _until(lambda: pool._waiting == 1)
        with pytest.raises(Busy, match="enough callers"):
            pool.run(b"")
        os.kill(worker, signal.SIGKILL)
        held.join()
        in_line.join()


def test_an_event_loop_may_ask(pool: Guarded) -> None:
    async def ask() -> list[Answer | Problem]:
        return list(
            await asyncio.gather(*(asyncio.to_thread(pool.run, bytes([n])) for n in range(20)))
        )

    found = [_value(one)["sha256"] for one in asyncio.run(ask())]
    assert found == [hashlib.sha256(bytes([n])).hexdigest() for n in range(20)]


def test_a_function_that_cannot_be_set_up_is_said() -> None:
    with (
        Guarded("tests.unit.guard_functions:broken", {"thing": "a key"}) as pool,
        pytest.raises(CannotTell, match="ValueError: no such thing as a key"),
    ):
        pool.run(b"")


def test_a_pool_that_is_closed_gives_no_verdict() -> None:
    pool = Guarded(FACTORY, {}, budget=SMALL)
    _value(pool.run(b""))
    errors: list[Exception] = []

    def ask() -> None:
        try:
            pool.run(b"", {"do": "sleep"})
        except CannotTell as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    _until(lambda: not pool._idle)
    pool.close()
    asking.join(60)
    assert len(errors) == 1
    with pytest.raises(CannotTell):
        pool.run(b"")


_PARENT = """
import sys, threading, time
from gateway.guard.budget import Budget
from gateway.guard.pool import Guarded
from gateway.guard.single import Single
from tests.bombs import BOMBS
from tests.unit.guard_functions import factory

single = Single(factory({}), Budget(cpu=1000))
one = single.run(b"").value["pid"]
pool = Guarded("tests.unit.guard_functions:factory", {}, workers=2, budget=Budget(cpu=1000))
pool.run(b"")
while len(pool.pids()) < 2:
    time.sleep(0.01)
for act in ("sleep", "spin"):
    threading.Thread(target=pool.run, args=(b"", {"do": act})).start()
threading.Thread(target=single.run, args=(b"", {"do": "stop"})).start()
time.sleep(0.3)
print(one, *pool.pids(), flush=True)
time.sleep(1000)
"""


def test_workers_do_not_outlive_who_asks_them() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        assert all(_lives(pid) for pid in pids)
        parent.kill()
    _until_gone(*pids)
