"""The ledger of the fault tests: it shares no code with the gateway, and it sees every wrong."""

from __future__ import annotations

import ast
import hashlib
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ledger.archive import Archive, Entry, Reader
from tests.ledger.balance import Balance, Death, Ledger
from tests.ledger.client import Attempt, Client
from tests.ledger.letters import Letter, key_of, letters
from tests.ledger.opening import Mailbox
from tests.ledger.sink import Arrival, SinkProcess

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / "tests" / "ledger"
A, N, OTHER = "a" * 32, "b" * 32, "c" * 32
TO, SENDER = "amelie@justice.example", "jeanne@interieur.example"


def test_the_ledger_shares_no_code_with_the_gateway() -> None:
    allowed = set(sys.stdlib_module_names) | {"cryptography", "zstandard", "psycopg"}
    for file in LEDGER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                ours = name.startswith("tests.ledger.") or name == "tests.stranger_verify"
                assert ours or name.partition(".")[0] in allowed, (file, name)


class OpensAll(Reader):
    """Gives what it was given."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self._contents = contents

    def open(self, archive: Archive, archive_id: str) -> bytes:
        return self._contents[archive_id]


class World:
    """One mail that went well: sent, archived, sealed, delivered. Each test spoils something."""

    def __init__(self) -> None:
        self.letter = Letter(
            "k", SENDER, (TO,), b"X-Ledger: k\r\n\r\nsecret-body\r\n", b"secret-body"
        )
        self.attempts = [Attempt("k", 250, f"2.0.0 {A}", A, 10.0, 11.0)]
        self.sent = f"Received: from x\r\n\tid {A}; now\r\nX-Ledger: k\r\n\r\nMIIB\r\n".encode()
        self.arrivals = [Arrival("1.eml", SENDER, (TO,), 12.0, self.sent)]
        self.contents = {A: self.letter.content}
        self.entries = [
            self.entry("accepted", 11.0, **{"direction": "out", "envelope.to.000000": TO,
                       "content.sha256": self.letter.sha256, "envelope.from": SENDER}),
            self.entry("sealed", 11.5, **{"recipient.000000": TO,
                       "emitted.sha256": hashlib.sha256(self.sent).hexdigest()}),
            self.entry("delivered", 12.5, **{"recipient.000000": TO}),
        ]  # fmt: skip
        self.states = [(A, TO, "delivered")]
        self.queued = {A}
        self.deaths: list[Death] = []
        self.boxes: dict[str, Mailbox] = {}

    @staticmethod
    def entry(kind: str, at: float, archive_id: str = A, **fields: str) -> Entry:
        values = {name: value.encode() for name, value in fields.items()}
        return Entry(0, at, kind, archive_id, values)

    def balance(self) -> Balance:
        ledger = Ledger(self.boxes, Path("/nowhere"), OpensAll(self.contents))
        ledger.letters = {"k": self.letter}
        ledger.attempts, ledger.deaths = self.attempts, self.deaths
        archive = Archive(self.entries, self.states, self.queued, {})
        return ledger.balance(archive, self.arrivals)


def not_archived(world: World) -> None:
    world.attempts.append(Attempt("k", 250, f"2.0.0 {OTHER}", OTHER, 13.0, 14.0))


def never_taken(world: World) -> None:
    world.attempts[:] = [Attempt("k", 451, "4.3.0 later", "", 10.0, 11.0)]


def refused_for_good(world: World) -> None:
    world.attempts.insert(0, Attempt("k", 554, "5.3.0 no", "", 9.0, 9.5))


def never_arrived(world: World) -> None:
    world.arrivals.clear()


def not_in_the_queue(world: World) -> None:
    world.queued.clear()


def only_in_the_queue(world: World) -> None:
    world.queued.add(OTHER)


def sent_otherwise(world: World) -> None:
    one = world.arrivals[0]
    world.arrivals[0] = Arrival("1.eml", SENDER, (TO,), 12.0, one.content + b"more\r\n")


def sent_to_another(world: World) -> None:
    one = world.arrivals[0]
    world.arrivals.append(Arrival("2.eml", SENDER, ("x@y.example",), 12.0, one.content))


def in_clear_body(world: World) -> None:
    world.arrivals.append(Arrival("2.eml", "", (SENDER,), 13.0, b"\r\nlook: secret-body\r\n"))


def not_encrypted(world: World) -> None:
    world.boxes[TO] = Mailbox(Path("/nowhere"), Path("/nowhere"))


def no_state(world: World) -> None:
    world.states.clear()


def two_states(world: World) -> None:
    world.states.append((A, TO, "held"))


def two_ends(world: World) -> None:
    world.entries.append(world.entry("failed", 13.0, **{"recipient.000000": TO}))


def state_of_nobody(world: World) -> None:
    world.states.append((A, "x@y.example", "delivered"))


def twice_without_a_death(world: World) -> None:
    world.arrivals.append(Arrival("2.eml", SENDER, (TO,), 13.0, world.sent))


def death_after_the_commit(world: World) -> None:
    twice_without_a_death(world)
    world.deaths.append(Death(12.8, 12.9))


def death_long_before(world: World) -> None:
    twice_without_a_death(world)
    world.deaths.append(Death(1.0, 1.0))


def thrice_with_one_death(world: World) -> None:
    twice_without_a_death(world)
    world.arrivals.append(Arrival("3.eml", SENDER, (TO,), 13.0, world.sent))
    world.deaths.append(Death(12.1, 12.1))


def archived_otherwise(world: World) -> None:
    world.contents[A] = b"something else"


def of_nobody(world: World) -> None:
    fields = {"direction": "out", "content.sha256": "0" * 64, "envelope.to.000000": TO}
    world.entries.append(world.entry("accepted", 11.0, OTHER, **fields))
    world.queued.add(OTHER)


def kept_twice(world: World) -> None:
    first = world.entries[0]
    world.entries.append(Entry(0, 11.0, "accepted", OTHER, first.fields))
    world.contents[OTHER] = world.letter.content
    world.queued.add(OTHER)


def failed_in_silence(world: World) -> None:
    world.entries[2] = world.entry("failed", 12.5, **{"recipient.000000": TO})
    world.states[0] = (A, TO, "failed")
    world.arrivals.clear()


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [
        (not_archived, "lost"),
        (never_taken, "lost"),
        (refused_for_good, "lost"),
        (never_arrived, "lost"),
        (not_in_the_queue, "archived_not_queued"),
        (only_in_the_queue, "queued_not_archived"),
        (sent_otherwise, "sent_not_archived"),
        (sent_to_another, "sent_not_archived"),
        (in_clear_body, "in_clear"),
        (not_encrypted, "in_clear"),
        (no_state, "not_one_state"),
        (two_states, "not_one_state"),
        (two_ends, "not_one_state"),
        (state_of_nobody, "not_one_state"),
        (twice_without_a_death, "too_often"),
        (death_after_the_commit, "too_often"),
        (death_long_before, "too_often"),
        (thrice_with_one_death, "too_often"),
        (archived_otherwise, "not_what_was_sent"),
        (of_nobody, "not_what_was_sent"),
        (kept_twice, "not_asked_for"),
        (failed_in_silence, "not_told"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_each_wrong_is_seen(spoil: Callable[[World], None], seen: str) -> None:
    world = World()
    spoil(world)
    assert seen in world.balance().faults


def test_what_went_well_has_no_fault() -> None:
    balance = World().balance()
    assert (balance.faults, balance.duplicates) == ({}, 0)


def test_a_copy_after_a_death_in_between_is_counted_and_no_fault() -> None:
    world = World()
    twice_without_a_death(world)
    world.deaths.append(Death(12.1, 12.1))
    balance = world.balance()
    assert (balance.faults, balance.duplicates) == ({}, 1)


def test_copies_that_differ_are_seen_even_if_both_were_sealed() -> None:
    world = World()
    other = world.sent + b"x\r\n"
    world.entries.append(world.entry("sealed", 11.6, **{"recipient.000000": TO,
                         "emitted.sha256": hashlib.sha256(other).hexdigest()}))  # fmt: skip
    world.arrivals.append(Arrival("2.eml", SENDER, (TO,), 13.0, other))
    world.deaths.append(Death(12.1, 12.1))
    assert world.balance().faults.keys() == {"not_identical"}


def test_client_and_sink_carry_every_octet(tmp_path: Path) -> None:
    made = letters("x", 12, sender=SENDER, recipients=(TO, "b@justice.example"),
                   samples=ROOT / "samples" / "mails", random=random.Random(3))  # fmt: skip
    sink = SinkProcess(tmp_path / "sink")
    try:
        client = Client(sink.port)
        assert client.send(made, seconds=30) == []
        came = {key_of(one.content): one for one in sink.arrivals()}
        assert len(came) == len(made) == len({one.sha256 for one in made})
        for letter in made:
            assert came[letter.key].content == letter.content
            assert came[letter.key].rcpt_to == letter.rcpt_to
        assert {one.code for one in client.attempts} == {250}
        sink.refuse(TO)
        left = client.send([one for one in made if TO in one.rcpt_to][:1], seconds=0.2)
        assert len(left) == 1
        assert client.attempts[-1].code == 550
    finally:
        sink.stop()


def test_the_same_seed_makes_the_same_letters() -> None:
    def made(seed: int) -> list[Letter]:
        return letters("x", 6, sender=SENDER, recipients=(TO, "b@c.example"),
                       samples=ROOT / "samples" / "mails", random=random.Random(seed))  # fmt: skip

    assert made(5) == made(5)
    assert made(5) != made(6)
