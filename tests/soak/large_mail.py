"""How much memory the processes take while mails of 50 MB pass, alone and several at once.

Peak resident memory as the kernel counts it (VmHWM), of every process, reset before each step.
"""

from __future__ import annotations

import base64
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.client import Letter, send
from gateway.demo.house import DEFAULT_RULES, House, children_of
from gateway.demo.pki import INTERIEUR, JUSTICE
from gateway.demo.stage import Stage, stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, HUGO, JEANNE, until

# [listen] max_size is 50 MB: a mail just below it.
SIZE = 49_900_000
MEMORY_LIMIT = 400_000_000  # octets of one process, whatever passes


@dataclass(frozen=True, slots=True)
class Step:
    """So many mails at once, each to these recipients. blind: none of them is named in it."""

    name: str
    mails: int
    to: tuple[str, ...]
    blind: bool = False


STEPS = (
    Step("one mail, one recipient", 1, (AMELIE,)),
    Step("one mail, three recipients", 1, (AMELIE, BASTIEN, HUGO)),
    Step("one mail, three blind recipients", 1, (AMELIE, BASTIEN, HUGO), blind=True),
    Step("four mails at once", 4, (AMELIE,)),
)


def large_mail(size: int, to: tuple[str, ...], seed: int) -> bytes:
    """A mail with one attachment in base64 that cannot be compressed further."""
    head = (
        f"From: {JEANNE}\r\nTo: {', '.join(to) or 'undisclosed-recipients:;'}\r\n"
        f"Subject: grand {seed}\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=xyz\r\n\r\n--xyz\r\n"
        f"Content-Type: text/plain\r\n\r\nmotdumail{seed}\r\n--xyz\r\n"
        'Content-Type: application/octet-stream; name="plan.bin"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode()
    lines = (size - len(head) - 20) // 78
    text = base64.b64encode(random.Random(seed).randbytes(lines * 57))
    body = b"".join(text[at : at + 76] + b"\r\n" for at in range(0, len(text), 76))
    return head + body + b"--xyz--\r\n"


def processes(house: House) -> Iterator[tuple[str, int]]:
    """Role and pid of every child of the gateway."""
    assert house.process is not None
    for pid in children_of(house.process.pid):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        yield command[command.index(b"gateway.roles") + 1].decode(), pid


def reset_peaks(house: House) -> None:
    """From now on VmHWM counts anew."""
    for _, pid in processes(house):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peaks(house: House) -> dict[str, int]:
    """Peak of each role since the last reset, in octets; of several processes the highest."""
    found: dict[str, int] = {}
    for role, pid in processes(house):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                found[role] = max(found.get(role, 0), int(line.split()[1]) * 1024)
    return found


def measure(made: Stage, house: House, step: Step, seed: int) -> dict[str, int]:
    """Send, wait for the last delivery and the index, and say what each process took at most."""
    before = made.sink.deliveries()
    reset_peaks(house)
    letters = [
        Letter(
            f"{step.name} {n}",
            JEANNE,
            step.to,
            large_mail(SIZE, () if step.blind else step.to, seed + n),
        )
        for n in range(step.mails)
    ]
    receipts = send(letters, house.listen_port, connections=step.mails, timeout=120)
    assert [r.code for r in receipts] == [250] * step.mails, receipts
    until(lambda: made.sink.deliveries() > before, 120, lambda: house.log.read_text()[-3000:])
    assert house.wait_settled(seconds=240), house.json("queue", "list")
    assert house.wait_indexed(seconds=120)
    return peaks(house)


def run(seed: int, rounds: int) -> None:
    """All steps, `rounds` times; prints what was seen and fails beyond the limit."""
    with tempfile.TemporaryDirectory(prefix="sceau-large-") as folder, stage(Path(folder)) as made:
        house = made.house(
            workers=2,
            partner_domains=(JUSTICE, INTERIEUR),
            rules=DEFAULT_RULES.replace('"@justice.example"', '"*"'),
        ).make()
        text = house.config.read_text()
        house.config.write_text(text.replace("[[relays]]", 'max_size = "50 MB"\n[[relays]]', 1))
        house.start()
        try:
            for number in range(rounds):
                for step in STEPS:
                    found = measure(made, house, step, seed + number * 100)
                    shown = ", ".join(f"{k} {v // 1_000_000}" for k, v in sorted(found.items()))
                    print(f"{step.name}: {shown} MB", flush=True)
                    over = {k: v for k, v in found.items() if v > MEMORY_LIMIT}
                    assert not over, (step.name, over)
        finally:
            assert house.stop() == 0
