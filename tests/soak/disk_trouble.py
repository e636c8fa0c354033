"""PostgreSQL's disk fills up, and a sync of its log fails, below a running gateway."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.pki import Keys
from gateway.demo.stage import stage
from tests.flows.way_out_scene import AMELIE, JEANNE, mail, until
from tests.soak._folder import folder_of
from tests.soak.lost_writes import Machine, machine_on

FULL = re.compile(r"4\.3\.1 .*\(id ([0-9a-f]+)\)", re.IGNORECASE)


def run(seed: int, rounds: int = 5) -> None:
    """`rounds` times a full disk and a failed sync. Raises AssertionError.

    seed: draws how many syncs succeed before.
    """
    draw = random.Random(seed)
    with (
        folder_of("disk-trouble") as folder,
        stage(folder / "stage", keys=Keys()) as made,
        machine_on("postgresql", folder, made) as machine,
    ):
        machine.house.start(environment=machine.disk.environment)
        try:
            for number in range(rounds):
                _round(machine, syncs=draw.randrange(6))
                print(f"round {number + 1}: {len(machine.promised)} mails", flush=True)
        finally:
            assert machine.house.stop() == 0
        machine.everything_arrives(calm=False)


def _round(machine: Machine, *, syncs: int) -> None:
    assert machine.server is not None
    disk = machine.server.disk
    take(machine, mail())
    assert machine.house.wait_settled(seconds=30)
    with disk.full("*/base/*/*") as fault:
        receipts: list[Receipt] = []
        for _ in range(40):  # until a table has to grow
            receipts += offer(machine, mail("z" * 60 + "\r\n") + b"w" * 900 + b"\r\n")
            if fault.hits and receipts[-1].code != 250:
                break
        assert receipts[-1].code == 452, receipts[-1]
        assert FULL.search(receipts[-1].text)
    take(machine, mail())
    with disk.sync_fails("*/pg_wal/*", after=syncs) as fault:

        def met() -> bool:
            # 250: by the server that has recovered, after a second try.
            (one,) = offer(machine, mail())
            assert one.code in (0, 250, 421, 451), one
            return fault.hits == 1

        wait(met, 60, machine)
    take(machine, mail())  # the server has recovered, and the gateway has found it


def offer(machine: Machine, content: bytes, times: int = 1) -> list[Receipt]:
    """Send it, and note what was promised."""
    letters = [Letter(str(n), JEANNE, (AMELIE,), content) for n in range(times)]
    receipts = send(letters, machine.house.listen_port, connections=min(times, 4), timeout=30)
    for one in receipts:
        if one.code == 250:
            machine.promised[one.archive_id] = letters[int(one.key)]
    assert not [one for one in receipts if one.code >= 500], receipts
    return receipts


def take(machine: Machine, content: bytes) -> str:
    """Have it taken, at once or when the gateway has come to itself."""
    found: list[str] = []

    def taken() -> bool:
        (one,) = offer(machine, content)
        found.extend([one.archive_id] if one.code == 250 else [])
        return bool(found)

    wait(taken, 30, machine)
    return found[0]


def wait(there: Callable[[], bool], seconds: float, machine: Machine) -> None:
    until(there, seconds, lambda: machine.house.log.read_text()[-3000:])
