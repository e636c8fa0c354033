"""Working keys: one a day for all processes, durable before use, gone when destroyed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from archive.errors import NotMine, WorkingKeyTrouble
from archive.seal import open_content
from archive.working import WorkingKeys, WorkingUnwrapper, erase_wraps, settled_days
from tests.unit.archive_world import MOMENT, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


def test_one_key_a_day_and_another_tomorrow(tmp_path: Path) -> None:
    keys = WorkingKeys(tmp_path / "w")
    today = keys.current(MOMENT)
    assert keys.current(MOMENT + timedelta(hours=4)).id == today.id
    assert WorkingKeys(tmp_path / "w").current(MOMENT).id == today.id
    tomorrow = keys.current(MOMENT + timedelta(days=1))
    assert keys.ids() == [today.id, tomorrow.id]
    assert keys.get(today.id) == today
    assert (tmp_path / "w").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "w").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_many_processes_at_midnight_agree_on_one_key(tmp_path: Path) -> None:
    program = (
        "import sys, datetime, pathlib; from archive.working import WorkingKeys\n"
        "keys = WorkingKeys(pathlib.Path(sys.argv[1])); sys.stdin.readline()\n"
        "print(keys.current(datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)).id)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "w")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    ids = {process.communicate(timeout=60)[0].strip() for process in running}
    assert len(ids) == 1
    assert ids.pop().startswith("2026-11-22-")
    assert [path.name for path in (tmp_path / "w").iterdir()] == ["2026-11-22.key"]


def test_the_key_is_on_disk_before_it_is_used(tmp_path: Path) -> None:
    """Killed at any system call, the folder holds no key or the whole key (strace injects)."""
    program = (
        "import sys, datetime, pathlib; from archive.working import WorkingKeys\n"
        "keys = WorkingKeys(pathlib.Path(sys.argv[1]))\n"
        "print(keys.current(datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)).id, flush=True)"
    )
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-o", str(trace), "-e", "trace=fsync,link,linkat,write"]
    command += [sys.executable, "-c", program, str(tmp_path / "w")]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    sync_file = next(
        i for i, call in enumerate(calls) if call.startswith("fsync") and ".new-" in call
    )
    link = next(i for i, call in enumerate(calls) if call.startswith("link") and "22.key" in call)
    sync_folder = next(
        i for i, call in enumerate(calls) if call.startswith("fsync") and "/w>" in call
    )
    said = next(i for i, call in enumerate(calls) if call.startswith("write(1<"))
    assert sync_file < link < sync_folder < said


@pytest.mark.parametrize(
    "fatal", ["fsync:when=1", "fsync:when=2", "link,linkat:when=1", "unlink:when=1"]
)
def test_a_kill_while_the_key_is_made_leaves_a_usable_folder(tmp_path: Path, fatal: str) -> None:
    program = (
        "import sys, datetime, pathlib; from archive.working import WorkingKeys\n"
        "WorkingKeys(pathlib.Path(sys.argv[1])).current("
        "datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC))"
    )
    call, when = fatal.split(":")
    command = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:{when}"]
    command += [sys.executable, "-B", "-c", program, str(tmp_path / "w")]
    killed = subprocess.run(command, capture_output=True, timeout=60)
    assert killed.returncode != 0
    keys = WorkingKeys(tmp_path / "w")
    moment = MOMENT + timedelta(days=1)
    assert keys.get(keys.current(moment).id) is not None
    assert WorkingKeys(tmp_path / "w").current(moment) == keys.current(moment)


def test_a_destroyed_key_opens_nothing_in_any_process(tmp_path: Path, world: World) -> None:
    sealed = world.seal()
    other_process = WorkingKeys(tmp_path / "working")
    assert other_process.get(sealed.working.holder)
    assert world.working.destroy(sealed.working.holder)
    assert not world.working.destroy(sealed.working.holder)
    assert other_process.get(sealed.working.holder) is None
    with pytest.raises(NotMine, match="destroyed"):
        open_content(sealed, world.gateway)
    assert open_content(sealed, world.authority)
    assert list((tmp_path / "working").iterdir()) == []


def test_mail_of_a_day_that_comes_back_can_be_opened(tmp_path: Path) -> None:
    """A clock that ran ahead is put back: the keeper has destroyed the key of the day by then."""
    intake, keeper = WorkingKeys(tmp_path / "w"), WorkingKeys(tmp_path / "w")
    destroyed = intake.current(MOMENT)
    intake.current(MOMENT + timedelta(days=1))
    assert keeper.destroy(destroyed.id)
    again = intake.current(MOMENT)
    wrap = again.wrap("id", bytes(32))
    assert WorkingUnwrapper(WorkingKeys(tmp_path / "w")).unwrap("id", wrap) == bytes(32)


def test_a_kill_while_destroying_is_finished_at_the_next_start(tmp_path: Path) -> None:
    keys = WorkingKeys(tmp_path / "w")
    keys.current(MOMENT)
    (tmp_path / "w" / "2026-11-21.key").rename(tmp_path / "w" / ".dying-2026-11-21")
    assert WorkingKeys(tmp_path / "w").ids() == []
    assert list((tmp_path / "w").iterdir()) == []


def test_a_day_is_settled_when_it_is_over_and_its_last_wrap_is_erased(world: World) -> None:
    first, second, third = world.fill(3)
    key = world.working.current(MOMENT)
    tomorrow = MOMENT + timedelta(days=1)
    with world.database.write() as conn:
        assert erase_wraps(conn, [first, second]) == 2
        assert settled_days(conn, world.working, tomorrow) == []
        assert erase_wraps(conn, [first, third]) == 1
        assert settled_days(conn, world.working, MOMENT) == []
        just_after_midnight = MOMENT.replace(hour=0, minute=30) + timedelta(days=1)
        assert settled_days(conn, world.working, just_after_midnight) == []
        assert settled_days(conn, world.working, tomorrow) == [key.id]
    assert world.verify().status == "valid"


def test_a_folder_open_to_others_or_a_torn_key_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    keys = WorkingKeys(folder)
    keys.current(MOMENT)
    (folder / "2026-11-21.key").write_bytes(b"short")
    with pytest.raises(WorkingKeyTrouble, match="broken"):
        WorkingKeys(folder).current(MOMENT)
    folder.chmod(0o755)
    with pytest.raises(WorkingKeyTrouble, match="chmod 700"):
        WorkingKeys(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkingKeyTrouble):
        WorkingKeys(tmp_path / "file")


def test_nonsense_ids_are_simply_not_there(tmp_path: Path) -> None:
    keys = WorkingKeys(tmp_path / "w")
    for key_id in ("", "../../etc/passwd", "2026-13-99-0123456789abcdef", "x" * 500):
        assert keys.get(key_id) is None
        assert keys.destroy(key_id) is False
