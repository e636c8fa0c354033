"""Logins: which back-end answers what, and what is not told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.errors import Refusal
from gateway.mail import Identity
from gateway.senders import users
from gateway.senders.directory import Entry, LoginClient, LoginDirectory
from gateway.senders.logins import Logins
from gateway.senders.passwords import Cost, Passwords
from gateway.senders.throttle import Limits, Throttle
from gateway.senders.users import User, UsersFile
from pki.errors import DirectoryTrouble, PkiError, problem

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
CHEAP = Passwords(Cost(1, 64, 1))
IP = "192.0.2.1"


class FakeDirectory(LoginClient):
    """Knows carla; counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(LoginDirectory("fake", (), ""))
        self.trouble: Exception | None = None
        self.seconds = 0.0
        self.answers = threading.Event()  # until it is set, it is frozen
        self.answers.set()
        self.asked: list[tuple[str, str]] = []

    def check(self, login: str, password: str) -> tuple[Entry | None, bool]:
        assert password, "an empty password would bind as nobody"
        self.asked.append((login, password))
        entry = self.find(login)
        return entry, entry is not None and password == "of carla"

    def find(self, login: str) -> Entry | None:
        time.sleep(self.seconds)
        assert self.answers.wait(120)
        if self.trouble is not None:
            raise self.trouble
        known = login in ("carla", "carla@a.example", "c.dupont")
        return Entry("cn=c", "Carla", ("carla@a.example",)) if known else None


class FakeGroups:
    def __init__(self) -> None:
        self.trouble = False

    def groups_of(self, address: str) -> frozenset[str]:
        if self.trouble:
            raise PkiError(problem("directory.timeout", "cannot tell"))
        return frozenset({"press"}) if address == "anna@a.example" else frozenset()


class World:
    def __init__(self, folder: Path) -> None:
        self.users = folder / "users"
        users.change(
            self.users,
            lambda _: {"anna": User("anna", CHEAP.hash("of anna"), ("anna@a.example",))},
        )
        self.directory = FakeDirectory()
        self.groups = FakeGroups()
        self.throttle = Throttle(folder / "guessing", Limits(free=3))
        self.logins = self.make()

    def make(self, **more: object) -> Logins:
        settings: dict[str, object] = {
            "users": UsersFile(self.users),
            "directories": [self.directory],
            "throttle": self.throttle,
            "passwords": CHEAP,
            "floor": timedelta(),
            **more,
        }
        return Logins(**settings)  # type: ignore[arg-type]

    def check(self, login: str, password: str, *, ip: str = IP, now: datetime = NOW) -> Identity:
        return asyncio.run(self.logins.check(login, password, ip, now))

    def refused(self, login: str, password: str, **more: object) -> tuple[int, str, str]:
        with pytest.raises(Refusal) as refusal:
            self.check(login, password, **more)  # type: ignore[arg-type]
        return refusal.value.code, refusal.value.status, refusal.value.text


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.logins.close()


def test_the_file_first_then_the_directory(world: World) -> None:
    assert world.check("ANNA", "of anna") == Identity("auth-file", "anna", ("anna@a.example",))
    assert world.directory.asked == []
    assert world.check("carla", "of carla") == Identity("auth-ldap", "carla", ("carla@a.example",))
    # who is in the file is not looked for elsewhere
    assert world.refused("anna", "wrong")[0] == 535
    assert [login for login, _ in world.directory.asked] == ["carla"]


def test_all_wrong_ones_look_the_same(world: World) -> None:
    answers = {
        world.refused(login, password, ip=f"192.0.2.{number}")
        for number, (login, password) in enumerate(
            [
                ("anna", "wrong"), ("anna", ""), ("nobody", "x"), ("carla", "x"), ("carla", ""),
                ("", "x"), ("a b", "x"), ("*", "x"), ("anna", "x" * 5000), ("anna\0", "of anna"),
                ("carla)(uid=*", "of carla"),
            ]
        )
    }  # fmt: skip
    assert answers == {(535, "5.7.8", "Authentication credentials invalid")}
    assert all(password for _, password in world.directory.asked)


def test_it_takes_as_long_for_logins_that_do_not_exist(world: World) -> None:
    slow = Passwords(Cost(3, 32_768, 1))
    users.change(world.users, lambda _: {"anna": User("anna", slow.hash("of anna"), ())})
    world.logins = world.make(passwords=slow, directories=[])

    # Processor time: what else runs here does not count. In turns, and the least of each.
    taken: dict[str, list[float]] = {"anna": [], "nobody": []}
    for hour in range(6):
        for login, found in taken.items():
            begun = time.process_time()
            world.refused(login, "wrong", now=NOW + timedelta(hours=hour))
            found.append(time.process_time() - begun)
    known, unknown = min(taken["anna"]), min(taken["nobody"])
    assert 0.5 < known / unknown < 2, taken


def test_and_never_less_than_the_floor(world: World) -> None:
    world.logins = world.make(floor=timedelta(seconds=0.3))
    begun = time.monotonic()
    world.refused("nobody", "x")
    assert time.monotonic() - begun >= 0.3
    world.logins = world.make(floor=timedelta(seconds=120))
    begun = time.monotonic()
    world.check("anna", "of anna")
    assert time.monotonic() - begun < 60


def test_a_dead_directory_is_cannot_tell_and_no_failure(world: World) -> None:
    world.directory.trouble = DirectoryTrouble(problem("directory.timeout", "no answer"))
    for _ in range(10):
        assert world.refused("carla", "x") == (454, "4.7.0", "Temporary authentication failure")
    assert world.check("anna", "of anna").name == "anna"  # she does not need it
    world.directory.trouble = None
    assert world.check("carla", "of carla").name == "carla"


def test_a_file_that_cannot_be_used_is_cannot_tell(world: World) -> None:
    world.users.chmod(0o644)
    with capture_logs() as logs:
        assert world.refused("anna", "of anna")[0] == 454
    assert [line["event"] for line in logs] == ["login_cannot_tell"]


def test_guessing_gets_454_the_right_password_too_and_an_alarm(world: World) -> None:
    with capture_logs() as logs:
        codes = [world.refused("anna", f"guess {n}")[0] for n in range(6)]
    assert codes == [535, 535, 535, 535, 454, 454]
    alarms = [line for line in logs if line["event"] == "login_guessing"]
    assert [(a["subject"], a["failures"], a["log_level"]) for a in alarms] == [
        ("network", 4, "error"), ("account", 4, "error"),
    ]  # fmt: skip
    assert world.refused("anna", "of anna")[0] == 454
    assert world.check("anna", "of anna", now=NOW + timedelta(seconds=3)).name == "anna"


def test_no_password_is_logged_nor_what_may_be_one(world: World) -> None:
    with capture_logs() as logs:
        world.refused("anna", "secret1")
        world.refused("secret2", "anna")  # typed into the wrong field
        world.check("anna", "of anna")
    text = repr(logs)
    assert "secret" not in text
    assert "of anna" not in text
    assert [line.get("login") for line in logs] == ["anna", "", "anna"]


def test_groups_are_asked_at_log_in(world: World) -> None:
    world.logins = world.make(groups=world.groups)
    assert world.check("anna", "of anna").groups == frozenset({"press"})
    world.groups.trouble = True
    # nobody may be refused for good, because nobody could tell what he may
    assert world.refused("anna", "of anna")[0] == 454


def test_a_hash_is_made_anew_when_the_parameters_were_raised(world: World) -> None:
    stronger = Passwords(Cost(2, 64, 1))
    world.logins = world.make(passwords=stronger)
    before = users.read(world.users)["anna"].hash
    world.check("anna", "of anna")
    after = users.read(world.users)["anna"].hash
    assert before != after
    assert not stronger.outdated(after)
    assert world.check("anna", "of anna").name == "anna"


def test_a_file_that_may_not_be_written_still_lets_people_in(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gateway.senders.logins.renew_hash", denied)
    world.logins = world.make(passwords=Passwords(Cost(2, 64, 1)))
    assert world.check("anna", "of anna").name == "anna"


def test_a_frozen_directory_keeps_nobody_else_out_and_the_queue_is_bounded(world: World) -> None:
    world.directory.answers.clear()

    async def flow() -> None:
        waiting = [
            asyncio.create_task(world.logins.check("carla", "of carla", f"10.0.0.{n}", NOW))
            for n in range(90)
        ]
        async with asyncio.timeout(60):
            # All threads of the directory are taken, and none of the others.
            while len(world.directory.asked) < 8 or world.logins._hashing._room < 66:
                await asyncio.sleep(0.01)
            anna = await world.logins.check("anna", "of anna", IP, NOW)
        assert anna.name == "anna"
        assert all(one.exception() for one in waiting if one.done()), "for whom it is frozen"
        world.directory.answers.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        busy = [one for one in results if isinstance(one, Refusal)]
        assert {one.code for one in busy} == {454}
        assert len(results) - len(busy) >= 50
        assert busy

    try:
        asyncio.run(flow())
    finally:
        world.directory.answers.set()


def test_who_is_named_by_a_front_end(world: World) -> None:
    def named(login: str) -> Identity:
        return asyncio.run(world.logins.named(login))

    assert named("Anna") == Identity("xclient", "anna", ("anna@a.example",))
    assert named("carla") == Identity("xclient", "carla", ("carla@a.example",))
    assert named("dora@a.example") == Identity("xclient", "dora@a.example", ("dora@a.example",))
    assert named("dora") == Identity("xclient", "dora")
    world.directory.trouble = DirectoryTrouble(problem("directory.timeout", "no answer"))
    with pytest.raises(Refusal) as refused:
        named("carla")
    assert refused.value.code == 451


@pytest.mark.parametrize(("login", "back_end"), [("anna", "file"), ("carla", "directory")])
def test_guessing_many_at_once_gives_no_more_tries(world: World, login: str, back_end: str) -> None:
    """Forty guesses over forty connections, and the right one is among them."""
    if back_end == "directory":
        world.directory.seconds = 0.01
    wrong = [f"guess {number}" for number in range(40)]

    async def burst() -> list[object]:
        tries = [
            world.logins.check(login, password, f"192.0.2.{number}", NOW)
            for number, password in enumerate([*wrong, f"of {login}"])
        ]
        return list(await asyncio.gather(*tries, return_exceptions=True))

    answers = asyncio.run(burst())

    *guesses, right = [getattr(answer, "code", answer) for answer in answers]
    assert right == 454, "the right password at the end of a burst of guesses"
    threads = 2 if back_end == "file" else 8
    assert guesses.count(535) <= 4 + threads  # four before the first wait, and those on their way
    assert set(guesses) == {535, 454}


def test_another_name_of_an_account_is_no_other_account(world: World) -> None:
    """A directory finds somebody by login, by address, by a name of old: it is one account."""
    names = ["carla", "carla@a.example", "c.dupont"]
    answers = [
        world.refused(names[number % 3], "x", ip=f"192.0.2.{number}")[0] for number in range(6)
    ]
    assert answers == [535, 535, 535, 535, 454, 454]
    assert world.refused("carla@a.example", "of carla", ip="192.0.2.99")[0] == 454
    # Her own place is not locked out by it, whichever name she uses there.
    later = NOW + timedelta(hours=1)
    assert world.check("carla@a.example", "of carla", ip="192.0.2.50", now=later).name == "carla"
    for number in range(6):
        world.refused("c.dupont", "x", ip=f"192.0.2.{number}", now=later)
    assert world.check("carla", "of carla", ip="192.0.2.50", now=later).name == "carla"
