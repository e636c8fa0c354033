"""`sceau queue` and `sceau archive` as the person on duty uses them: outputs and exit codes."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.demo.sink import Rules, write_rules
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, Scene, mail, until

pytestmark = pytest.mark.flow

REVOKED = "carole.revoquee@justice.example"
ABSENT = "0" * 32
WORD = "perlimpinpin"


@pytest.fixture(scope="module")
def held(ministry: Scene) -> str:
    """A mail that is held for one recipient and delivered to the other."""
    archive_id = ministry.accepted(mail(WORD, to=f"{REVOKED}>, <{AMELIE}"), REVOKED, AMELIE)
    ministry.wait_arrived(archive_id)
    ministry.wait_state(archive_id, REVOKED, "held")
    return archive_id


@pytest.fixture(scope="module", autouse=True)
def _quiet(ministry: Scene) -> Iterator[None]:
    yield
    assert ministry.faults() == []


def _text(scene: Scene, *arguments: str, code: int = 0) -> tuple[str, str]:
    done = scene.sceau(*arguments)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, (out, err)
    assert "Traceback" not in out + err
    assert "internal fault" not in err
    return out, err


# -- the queue ------------------------------------------------------------------------------------


def test_the_queue_is_listed_for_people_and_for_programs(ministry: Scene, held: str) -> None:
    out, _ = _text(ministry, "queue", "list", "--recipient", REVOKED.upper())
    heading, *rows = out.splitlines()
    assert heading.split()[:4] == ["id", "accepted", "sender", "recipient"]
    (row,) = [row for row in rows if row.startswith(held)]
    assert "held" in row
    assert "was revoked on" in row

    lines = ministry.json("queue", "list", "--state", "held", "--recipient", REVOKED)
    (line,) = [line for line in lines if line["id"] == held]
    assert line["sender"] == JEANNE
    assert line["reason"]["code"] == "revocation.revoked"
    assert line["in_work"] is False
    assert all(one["state"] == "held" for one in lines)
    assert not ministry.json("queue", "list", "--recipient", AMELIE)
    assert len(ministry.json("queue", "list", "--state", "delivered", "--limit", "1")) == 1


def test_a_message_is_shown_with_its_decisions(ministry: Scene, held: str) -> None:
    out, _ = _text(ministry, "queue", "show", held)
    assert f"Decision for {AMELIE}:" in out
    assert "rule: partners" in out

    lines = ministry.queue(held)
    assert lines[AMELIE]["decision"]["outcome"] == "encrypted"
    assert lines[AMELIE]["decision"]["certificate"]["sha256"]
    assert lines[REVOKED]["decision"]["outcome"] == "held"


def test_bounced_mail_is_told_to_the_sender(ministry: Scene) -> None:
    archive_id = ministry.accepted(mail("Rien ne va.", to=REVOKED), REVOKED)
    ministry.wait_state(archive_id, REVOKED, "held")
    for verb in ("retry", "hold"):
        _, err = _text(ministry, "queue", verb, archive_id, code=1)
        assert err == (
            f"sceau queue: {archive_id}: no recipient is in the state queued; it is held: "
            f"sceau queue release {archive_id} lets it be decided anew\n"
        )

    out, err = _text(ministry, "queue", "bounce", ABSENT, archive_id, "--reason", "partie", code=1)

    assert out == f"{archive_id}: given up\n", "one that is not there stops no other"
    assert err == f"sceau queue: there is no message {ABSENT} in the queue\n"
    delivery, notice = ministry.wait_notice(archive_id)
    assert delivery.rcpt_to == (JEANNE,)
    assert b"Rien ne va" not in notice
    assert b"Action: failed" in notice
    failed, notified = ministry.history(archive_id)[-2:]
    assert (notified["kind"], notified["fields"]["event"]) == ("notified", "failed")
    assert (failed["kind"], failed["fields"]["by"]) == ("failed", getpass.getuser())
    assert "partie" in failed["fields"]["reason"]
    _, err = _text(ministry, "queue", "release", archive_id, code=1)
    assert "no recipient is in the state held" in err


def test_queued_mail_is_held_let_go_and_tried_again(ministry: Scene) -> None:
    busy = "plein@dehors.example"
    sink = ministry.stage.sink.folder
    write_rules(sink, Rules(rcpt={busy: "450 4.2.1 boite pleine"}))
    try:
        archive_id = ministry.accepted(mail(to=busy), busy)
        ministry.wait_reason(archive_id, busy, "delivery.deferred")
        _text(ministry, "queue", "hold", archive_id, "--reason", "sur ordre")
        line = ministry.queue(archive_id)[busy]
        assert (line["state"], line["next_attempt"]) == ("held", None)
        assert line["reason"]["text"] == f"held by {getpass.getuser()}: sur ordre"
        # Released, it is decided and sealed anew, tried again, and waits for its next time.
        assert ministry.json("queue", "release", archive_id) == [
            {"id": archive_id, "done": "release"}
        ]
        line = ministry.wait_reason(archive_id, busy, "delivery.deferred")
        assert line["state"] == "queued"
        # Before the next hop has room: then its next time would come by itself, before ours or not.
        assert ministry.json("queue", "retry", archive_id) == [{"id": archive_id, "done": "retry"}]
    finally:
        write_rules(sink, Rules())
    ((_, file),) = ministry.wait_arrived(archive_id)
    assert ministry.opened(file, None).signer == ministry.credential(JEANNE).der
    ministry.wait_state(archive_id, busy, "delivered")
    kinds = [entry["kind"] for entry in ministry.history(archive_id)]
    assert [kind for kind in kinds if kind != "deferred"] == [
        "accepted", "sealed", "held", "released", "sealed", "retried", "delivered",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["queue", "show", ABSENT], 1, f"there is no message {ABSENT} in the queue"),
        (["queue", "release", ABSENT], 1, f"there is no message {ABSENT} in the queue"),
        (["queue", "list", "--state", "lost"], 2, "lost is not a state"),
        (["queue", "list", "--limit", "-1"], 2, "-1 is not a number from 1 on"),
        (["queue", "bounce"], 2, "is missing"),
        (["archive", "history", ABSENT], 1, f"the archive has no entry {ABSENT}"),
        (["archive", "search", "x"], 2, "--case is missing"),
        (["archive", "search", "x", "--case", " "], 2, "named case"),
        (["archive", "search", "subject:(", "--case", "1"], 2, ""),
        (["archive", "search", "x", "--case", "1", "--limit", "0"], 2, "0 is not a number"),
        (["archive", "verify", "--open"], 2, "--open needs --key and --case"),
        (["archive", "verify", "--since", "999999999"], 3, ""),
    ],
)
def test_what_cannot_be_answered(
    ministry: Scene, arguments: list[str], code: int, words: str
) -> None:
    _, err = _text(ministry, *arguments, code=code)
    assert words in err


# -- the archive ----------------------------------------------------------------------------------


def test_a_search_finds_and_is_logged(ministry: Scene, held: str) -> None:
    assert ministry.house.wait_indexed(seconds=120)
    # Whoever runs it is logged by account: a name in the environment counts nothing.
    liar = replace(ministry.house, environment={"LOGNAME": "mallory", "USER": "mallory"})

    done = liar.run("archive", "search", WORD, "--case", "AZ 7/26")

    assert held in done.stdout.decode()
    searched = _newest(ministry, "searched")
    assert searched["reader"] == getpass.getuser() != "mallory"
    assert (searched["case"], searched["query"]) == ("AZ 7/26", WORD)
    hits = ministry.json("archive", "search", f'"{WORD}"', "--case", "1")
    assert [hit["id"] for hit in hits] == [held]


def test_a_mail_is_given_back_and_the_reading_is_logged(
    ministry: Scene, held: str, tmp_path: Path
) -> None:
    target = tmp_path / "mail.eml"
    content = mail("À lire.", to=BASTIEN)
    archive_id = ministry.accepted(content, BASTIEN)
    show = ("archive", "show", archive_id, "--case", "9", "--key")
    key = str(ministry.house.authority_key)

    _text(ministry, *show, key, "--out", str(target))
    piped = ministry.sceau(*show, key).stdout

    assert target.read_bytes() == piped == content
    assert target.stat().st_mode & 0o077 == 0
    reads = [entry for entry in ministry.history(archive_id) if entry["kind"] == "read"]
    assert [entry["fields"]["case"] for entry in reads] == ["9", "9"]
    assert reads[0]["fields"]["reader"] == getpass.getuser()
    _, err = _text(ministry, *show, key, "--out", str(target), code=2)
    assert "exists already and is not overwritten" in err
    seal = ministry.stage.world.interieur.seal
    assert seal is not None
    _, err = _text(ministry, *show, str(seal.key_file), code=2)
    assert str(seal.key_file) in err, "no key of the archive, and the message names it"


@pytest.mark.parametrize("what", ["search", "show"])
def test_nothing_is_shown_when_the_log_cannot_be_written(
    ministry: Scene, held: str, what: str
) -> None:
    """A disk without space, as the kernel shows it to this process: it can read, not write."""
    house = ministry.house
    arguments = {
        "search": ["search", WORD, "--case", "1"],
        "show": ["show", held, "--case", "1", "--key", str(house.authority_key)],
    }[what]
    command = [sys.executable, "-m", "gateway.cli", "archive", *arguments]
    command += ["--config", str(house.config)]

    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 0; exec "$@"', "bash", *command],
        capture_output=True,
        check=False,
    )

    assert done.returncode == 3, done.stderr
    assert done.stdout == b""
    assert done.stderr.startswith(b"sceau archive: the database cannot be used: ")
    assert WORD.encode() not in done.stderr


def test_the_history_tells_what_was_done(ministry: Scene, held: str) -> None:
    out, _ = _text(ministry, "archive", "history", held)
    assert "accepted" in out
    assert f"envelope.to.000000: {REVOKED}" in out
    # What the README promises: which rule decided, with which certificate, trusted by what.
    assert re.search(r"outcome: encrypted\n +rule: \S+", out)
    assert re.search(r"certificate:\n +anchor: justice", out)
    history = ministry.history(held)
    assert [entry["kind"] for entry in history][:3] == ["accepted", "held", "sealed"]
    accepted = history[0]["fields"]
    assert json.loads(accepted["sender.proof"])["relay"] == "postfix"
    delivered = next(entry for entry in history if entry["kind"] == "delivered")
    assert "250 2.0.0 stored" in delivered["fields"]["reply"]


def test_an_untouched_archive_is_valid_and_opens(ministry: Scene, held: str) -> None:
    out, _ = _text(ministry, "archive", "verify")
    assert "valid: " in out
    (report,) = ministry.json(
        "archive", "verify", "--open", "--key", str(ministry.house.authority_key), "--case", "3"
    )
    assert report["status"] == "valid"
    assert report["opened"]
    assert _newest(ministry, "read")["what"] == "verify --open"


@pytest.mark.parametrize(
    ("table", "column", "key"),
    [
        ("log_entries", "entry", "archive_id"),
        ("log_payloads", "payload", "commitment"),
        ("log_contents", "sealed", "archive_id"),
    ],
)
def test_one_flipped_bit_is_found_and_its_entry_named(
    ministry: Scene, held: str, tmp_path: Path, table: str, column: str, key: str
) -> None:
    copied = _copied(ministry, tmp_path)
    first = ministry.history(held)[0]
    value = held if key == "archive_id" else first["commitment"]
    with closing(sqlite3.connect(copied.house.folder / "data" / "sceau.db")) as database, database:
        (data,) = database.execute(
            f"SELECT {column} FROM {table} WHERE {key} = ? ORDER BY 1 LIMIT 1", (value,)
        ).fetchone()
        flipped = bytearray(data)
        flipped[len(flipped) // 2] ^= 1
        changed = database.execute(
            f"UPDATE {table} SET {column} = ? WHERE {key} = ? AND {column} = ?",
            (bytes(flipped), value, data),
        )
        assert changed.rowcount == 1
        if table == "log_entries":
            (index,) = database.execute(
                "SELECT entry_index FROM log_entries WHERE entry = ?", (bytes(flipped),)
            ).fetchone()
        else:
            index = first["index"]

    out, _ = _text(copied, "archive", "verify", code=1)

    assert f"First damaged entry: {index}\n" in out
    assert "invalid: " in out


def test_a_search_without_an_index_cannot_tell(ministry: Scene, tmp_path: Path) -> None:
    copied = _copied(ministry, tmp_path)  # nobody indexes there

    _, err = _text(copied, "archive", "search", WORD, "--case", "1", code=3)

    assert "index" in err


def _copied(scene: Scene, folder: Path) -> Scene:
    """The installation as it is now, with its database and without its index."""
    source = scene.house.folder
    target = folder / "copy"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("data", "*.log"))
    (target / "data").mkdir()
    with (
        closing(sqlite3.connect(source / "data" / "sceau.db")) as original,
        closing(sqlite3.connect(target / "data" / "sceau.db")) as copy,
    ):
        original.backup(copy)
    return Scene(scene.stage, replace(scene.house, folder=target, process=None))


def _newest(scene: Scene, kind: str) -> dict[str, str]:
    """Fields of the newest entry of this kind. Its id no command tells, so the table is asked."""
    file = scene.house.folder / "data" / "sceau.db"
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        ids = database.execute("SELECT archive_id FROM log_entries ORDER BY entry_index DESC")
        for (archive_id,) in ids:
            for entry in reversed(scene.history(archive_id)):
                if entry["kind"] == kind:
                    return dict(entry["fields"])
    raise AssertionError(f"no entry of kind {kind}")


def test_a_pipe_that_closes_early_is_no_error(ministry: Scene, held: str) -> None:
    house = ministry.house
    command = [sys.executable, "-m", "gateway.cli", "queue", "list", "--config", str(house.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    until(lambda: process.poll() is not None, 20, lambda: "still there")
