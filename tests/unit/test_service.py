"""What is taken into force and what is not, and who is asked before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import running
from gateway.accepted import inherited
from gateway.errors import SceauError
from gateway.metrics.tally import Tally, make_run_folder
from gateway.serve import Plan, ReloadRefused
from gateway.service import Service
from gateway.wiring import Wiring
from tests.unit.cli_pki_house import House


class Hooks:
    """Notes what it is asked about; refuses postmasters called "nobody"."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, wiring: Wiring) -> None:
        name = wiring.config.gateway.postmaster
        self.seen.append(name)
        if name.startswith("nobody@"):
            raise SceauError("the policy cannot be recorded")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def service(house: House, hooks: Hooks) -> Iterator[Service]:
    made = Service(house.config, ["worker"], Tally(), on_start=[hooks], on_reload=[hooks])
    yield made
    made.wiring.close()


@pytest.fixture
def plan(service: Service) -> Iterator[Plan]:
    made = service.first_plan()
    make_run_folder(service.wiring.run_folder)
    service.started(made)
    yield made
    made.close()


def change(house: House, old: str, new: str) -> None:
    text = house.config.read_text("utf-8")
    assert old in text
    house.config.write_text(text.replace(old, new, 1), "utf-8")


def faults(service: Service, plan: Plan) -> list[str]:
    with pytest.raises(ReloadRefused) as refused:
        service.next_plan(plan)
    return refused.value.faults


def test_hooks_are_asked_before_anything_starts(
    house: House, service: Service, plan: Plan, hooks: Hooks
) -> None:
    assert hooks.seen == ["postmaster@interior.example"]
    change(house, "postmaster@", "chief@")

    new = service.next_plan(plan)
    service.reloaded(new, ())

    assert hooks.seen[1:] == ["chief@interior.example"]
    assert new.accepted is not None
    assert inherited(new.accepted.fd).gateway.postmaster == "chief@interior.example"
    new.close()


def test_a_handover_that_failed_asks_them_for_what_is_in_force_again(
    house: House, service: Service, plan: Plan, hooks: Hooks
) -> None:
    change(house, "postmaster@", "chief@")
    digest = service.status.digest

    service.next_plan(plan).close(but=plan)
    service.reloaded(plan, ["a new process died"])

    assert [name.partition("@")[0] for name in hooks.seen] == ["postmaster", "chief", "postmaster"]
    assert service.wiring.config.gateway.postmaster == "postmaster@interior.example"
    assert service.status.digest == digest
    status = running.read(service.wiring.run_folder)
    assert status is not None
    assert (status.reload.accepted, status.reload.faults) == (False, ["a new process died"])


def test_a_hook_may_refuse(house: House, service: Service, plan: Plan) -> None:
    change(house, "postmaster@", "nobody@")

    assert faults(service, plan) == ["the policy cannot be recorded"]
    assert service.wiring.config.gateway.postmaster == "postmaster@interior.example"


def test_all_faults_are_told_at_once(house: House, service: Service, plan: Plan) -> None:
    change(house, "port = 10025", 'port = "x"\nnonsense = 1')
    change(house, 'format = "json"', 'format = "xml"')

    told = faults(service, plan)

    assert len(told) == 3
    assert all("sceau.toml:" in fault for fault in told)


def test_what_a_file_holds_is_tried_too(house: House, service: Service, plan: Plan) -> None:
    (house.base / "keys" / "seal.key").write_bytes(b"rubbish")

    (fault,) = faults(service, plan)

    assert fault.startswith("seals[1]: ")
    assert str(house.base / "keys" / "seal.key") in fault


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("data/sceau.db", "data/other.db", "data/other.db"),
        ('/archive"', '/other"', "archive.origin"),
        ("keys/working", "keys/others", "archive.working_keys"),
        ("data/index", "data/text", "archive.index"),
    ],
)
def test_what_two_generations_share_does_not_move(
    house: House, service: Service, plan: Plan, old: str, new: str, key: str
) -> None:
    change(house, old, new)

    (fault,) = faults(service, plan)

    assert key in fault


def test_the_status_of_a_process_that_is_gone_is_none(tmp_path: Path) -> None:
    status = running.Status(*running.own())
    status.write(tmp_path)
    assert running.read(tmp_path) == status

    status.started = "1"  # another process has the number now
    status.write(tmp_path)
    assert running.read(tmp_path) is None
    (tmp_path / "status.json").write_text("{")
    assert running.read(tmp_path) is None
