"""What an operator sees of mail on its way: log lines, numbers, the queue, check."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from gateway import running
from gateway.database import open_database
from gateway.demo.client import Letter, send
from gateway.demo.house import children_of
from gateway.demo.pki import P12_PASSWORD, Keys
from gateway.demo.process import free_port
from gateway.demo.sink import Rules, write_rules
from gateway.queue.models import messages
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, NOBODY, Scene, mail, until

pytestmark = pytest.mark.flow

# Words that must never be seen outside the mail they are in.
SUBJECT, BODY = "Zanzibarquartz", "Klabautermannwort"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Scene]:
    with stage(tmp_path_factory.mktemp("seeing"), keys=keys) as made:
        house = made.house(retry='["1s"]', workers=1).make()
        text = house.config.read_text()
        house.config.write_text(text + f"\n[metrics]\nport = {free_port()}\n")
        house.start()
        yield Scene(made, house)
        assert house.stop() == 0


def numbers(scene: Scene) -> dict[str, float]:
    """Metrics without labels, and those with one label as name{value}."""
    port = re.findall(r"\[metrics\]\nport = (\d+)", scene.house.config.read_text())[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            values = ",".join(sample.labels.values())
            found[f"{sample.name}{{{values}}}" if values else sample.name] = sample.value
    return found


def lines_about(scene: Scene, archive_id: str) -> list[dict[str, Any]]:
    return [event for event in scene.house.events() if event.get("id") == archive_id]


def test_a_mail_can_be_followed_from_the_connection_to_the_delivery(scene: Scene) -> None:
    content = mail(f"{BODY} " * 20, subject=SUBJECT)
    archive_id = scene.accepted(content, AMELIE, BASTIEN)
    scene.wait_arrived(archive_id)
    until(
        lambda: sum(e["event"] == "delivered" for e in lines_about(scene, archive_id)) == 2,
        10,
        scene.house.log.read_text,
    )

    events = [str(event["event"]) for event in lines_about(scene, archive_id)]
    assert events[0] == "accepted"
    assert events.count("delivered") == 2
    assert events.index("sealed") < events.index("delivered")
    session = lines_about(scene, archive_id)[0]["session"]

    def said() -> list[object]:
        return [e["event"] for e in scene.house.events() if e.get("session") == session]

    until(lambda: "disconnected" in said(), 10, scene.house.log.read_text)
    of_session = said()
    assert of_session[:2] == ["connected", "accepted"]
    assert of_session[-1] == "disconnected"


def test_refusals_and_held_mail_have_their_lines(scene: Scene) -> None:
    refused = scene.send(mail(sender="stranger@other.example"), AMELIE, sender=JEANNE)
    assert refused.code == 550
    held = scene.accepted(mail(f"{BODY}", subject=SUBJECT, to=NOBODY), NOBODY)
    scene.wait_state(held, NOBODY, "held")
    (line,) = [e for e in scene.house.events() if e["event"] == "refused"]
    assert (line["code"], line["sender"], bool(line["session"])) == (550, JEANNE, True)

    def lines_of_held() -> list[dict[str, Any]]:
        return [e for e in lines_about(scene, held) if e["event"] == "held"]

    until(lambda: bool(lines_of_held()), 10, scene.house.log.read_text)  # after the commit
    (waits,) = lines_of_held()
    assert waits["recipient"] == NOBODY
    assert waits["code"] == scene.queue(held)[NOBODY]["reason"]["code"]

    write_rules(scene.stage.sink.folder, Rules(rcpt={AMELIE: "550 5.1.1 no such user"}))
    try:
        failed = scene.accepted(mail(f"{BODY}", subject=SUBJECT), AMELIE)
        scene.wait_notice(failed)
    finally:
        write_rules(scene.stage.sink.folder, Rules())
    (end,) = [e for e in lines_about(scene, failed) if e["event"] == "failed"]
    assert (end["status"], end["code"]) == ("5.1.1", 550)
    (notice,) = [e for e in scene.house.events() if e.get("about") == failed]
    until(
        lambda: "delivered" in [e["event"] for e in lines_about(scene, str(notice["id"]))],
        10,
        scene.house.log.read_text,
    )


def test_the_log_has_no_subject_no_content_no_password(scene: Scene) -> None:
    log = scene.house.log.read_text()
    assert "accepted" in log
    for secret in (SUBJECT, BODY, P12_PASSWORD):
        assert secret not in log
    run = scene.house.folder / "data" / "run"
    told = "".join(file.read_text() for file in run.iterdir())
    assert SUBJECT not in told
    assert run.stat().st_mode & 0o077 == 0


def test_prometheus_sees_what_the_log_says(scene: Scene) -> None:
    def agrees() -> bool:
        found, events = numbers(scene), [e["event"] for e in scene.house.events()]
        return all(
            found.get(name, 0) == events.count(event)
            for name, event in (
                ("sceau_accepted_total", "accepted"),
                ("sceau_refused_total{550}", "refused"),
                ("sceau_delivered_total{all}", "delivered"),
                ("sceau_failed_total{5.1.1}", "failed"),
                ("sceau_notices_total", "notice"),
            )
        )

    until(agrees, 10, lambda: str(numbers(scene)))
    # States may be some seconds old.
    until(lambda: numbers(scene)["sceau_queue_recipients{held}"] == 1, 10, str)
    found = numbers(scene)
    assert found["sceau_commit_seconds_count"] >= found["sceau_accepted_total"] / 8
    for role in ("intake", "worker", "keeper", "index"):
        assert found[f"sceau_process_up{{{role}}}"] == 1
    assert found["sceau_alarm{poison-held}"] == 0
    assert len([name for name in found if name.startswith("sceau_crl_next_update_seconds")]) == 4
    expiry = {name for name in found if name.startswith("sceau_certificate_expiry_seconds")}
    assert any("seal" in name for name in expiry)
    assert any("anchor" in name for name in expiry)
    assert any("intermediate" in name for name in expiry)


def test_sums_survive_a_kill_of_a_process(scene: Scene) -> None:
    before = numbers(scene)["sceau_delivered_total{all}"]
    assert before > 0
    time.sleep(1.2)  # what was counted is written
    status = running.read(scene.house.folder / "data" / "run")
    assert status is not None
    worker = next(one for one in status.processes if one.role == "worker")
    os.kill(worker.pid, signal.SIGKILL)
    archive_id = scene.accepted(mail(), AMELIE)
    scene.wait_arrived(archive_id)

    until(
        lambda: numbers(scene).get("sceau_delivered_total{all}", 0) == before + 1,
        10,
        lambda: str(numbers(scene)),
    )
    until(
        lambda: numbers(scene).get("sceau_process_deaths_total{worker}", 0) >= 1,
        10,
        lambda: str(numbers(scene)),
    )
    assert numbers(scene)["sceau_process_deaths_total{worker}"] == 1


def test_check_finds_nothing_wrong_with_a_gateway_that_runs(scene: Scene) -> None:
    done = scene.sceau("check", "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = {one["code"] for one in findings if one["level"] in ("error", "unknown")}

    assert wrong == set(), [one for one in findings if one["code"] in wrong]
    subjects = {one["subject"] for one in findings}
    assert {"route all", "directory justice", "listen", "metrics", "queue", "log"} <= subjects
    warnings = {one["code"] for one in findings if one["level"] == "warning"}
    assert {"queue.held", "process.died"} <= warnings


def test_the_queue_in_numbers_once_and_as_objects(scene: Scene) -> None:
    (stats,) = scene.json("queue", "stats")
    assert stats["states"]["held"] == 1
    assert stats["states"]["delivered"] >= 3
    assert stats["recipients"] == {"queued": 0, "held": 1}
    (once,) = scene.json("queue", "watch", "--once")
    assert once["running"] is True
    assert once["held_because"] == {next(iter(stats["held_because"])): 1}
    text = scene.sceau("queue", "watch", "--once").stdout.decode()
    assert "sceau serve runs" in text
    assert "held: 1" in text
    assert "\x1b" not in text


def test_the_live_view_redraws_and_ends_on_ctrl_c(scene: Scene) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "queue", "watch", "--config", scene.house.config],
        stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "vt100", "LANG": "C.UTF-8", "LC_ALL": ""},
        # As at a terminal: a shell that starts us in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    end = time.monotonic() + 90
    while shown.count(b"\x1b[H\x1b[J") < 3 and time.monotonic() < end:
        if select.select([ours], [], [], 0.5)[0]:
            shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)

    assert process.wait(60) == 0
    os.close(ours)
    assert shown.count(b"\x1b[H\x1b[J") >= 3
    assert re.search(rb"accepted \d+\.\d/s", shown)
    assert b"Traceback" not in shown
    assert b"\x1b[3" not in shown, "no colours"


def test_lists_are_narrowed(scene: Scene) -> None:
    def count(*options: str) -> int:
        return len(scene.json("queue", "list", *options))

    assert count() == 1
    assert count("--to", NOBODY.upper()) == 1
    assert count("--to", AMELIE) == 0
    assert count("--from", JEANNE, "--domain", "justice.example") == 1
    assert count("--domain", "other.example") == 0
    assert count("--older-than", "1h") == 0
    assert count("--state", "delivered", "--route", "all", "--limit", "2", "--sort", "newest") == 2
    wrong = scene.sceau("queue", "list", "--older-than", "soon")
    assert wrong.returncode == 2
    assert b"is not a duration; write 30m, 4h or 2d" in wrong.stderr


def test_an_alarm_reaches_the_postmaster_once(tmp_path: Path, keys: Keys) -> None:
    """The oldest mail has waited for five hours: the clock of its row says so."""
    with stage(tmp_path, keys=keys) as made:
        house = made.house(retry='["1h"]', workers=1).make(persons=False)
        made.sink.stop()
        house.start()
        scene = Scene(made, house)
        (receipt,) = send(
            [Letter("old", JEANNE, (AMELIE,), mail())], house.listen_port, connections=1
        )
        scene.wait_reason(receipt.archive_id, AMELIE, "delivery.deferred")
        assert house.stop() == 0
        database = open_database(f"sqlite:///{house.folder}/data/sceau.db")
        with database.write() as conn:
            five_hours = 5 * 3600 * 1_000_000
            conn.execute(
                sa.update(messages).values(accepted_at=messages.c.accepted_at - five_hours)
            )
        database.close()
        for _ in range(2):  # the second start says nothing new
            house.start()
            assert house.stop() == 0
        found = scene.json("queue", "list", "--to", "postmaster@interieur.example")
        assert len(found) == 1
        assert found[0]["sender"] == ""
        (line,) = [e for e in house.events() if e["event"] == "alarm_mailed"]
        assert (line["id"], line["code"]) == (found[0]["id"], "queue-too-old")
        (report,) = scene.json("archive", "verify")
        assert report["status"] == "valid"


def test_a_process_that_crashes_leaves_no_memory_on_the_disk(scene: Scene) -> None:
    """A core dump would hold mail and keys in clear: none of our processes may write one."""
    supervisor = scene.house.process
    assert supervisor is not None
    processes = [supervisor.pid, *children_of(supervisor.pid)]
    assert len(processes) > 3
    for pid in processes:
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 +0 ", limits, re.MULTILINE), limits
