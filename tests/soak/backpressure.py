"""The next hop is away and mail arrives at full speed: bounded, refused in time, nothing lost."""

from __future__ import annotations

import time
from collections import Counter
from itertools import islice

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.house import House
from gateway.demo.run import archive_id_of
from gateway.demo.sink import read_ledger
from gateway.demo.stage import SinkProcess, Stage, stage
from tests.flows.way_out_scene import AMELIE, JEANNE, mail
from tests.soak._folder import folder_of
from tests.soak.large_mail import peaks, reset_peaks

MEMORY_LIMIT = 512_000_000  # octets of any process
FULL = "452 4.3.1"
# Mails over one connection. Who says RSET a thousand times and nothing is taken hears 421 and has
# to come again (`max_idle_commands`), and our client does that for the next piece only.
_PIECE = 400


def limited_house(made: Stage, most: int) -> House:
    """A gateway whose queue takes `most` messages; not yet started."""
    house = made.house(workers=2, retry='["2s"]').make()
    text = house.config.read_text()
    house.config.write_text(text.replace("[queue]", f"[queue]\nmax_messages = {most}", 1))
    return house


def press(made: Stage, house: House, *, mails: int, most: int, connections: int = 8) -> None:
    """Stop the next hop, send `mails`, start it again, send what was refused; check it all."""
    port, folder = made.sink.port, made.sink.folder
    before = len(read_ledger(folder))
    made.sink.stop()
    reset_peaks(house)
    letters = {f"{n}": Letter(f"{n}", JEANNE, (AMELIE,), mail(f"lettre {n}")) for n in range(mails)}
    promised: dict[str, Receipt] = {}
    refused = _offer(letters, promised, house, connections)
    # What other connections took between two looks comes on top of the limit.
    assert len(promised) <= most * 1.2 + 1000, len(promised)
    if mails > most * 1.2 + 1000:
        assert refused, "the limit was reached and nobody was told"
    assert set(refused.values()) <= {FULL}, Counter(refused.values())
    waiting = len(promised)
    over = {role: octets for role, octets in peaks(house).items() if octets > MEMORY_LIMIT}
    assert not over, over

    made.sink = SinkProcess.start(folder, port=port)
    begun = time.monotonic()
    while len(promised) < mails:
        left = {key: one for key, one in letters.items() if key not in promised}
        refused = _offer(left, promised, house, connections)
        assert set(refused.values()) <= {FULL}, Counter(refused.values())
        assert time.monotonic() - begun < 60 + mails, "the backlog does not drain"
        if refused:
            time.sleep(1)
    assert house.wait_settled(seconds=60 + mails / 20), house.json("queue", "list", "--limit", "5")
    shown = ", ".join(f"{k} {v // 1_000_000}" for k, v in sorted(peaks(house).items()))
    print(f"{waiting} of {mails} waited, {time.monotonic() - begun:.0f} s to drain, {shown} MB")
    over = {role: octets for role, octets in peaks(house).items() if octets > MEMORY_LIMIT}
    assert not over, over

    arrived = Counter(
        archive_id_of((folder / delivery.file).read_bytes())
        for delivery in read_ledger(folder)[before:]
    )
    wanted = {receipt.archive_id for receipt in promised.values()}
    assert wanted <= arrived.keys(), "promised and not delivered"
    assert all(arrived[one] == 1 for one in wanted), "delivered twice"
    # One that had died for want of memory would have taken its peak with it.
    deaths = [e for e in house.events() if e["event"] in ("process_died", "process_killed")]
    assert not deaths, deaths


def _offer(
    letters: dict[str, Letter], promised: dict[str, Receipt], house: House, connections: int
) -> dict[str, str]:
    """Send them; reply by key for those that were not taken."""
    refused: dict[str, str] = {}
    waiting = iter(letters.values())
    while piece := list(islice(waiting, _PIECE * connections)):
        for receipt in send(piece, house.listen_port, connections=connections, timeout=60):
            if receipt.code == 250:
                promised[receipt.key] = receipt
            else:
                refused[receipt.key] = (
                    f"{receipt.code} {receipt.text.removeprefix(str(receipt.code)).strip()}"[:9]
                )
    return refused


def run(seed: int, rounds: int) -> None:
    """30,000 mails against a queue of 20,000, `rounds` times. seed: there is no chance in it."""
    del seed
    with folder_of("pressure") as folder, stage(folder) as made:
        house = limited_house(made, 20_000).start()
        try:
            for _ in range(rounds):
                press(made, house, mails=30_000, most=20_000)
        finally:
            assert house.stop() == 0
