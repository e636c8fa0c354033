"""The way out on PostgreSQL: two machines, a server that goes away, a machine that freezes.

Judged from outside: the client's ledger of 250s, the receiving server's ledger of mails.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.house import DEFAULT_RULES, House, children_of
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.run import archive_id_of
from gateway.demo.sink import read_ledger
from gateway.demo.stage import Stage
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, JEANNE, mail, until
from tests.postgres_acts import setting
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

TAKEOVER = 4.0


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, postgres: Postgres
) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("postgres"), keys=keys, postgres=postgres) as made:
        yield made


def letters(name: str, count: int) -> list[Letter]:
    return [Letter(f"{name}-{n}", JEANNE, (AMELIE,), mail(f"{name} {n}")) for n in range(count)]


def arrived(scene: Stage) -> Counter[str]:
    folder = scene.sink.folder
    return Counter(archive_id_of((folder / one.file).read_bytes()) for one in read_ledger(folder))


def wait_all(scene: Stage, receipts: list[Receipt], seconds: float = 30) -> Counter[str]:
    wanted = {receipt.archive_id for receipt in receipts if receipt.code == 250}
    until(
        lambda: wanted <= arrived(scene).keys(),
        seconds,
        lambda: str(wanted - arrived(scene).keys()),
    )
    return Counter({key: n for key, n in arrived(scene).items() if key in wanted})


@pytest.fixture(scope="module")
def pair(scene: Stage) -> Iterator[tuple[House, House]]:
    """Two machines on one database, both at work. Whoever uses them leaves them so."""
    rules = DEFAULT_RULES.replace('"person"', '"seal"')
    one = scene.house("pair", takeover=f"{TAKEOVER:.0f}s", workers=1, intake=1, rules=rules)
    two = one.make(persons=False).another("pair-2")
    one.start()
    two.start()
    yield one, two
    for house in (one, two):
        if house.process is not None:
            assert house.stop() == 0


def test_two_machines_share_the_work_and_deliver_each_mail_once(
    scene: Stage, pair: tuple[House, House]
) -> None:
    receipts: list[Receipt] = []
    threads = [
        threading.Thread(
            target=lambda h=house, n=number: receipts.extend(
                send(letters(f"both-{n}", 30), h.listen_port, connections=3)
            )
        )
        for number, house in enumerate(pair)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [receipt.code for receipt in receipts] == [250] * 60
    assert set(wait_all(scene, receipts).values()) == {1}
    one, two = pair
    assert one.wait_settled(seconds=120)

    def delivered() -> int:
        return sum(event["event"] == "delivered" for house in pair for event in house.events())

    until(lambda: delivered() >= 60, 10, lambda: str(delivered()))  # said after the commit
    assert delivered() == 60
    (report,) = two.json("archive", "verify")
    assert report["status"] == "valid"
    # The other machine's mail can be found and read here: one archive.
    first, *_ = two.json("archive", "history", receipts[0].archive_id)
    assert first["kind"] == "accepted"


def test_a_frozen_machine_loses_its_mail_to_the_other_and_comes_back_without_harm(
    scene: Stage, pair: tuple[House, House]
) -> None:
    """SIGSTOP to all of it, with mail in hand: what a machine that drops off the network is."""
    one, two = pair
    assert one.process is not None
    scene.sink.process.send_signal(signal.SIGSTOP)  # so that deliveries are under way
    receipts = send(letters("frozen", 10), one.listen_port, connections=2)
    assert {receipt.code for receipt in receipts} == {250}
    until(
        lambda: sum(event["event"] == "sealed" for h in pair for event in h.events()) >= 10,
        10,
        lambda: "nothing was sealed",
    )
    held = [one.process.pid, *children_of(one.process.pid)]
    try:
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        scene.sink.process.send_signal(signal.SIGCONT)
        # Frozen in the middle of a transaction it is cut off after 10 s; two may be so in turn.
        wait_all(scene, receipts, seconds=TAKEOVER + 25)
        until(
            lambda: any(e["event"] == "process_dismissed" for e in two.events()),
            TAKEOVER + 25,
            lambda: two.log.read_text()[-2000:],
        )
    finally:
        for pid in held:
            # The first one awake is the supervisor, who may have ended the next one by then.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    # Awake again, its worker finds its licence gone, and is replaced by one that has its own.
    until(
        lambda: any(e["event"] in ("process_died", "licence_lost") for e in one.events()),
        20,
        lambda: one.log.read_text()[-2000:],
    )
    assert two.wait_settled(seconds=120)
    counts = wait_all(scene, receipts)
    assert max(counts.values()) <= 2  # a dot that was on its way when the freeze came
    late = send(letters("after", 3), one.listen_port, connections=1)
    assert set(wait_all(scene, late).values()) == {1}
    (report,) = two.json("archive", "verify")
    assert report["status"] == "valid"


def test_a_server_that_is_away_costs_no_mail_and_no_duplicate(
    scene: Stage, pair: tuple[House, House], postgres: Postgres
) -> None:
    one, two = pair
    taken: list[Receipt] = []
    refused: list[Receipt] = []
    stop = threading.Event()

    def client() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for receipt in send(
                letters(f"away-{number}", 2), one.listen_port, connections=1, timeout=60
            ):
                (taken if receipt.code == 250 else refused).append(receipt)

    thread = threading.Thread(target=client, daemon=True)
    thread.start()
    time.sleep(0.5)
    postgres.stop(signal.SIGQUIT)  # as a crash
    until(lambda: bool(refused), 20, lambda: "nobody was told")
    postgres.start()
    before = len(taken)
    with Stopwatch() as recovery:
        until(lambda: len(taken) > before, 15, lambda: one.log.read_text()[-2000:])
    stop.set()
    thread.join()
    assert recovery.seconds < 10
    # Our fault is never a 5xx: the client's server would give the mail up.
    assert {receipt.code // 100 for receipt in refused if receipt.code} <= {4}
    counts = wait_all(scene, taken)
    assert set(counts.values()) <= {1, 2}
    assert one.wait_settled(seconds=120)
    (report,) = two.json("archive", "verify")
    assert report["status"] == "valid"
    states = {e["recipient"]: e["state"] for e in one.json("queue", "list", "--state", "held")}
    assert states == {}  # and no mail is blamed


def test_check_says_what_a_250_is_worth(
    scene: Stage, pair: tuple[House, House], postgres: Postgres
) -> None:
    one, _two = pair

    def said(subject: str) -> list[tuple[str, str]]:
        lines = one.json("check", check=False)
        return [(str(e["level"]), str(e["text"])) for e in lines if e["subject"] == subject]

    ((grade, text),) = said("standby")
    assert grade == "warning"
    assert "one disk only" in text
    good = [text for grade, text in said("database") if grade == "ok"]
    assert any("fsync is on" in text and "synchronous_commit is on" in text for text in good)
    assert {level for level, _ in said("working keys")} == {"ok"}
    assert postgres.password not in json.dumps(one.json("check", check=False))
    french = one.run("check", check=False).stdout.decode()
    assert "standby" in french
    with setting(postgres, "synchronous_standby_names", "nobody"):
        ((grade, text),) = said("standby")
    assert grade == "error"
    assert "every commit waits" in text


def test_mail_of_a_machine_whose_keys_are_not_here_is_named(
    scene: Stage, pair: tuple[House, House]
) -> None:
    one, two = pair
    scene.sink.process.send_signal(signal.SIGSTOP)
    try:
        send(letters("keys", 1), one.listen_port, connections=1)
        shared = two.folder / "keys" / "working"
        target = shared.readlink()
        shared.unlink()
        shared.mkdir(mode=0o700)
        found = [e for e in two.json("check", check=False) if e["subject"] == "working keys"]
        # Not removed: the gateway may have put a key of the day there meanwhile.
        shared.rename(shared.with_name("working-of-nobody"))
        shared.symlink_to(target)
    finally:
        scene.sink.process.send_signal(signal.SIGCONT)
    assert "error" in [e["level"] for e in found]


def test_a_second_init_on_the_same_database_is_refused(scene: Stage, postgres: Postgres) -> None:
    house = scene.house("first").make(persons=False)
    other = House(scene.folder / "second", scene.world, ldap_url="", sink_port=1, postgres=postgres)
    done = other.run(
        "init", str(other.folder), "--database", postgres.url(house.database),
        "--password-file", str(postgres.password_file), config=False, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"already holds an installation" in done.stderr
    assert not other.folder.exists()
    (report,) = house.json("archive", "verify")
    assert report["status"] == "valid"


def test_upgrade_says_so_when_there_is_nothing_to_do(scene: Stage) -> None:
    house = scene.house("upgrade").make(persons=False)
    (line,) = house.json("upgrade")
    assert line["found"] == line["now"]
    house.start()
    try:
        done = house.run("upgrade", check=False)
        assert done.returncode == 2
        assert b"sceau serve runs" in done.stderr
    finally:
        assert house.stop() == 0


def test_no_upgrade_while_another_machine_works_on_the_database(scene: Stage) -> None:
    house = scene.house("upgraded", takeover="6s").make(persons=False)
    other = house.another("upgraded-other").start()
    try:
        done = house.run("upgrade", check=False)
        assert done.returncode == 2
        assert b"sceau serve runs on this database, on the machine " in done.stderr
    finally:
        other.kill()
    # What a killed one leaves behind gives no sign of life.
    (line,) = house.json("upgrade")
    assert line["found"] == line["now"]
