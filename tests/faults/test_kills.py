"""SIGKILL at each failpoint of the way out, with mails in flight: I1, I2 and I3 hold.

The judges are outside the product: the client's ledger of every 250 it saw, the sink's ledger of
every mail it got, and openssl, which opens what was delivered.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.demo.client import Letter, send
from gateway.demo.house import House
from gateway.demo.judge import Case, judge, write_trust
from gateway.demo.mails import samples
from gateway.demo.postgres import Postgres
from gateway.demo.run import SENDER, archive_id_of
from gateway.demo.sink import Rules, read_ledger, write_rules
from gateway.demo.stage import Stage
from gateway.failpoints import POINTS
from gateway.queue.states import State
from tests.flows.stages import stage

pytestmark = [pytest.mark.fault, pytest.mark.flow]

MAILS = 20
# Need a failing delivery, or a blob store, to be passed; have tests of their own.
ELSEWHERE = {"notice.written", "accept.blob-stored", "sweep.marked"}


# On PostgreSQL a third of them: those that lie beside a commit.
ON_POSTGRES = (
    "accept.rows-written",
    "accept.committed",
    "claim.committed",
    "seal.committed",
    "outcome.rows-written",
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, House]]:
    with _scene(tmp_path_factory.mktemp("kills"), None) as made:
        yield made


@pytest.fixture(scope="module")
def scene_on_postgres(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[tuple[Stage, House]]:
    with _scene(tmp_path_factory.mktemp("kills-postgres"), postgres) as made:
        yield made


@contextmanager
def _scene(folder: Path, postgres: Postgres | None) -> Iterator[tuple[Stage, House]]:
    with stage(folder, postgres=postgres) as made:
        house = made.house("kills", retry='["1s"]', workers=2).make()
        yield made, house


def letters(name: str) -> list[Letter]:
    mails = samples()
    to = ("amelie.roux@justice.example", "bastien.faure@justice.example")
    return [
        Letter(
            f"{name}-{n}",
            SENDER,
            to if n % 5 == 0 else (to[n % 2],),
            mails[n % len(mails)].content,
        )
        for n in range(MAILS)
    ]


@pytest.mark.parametrize("point", [p for p in POINTS if p not in ELSEWHERE])
def test_a_kill_loses_nothing(scene: tuple[Stage, House], point: str, tmp_path: Path) -> None:
    _kill(*scene, point, tmp_path)


@pytest.mark.parametrize("point", ON_POSTGRES)
def test_a_kill_loses_nothing_on_postgresql(
    scene_on_postgres: tuple[Stage, House], point: str, tmp_path: Path
) -> None:
    _kill(*scene_on_postgres, point, tmp_path)


def _kill(made: Stage, house: House, point: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.touch()
    before = len(read_ledger(made.sink.folder))
    house.start(environment={"SCEAU_FAILPOINT": f"{point}={token}"})
    try:
        wanted = letters(point)
        first = send(wanted, house.listen_port, connections=2, timeout=20)
        assert not token.exists() or point.startswith(("claim", "seal", "deliver", "outcome"))
        # What a mail server does with a mail whose 250 it did not see: it sends it again.
        lost = {r.key for r in first if r.code != 250}
        again = _send_until_taken([x for x in wanted if x.key in lost], house.listen_port)
        assert house.wait_settled(seconds=30), house.json("queue", "list")
        promised = [r for r in (*first, *again) if r.code == 250]
        assert {r.key for r in promised} == {x.key for x in wanted}
    finally:
        assert house.stop() == 0
    assert not token.exists(), "the point was never passed: the test has tested nothing"

    by_key = {x.key: x for x in wanted}
    arrived: dict[tuple[str, str], list[Path]] = {}
    for delivery in read_ledger(made.sink.folder)[before:]:
        file = made.sink.folder / delivery.file
        archive_id = archive_id_of(file.read_bytes())
        for recipient in delivery.rcpt_to:
            arrived.setdefault((archive_id, recipient), []).append(file)

    # Nothing promised is lost.
    for receipt in promised:
        for recipient in by_key[receipt.key].rcpt_to:
            assert (receipt.archive_id, recipient) in arrived, (point, receipt.key, recipient)
    # Nothing arrives that is not in the archive, and what is there is settled.
    every = [part for state in State for part in ("--state", str(state))]
    states = {
        (str(line["id"]), str(line["recipient"])): line["state"]
        for line in house.json("queue", "list", *every, "--limit", "100000")
    }
    assert all(states.get(key) == "delivered" for key in arrived), point
    # Duplicates: one at most for a delivery whose final dot was sent when the worker died (other
    # mails are on their way when one passes the point), and then byte-identical.
    copies = Counter({key: len(files) for key, files in arrived.items()})
    twice = [key for key, count in copies.items() if count > 1]
    assert all(count <= 2 for count in copies.values())
    if point.startswith("accept."):
        assert not twice, "no worker died: nothing may come twice"
    for key in twice:
        one, other = (file.read_bytes() for file in arrived[key])
        assert one == other
    # Never plaintext for somebody who must get ciphertext: openssl opens each.
    trust = write_trust([made.world.interieur, made.world.justice], tmp_path / "trust.pem")
    author = made.world.interieur.person().credential
    assert author is not None
    contents = {r.archive_id: by_key[r.key].content for r in promised}
    cases = [
        Case(f"{archive_id} {recipient}", files[0], contents[archive_id], reader, author)
        for (archive_id, recipient), files in arrived.items()
        if archive_id in contents
        for reader in [next(p.credential for p in made.world.people if p.address == recipient)]
    ]
    assert not [(v.case.name, v.problem) for v in judge(cases, trust) if v.problem]
    (report,) = house.json("archive", "verify")
    assert report["status"] == "valid"


def _send_until_taken(wanted: list[Letter], port: int) -> list:
    taken = []
    deadline = time.monotonic() + 10  # recovery to the first 250 within 10 s
    while wanted and time.monotonic() < deadline:
        receipts = send(wanted, port, connections=1, timeout=10)
        taken += [r for r in receipts if r.code == 250]
        missing = {r.key for r in receipts if r.code != 250}
        wanted = [x for x in wanted if x.key in missing]
        if wanted:
            time.sleep(0.1)
    assert not wanted, "no 250 within 10 s after the kill"
    return taken


def test_a_kill_between_a_failure_and_its_notice_tells_the_sender_once(
    scene: tuple[Stage, House], tmp_path: Path
) -> None:
    made, house = scene
    token = tmp_path / "token"
    token.touch()
    gone = "bastien.faure@justice.example"
    write_rules(made.sink.folder, Rules(rcpt={gone: "550 5.1.1 gone"}))
    house.start(environment={"SCEAU_FAILPOINT": f"notice.written={token}"})
    try:
        (mail, *_) = samples()
        (receipt,) = send(
            [Letter("gone", SENDER, (gone,), mail.content)], house.listen_port, connections=1
        )
        assert receipt.code == 250
        assert house.wait_settled(seconds=30), house.json("queue", "list")
    finally:
        assert house.stop() == 0
        write_rules(made.sink.folder, Rules())
    assert not token.exists(), "the point was never passed: the test has tested nothing"
    wanted = f"X-Sceau-Archive-Id: {receipt.archive_id}\r\n".encode()
    notices = [
        delivery.rcpt_to
        for delivery in read_ledger(made.sink.folder)
        if not delivery.mail_from and wanted in (made.sink.folder / delivery.file).read_bytes()
    ]
    assert notices == [(SENDER,)]
    (report,) = house.json("archive", "verify")
    assert report["status"] == "valid"
