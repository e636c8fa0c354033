"""One gateway for all tests that only use it: starting one costs more than most of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.demo.pki import Keys
from gateway.demo.postgres import Postgres
from tests.flows import stages
from tests.flows.senders_scene import senders as senders
from tests.flows.stages import stage
from tests.flows.way_out_scene import Scene
from tests.services.seaweed import Seaweed, seaweed

_EXPLAINED: pytest.StashKey[dict[str, Any]] = pytest.StashKey()

RULES = """
[[policy.rules]]                # a person looks at it before it goes
name = "look"
recipient = "@interieur.example"
subject_mark = "[à relire]"
action = "hold"
text = "relecture par le cabinet"
encryption = "required"
sign = "person"

[[policy.rules]]                # what stands in the header keeps it in
name = "no-drafts"
recipient = "@interieur.example"
header = "X-Statut: brouillon*"
action = "refuse"
text = "un brouillon ne part pas"

[[policy.rules]]                # a receipt is asked for, and the registry gets a copy
name = "registered"
recipient = "amelie.roux@justice.example"
subject_start = "[recommandé]"
encryption = "required"
sign = "person"
request_receipt = true
copy = "bastien.faure@justice.example"

[[policy.rules]]                # no certificate that is any good: told at once
name = "strict"
recipient = "denis.expire@justice.example"
encryption = "required"
without_certificate = "refuse"

[[policy.rules]]                # known to have no certificate: signed is enough
name = "signed-is-enough"
recipient = ["elise.sans@justice.example", "@dehors.example"]
encryption = "if-possible"
without_certificate = "send-signed"
sign = "person"

[[policy.rules]]
name = "by-seal"
sender = "hugo.blanc@interieur.example"
recipient = "bastien.faure@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "seal"

[[policy.rules]]
name = "partners"
recipient = ["@justice.example", "@interieur.example"]
encryption = "required"
without_certificate = "hold"
sign = "person"

[[policy.partners]]
domains = ["interieur.example"]
crypto = "modern"
"""


@pytest.fixture(scope="session")
def keys() -> Keys:
    """RSA keys, made once for all worlds of this run."""
    return Keys()


@pytest.fixture(scope="session")
def ministry(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys, flows_on: Postgres | None
) -> Iterator[Scene]:
    """A gateway with rules of every kind. Whoever uses it leaves it running and its world whole."""
    with stage(tmp_path_factory.mktemp("ministry"), keys=keys, postgres=flows_on) as made:
        house = made.house(
            rules=RULES, partner_domains=("justice.example", "interieur.example")
        ).make()
        text = house.config.read_text()
        text = text.replace('networks = ["127.0.0.0/8"]', 'networks = ["127.0.0.1/32"]')
        house.config.write_text(text.replace("[[relays]]", 'max_size = "1 MB"\n[[relays]]', 1))
        house.start()
        scene = Scene(made, house)
        yield scene
        assert house.stop() == 0
        assert scene.faults() == []


@pytest.fixture(scope="session")
def seaweed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    """An S3 server with a bucket. Whoever uses it leaves it running."""
    with seaweed(tmp_path_factory.mktemp("seaweed")) as server:
        yield server


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What `policy explain` was asked, from this process to the one that prints."""
    told = {
        name: (tally.asked, dict(tally.not_asked), len(tally.otherwise), seconds)
        for name, (tally, seconds) in stages.TOLD.items()
    }
    output = getattr(session.config, "workeroutput", None)
    (session.config.stash.setdefault(_EXPLAINED, {}) if output is None else output).update(
        {"explained": told}
    )


def pytest_testnodedown(node: Any) -> None:
    """The same, of a worker process (xdist)."""
    found = getattr(node, "workeroutput", {}).get("explained", {})
    node.config.stash.setdefault(_EXPLAINED, {}).setdefault("explained", {}).update(found)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """A line a flow: about how many recipients `explain` was asked, and why not about others."""
    told = config.stash.get(_EXPLAINED, {}).get("explained", {})
    for name, (asked, not_asked, otherwise, seconds) in sorted(told.items()):
        why = "".join(f"; {number} not: {reason}" for reason, number in sorted(not_asked.items()))
        terminalreporter.write_line(
            f"explain, {name}: {asked} asked, {otherwise} disagree, {seconds:.1f} s{why}"
        )
