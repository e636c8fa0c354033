"""SIGTERM while mail comes in: what was promised arrives after the next start, once each."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.judge import Case, judge, write_trust
from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from gateway.demo.run import archive_id_of
from gateway.demo.sink import read_ledger
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, Scene, mail, until

pytestmark = pytest.mark.flow

MAILS = 1000  # more than there is time for: the stop shall fall into the middle


def test_a_stop_under_load_loses_and_doubles_nothing(
    tmp_path: Path, keys: Keys, flows_on: Postgres | None
) -> None:
    with stage(tmp_path, keys=keys, postgres=flows_on) as made:
        house = made.house(retry='["1s"]').make(persons=False)
        house.start()
        scene = Scene(made, house)
        letters = [
            Letter(str(n), JEANNE, (to,), mail(f"Numéro {n}. " * 50, to=to))
            for n in range(MAILS)
            for to in [(AMELIE, BASTIEN)[n % 2]]
        ]
        receipts: list[Receipt] = []
        ledger = tmp_path / "promises"
        client = threading.Thread(
            target=lambda: receipts.extend(
                send(letters, house.listen_port, connections=4, ledger=ledger)
            )
        )
        client.start()
        until(lambda: ledger.exists() and ledger.read_bytes().count(b"\n") >= 100, 20, lambda: "")
        begin = time.monotonic()
        assert house.stop() == 0
        assert time.monotonic() - begin < 20
        client.join(30)
        promised = {r.archive_id: r.key for r in receipts if r.code == 250}
        assert 100 <= len(promised) < MAILS, "the stop came before or after the load, not in it"
        # Who was not served was told to come again, or his line was closed: nobody got a 5xx.
        assert {r.code for r in receipts} <= {250, 421, 451, 0}

        house.start()
        until(lambda: not scene.json("queue", "list"), 30, house.log.read_text)
        assert house.stop() == 0
        assert scene.faults() == []

        files = [made.sink.folder / delivery.file for delivery in read_ledger(made.sink.folder)]
        arrived = Counter(archive_id_of(file.read_bytes()) for file in files)
        assert arrived == Counter(dict.fromkeys(promised, 1))
        by_key = {letter.key: letter for letter in letters}
        trust = write_trust([made.world.interieur, made.world.justice], tmp_path / "trust.pem")
        seal = made.world.interieur.seal
        assert seal is not None
        cases = []
        for file in files[:: len(files) // 20]:  # openssl is slow; every one was counted above
            letter = by_key[promised[archive_id_of(file.read_bytes())]]
            reader = scene.credential(letter.rcpt_to[0])
            cases.append(Case(letter.key, file, letter.content, reader, seal))
        assert not [(v.case.name, v.problem) for v in judge(cases, trust) if v.problem]
        (report,) = scene.json("archive", "verify")
        assert report["status"] == "valid"
