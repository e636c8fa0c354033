"""A running gateway and everything around it, as the tests of the way out need it.

What arrived is read from the receiving server's ledger, what the gateway thinks from its commands:
nothing here looks into the product.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.house import House
from gateway.demo.judge import Opened, open_mail, write_trust
from gateway.demo.pki import INTERIEUR, JUSTICE, Credential
from gateway.demo.run import archive_id_of
from gateway.demo.sink import Delivery, read_ledger
from gateway.demo.stage import Stage
from tests.flows import quick_sceau

JEANNE = f"jeanne.moreau@{INTERIEUR}"  # RSA; key and consent are with the gateway
HUGO = f"hugo.blanc@{INTERIEUR}"  # EC; the same
REGISTRY = f"greffe@{INTERIEUR}"  # no key, no consent
AMELIE = f"amelie.roux@{JUSTICE}"  # RSA
BASTIEN = f"bastien.faure@{JUSTICE}"  # EC
NOBODY = f"elise.sans@{JUSTICE}"  # in the directory, without a certificate

# `seconds` of a wait are those of a machine at rest. A busy one gets so many times as long: what is
# waited for comes or does not, and the patience of a test measures nothing.
PATIENCE = 4


@dataclass
class Scene:
    """A stage and a house on it."""

    stage: Stage
    house: House

    def credential(self, address: str) -> Credential:
        """Certificate and key of somebody of the world."""
        found = next(p.credential for p in self.stage.world.people if p.address == address)
        assert found is not None
        return found

    # -- putting mail in -----------------------------------------------------------------------

    def send(self, content: bytes, *to: str, sender: str = JEANNE) -> Receipt:
        """One mail over one connection."""
        letter = Letter("one", sender, to, content)
        (receipt,) = send([letter], self.house.listen_port, connections=1, timeout=60)
        return receipt

    def accepted(self, content: bytes, *to: str, sender: str = JEANNE) -> str:
        """The archive id of a mail that was answered 250."""
        receipt = self.send(content, *to, sender=sender)
        assert (receipt.code, receipt.refused) == (250, {}), receipt
        return receipt.archive_id

    # -- what came out -------------------------------------------------------------------------

    def arrived(self, archive_id: str) -> list[tuple[Delivery, Path]]:
        """What the receiving server has of this mail, in order."""
        folder = self.stage.sink.folder
        return [
            (delivery, folder / delivery.file)
            for delivery in read_ledger(folder)
            if archive_id_of((folder / delivery.file).read_bytes()) == archive_id
        ]

    def notices(self, archive_id: str, action: str = "failed") -> list[tuple[Delivery, bytes]]:
        """Delivered notices of this kind about this mail: those that name it for machines."""
        wanted = f"\r\nX-Sceau-Archive-Id: {archive_id}\r\n".encode()
        kind = f"\r\nAction: {action}\r\n".encode()
        folder = self.stage.sink.folder
        found = []
        for delivery in read_ledger(folder):
            if not delivery.mail_from:
                content = (folder / delivery.file).read_bytes()
                if wanted in content and kind in content:
                    found.append((delivery, content))
        return found

    def wait_arrived(
        self, archive_id: str, count: int = 1, *, seconds: float = 20
    ) -> list[tuple[Delivery, Path]]:
        """As `arrived`, once there are `count` of them."""
        until(lambda: len(self.arrived(archive_id)) >= count, seconds, self.explain(archive_id))
        return self.arrived(archive_id)

    def wait_notice(
        self, archive_id: str, action: str = "failed", *, seconds: float = 20
    ) -> tuple[Delivery, bytes]:
        """The one notice of this kind about this mail."""
        until(lambda: bool(self.notices(archive_id, action)), seconds, self.explain(archive_id))
        (one,) = self.notices(archive_id, action)
        return one

    def opened(self, delivered: Path, reader: str | None) -> Opened:
        """What openssl finds in it with the reader's key (None: it is not encrypted)."""
        world = self.stage.world
        trust = write_trust([world.interieur, world.justice], self.stage.folder / "trust.pem")
        return open_mail(delivered, None if reader is None else self.credential(reader), trust)

    # -- what the gateway says -----------------------------------------------------------------

    def sceau(self, *arguments: str) -> CompletedProcess[bytes]:
        """A command on this house, quickly; `house.run` starts it as a user would. A mail that a
        worker has in hand just then is tried again shortly, as the command says.
        """
        deadline = time.monotonic() + 60
        while True:
            done = quick_sceau.run(
                [*arguments, "--config", str(self.house.config)],
                {**os.environ, "LANG": "C.UTF-8", "LC_ALL": ""},
            )
            if b"is being worked on at this moment" not in done.stderr:
                return done
            assert time.monotonic() < deadline, done.stderr.decode()
            time.sleep(0.05)

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """The lines of a command with `--json`."""
        done = self.sceau(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    def queue(self, archive_id: str) -> dict[str, dict[str, Any]]:
        """`sceau queue show`: recipient → line."""
        return {str(line["recipient"]): line for line in self.json("queue", "show", archive_id)}

    def wait_reason(
        self, archive_id: str, recipient: str, code: str, *, seconds: float = 20
    ) -> dict[str, Any]:
        """The recipient's line, once its reason has this code."""

        def there() -> bool:
            reason = self.queue(archive_id)[recipient]["reason"]
            return reason is not None and reason["code"] == code

        until(there, seconds, self.explain(archive_id))
        return self.queue(archive_id)[recipient]

    def wait_state(
        self, archive_id: str, recipient: str, state: str, *, seconds: float = 20
    ) -> dict[str, Any]:
        """The recipient's line, once it is in this state."""
        until(
            lambda: self.queue(archive_id)[recipient]["state"] == state,
            seconds,
            self.explain(archive_id),
        )
        return self.queue(archive_id)[recipient]

    def history(self, archive_id: str) -> list[dict[str, Any]]:
        """`sceau archive history`."""
        return self.json("archive", "history", archive_id)

    def explain(self, archive_id: str) -> Callable[[], str]:
        """For the message of a wait that was in vain."""
        return lambda: f"{self.queue(archive_id)}\n{self.house.log.read_text()[-3000:]}"

    def faults(self, *, expected: Collection[str] = ()) -> list[dict[str, object]]:
        """Lines of the log that nobody expects: tracebacks, and errors of other names."""
        text = self.house.log.read_text()
        assert "Traceback" not in text, text[-5000:]
        return [
            event
            for event in self.house.events()
            if event.get("level") in ("error", "critical") and event["event"] not in expected
        ]


def until(condition: Callable[[], bool], seconds: float, explain: Callable[[], str]) -> None:
    """Wait for `condition`; fail with `explain()` when time is up."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {explain()}"
        time.sleep(0.05)


def mail(
    text: str = "Bonjour, à demain.",
    *,
    sender: str = JEANNE,
    to: str = AMELIE,
    subject: str = "Ordre du jour",
    charset: str = "utf-8",
    extra: str = "",
) -> bytes:
    """A mail in 8-bit text with a Date of now: readers compare it with the signature's time."""
    from email.utils import format_datetime

    from gateway.clock import now

    return (
        f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n"
        f"Date: {format_datetime(now())}\r\nMessage-ID: <{time.monotonic_ns()}@{INTERIEUR}>\r\n"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\n"
        f"Content-Transfer-Encoding: 8bit\r\n{extra}\r\n"
    ).encode() + (text + "\r\n").encode(charset)
