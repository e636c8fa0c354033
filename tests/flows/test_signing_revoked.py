"""A certificate that signs is revoked while the gateway runs: real CRLs over HTTP, openssl judges.

openssl is asked with the CRLs as they stand when a mail arrives: a signature by a certificate that
was revoked by then would not verify.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.demo.judge import NotProvedError, Opened
from gateway.demo.pki import INTERIEUR, Keys
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, HUGO, JEANNE, REGISTRY, Scene, mail

pytestmark = pytest.mark.flow

RULES = """
[[policy.rules]]
name = "only-herself"
recipient = "bastien.faure@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "person-only"

[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "person"
"""


@dataclass
class Revocations(Scene):
    """What the CA of the ministry says, and what became of a mail."""

    number: int = 1

    def publish(self, *revoked: str) -> None:
        """A new CRL with these people's certificates (or "seal"); the gateway has it then."""
        assert self._publish(revoked, timedelta(days=7))
        time.sleep(1.1)  # a worker asks for news once a second: from now on it has it

    def let_the_crl_end(self) -> None:
        """Returns when the newest CRL, which the gateway has, is past its nextUpdate."""
        for seconds in (3, 6, 12, 24, 48):  # on a busy machine it may be over before it is fetched
            end = time.monotonic() + seconds + 1  # nextUpdate has whole seconds
            if self._publish((), timedelta(seconds=seconds)):
                time.sleep(max(1.1, end - time.monotonic()))
                return
        pytest.fail("no CRL was fetched in time")

    def _publish(self, revoked: tuple[str, ...], validity: timedelta) -> bool:
        """Whether the gateway has taken it."""
        self.number += 1
        issuing = self.stage.world.interieur.issuing
        issuing.publish_crl(
            moment=datetime.now(UTC).replace(microsecond=0), number=self.number,
            revoked=[self.certificate(name) for name in revoked], validity=validity,
        )  # fmt: skip
        return self.sceau("pki", "crl", "refresh").returncode == 0

    def certificate(self, name: str) -> x509.Certificate:
        seal = self.stage.world.interieur.seal
        if name == "seal":
            assert seal is not None
            return seal.certificate
        return self.credential(name).certificate

    def signed_by(self, archive_id: str) -> str:
        """Whose signature openssl has verified, with the CRLs of now, after opening it."""
        ((_, file),) = self.wait_arrived(archive_id)
        (address,) = self._opened(file).signer_addresses
        return address

    def _opened(self, file: Path) -> Opened:
        return self.opened(file, AMELIE)

    def decision(self, archive_id: str, to: str = AMELIE) -> dict[str, object]:
        found: dict[str, object] = self.queue(archive_id)[to]["decision"]
        return found

    def checked(self, subject: str) -> list[tuple[str, str]]:
        """Level and code of what `sceau check` finds."""
        done = self.sceau("check", "--json")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert lines, done.stderr.decode()
        return [
            (line["level"], line["code"])
            for line in lines
            if line["subject"] == subject and line["level"] != "ok"
        ]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Revocations]:
    with stage(tmp_path_factory.mktemp("revoked"), keys=keys) as made:
        house = made.house(rules=RULES, retry='["1s"]', workers=1, intake=1).make()
        house.start()
        found = Revocations(made, house)
        yield found
        assert house.stop() == 0
        assert found.faults(expected=("alarm",)) == []


SEAL = f"domain-signing-authority@{INTERIEUR}"


def test_a_certificate_that_is_revoked_signs_nothing_more(scene: Revocations) -> None:
    before = scene.accepted(mail(), AMELIE)
    assert scene.signed_by(before) == JEANNE
    signer = scene.decision(before)["signer"]
    assert isinstance(signer, dict)
    assert len(signer["crls-sha256"]) == 2

    scene.publish(JEANNE)

    # The CRL is a real one: openssl does not take her signature any more.
    with pytest.raises(NotProvedError, match="revoked"):
        scene.signed_by(before)
    # "person": the seal, and the decision says why.
    sealed = scene.accepted(mail(), AMELIE)
    assert scene.signed_by(sealed) == SEAL
    signer = scene.decision(sealed)["signer"]
    assert isinstance(signer, dict)
    assert (signer["role"], signer["instead-of-person"]["code"]) == ("domain", "revocation.revoked")
    # "person-only": held, visibly, and never another's signature.
    held = scene.accepted(mail(to=BASTIEN), BASTIEN)
    line = scene.wait_state(held, BASTIEN, "held")
    assert line["reason"]["code"] == "revocation.revoked"
    assert scene.arrived(held) == []
    _, notice = scene.wait_notice(held, "delayed")
    assert b"held" in notice
    # Others sign on, and people are told.
    assert scene.signed_by(scene.accepted(mail(sender=HUGO), AMELIE, sender=HUGO)) == HUGO
    assert ("error", "persons.refused") in scene.checked("persons")
    (shown,) = scene.json("pki", "key", "show", JEANNE)
    assert (shown["may_sign"], shown["problem"]["code"]) == (False, "revocation.revoked")

    # The CA takes it back (it was on hold): released, the mail goes as hers.
    scene.publish()
    assert scene.sceau("queue", "release", held).returncode == 0
    ((_, file),) = scene.wait_arrived(held)
    assert scene.opened(file, BASTIEN).signer_addresses == (JEANNE,)


def test_when_nobody_can_tell_mail_waits_and_goes_by_itself(scene: Revocations) -> None:
    scene.let_the_crl_end()
    waiting = scene.accepted(mail(sender=HUGO), AMELIE, sender=HUGO)
    line = scene.wait_reason(waiting, AMELIE, "revocation.stale")
    assert line["state"] == "queued"
    assert ("unknown", "persons.cannot-tell") in scene.checked("persons")
    assert scene.arrived(waiting) == []

    scene.publish()

    assert scene.signed_by(waiting) == HUGO


def test_a_seal_that_is_revoked_signs_nothing_more(scene: Revocations) -> None:
    by_seal = scene.accepted(mail(sender=REGISTRY), AMELIE, sender=REGISTRY)
    assert scene.signed_by(by_seal) == SEAL

    scene.publish("seal")

    waiting = scene.accepted(mail(sender=REGISTRY), AMELIE, sender=REGISTRY)
    line = scene.wait_reason(waiting, AMELIE, "revocation.revoked")
    assert line["state"] == "queued"
    assert ("error", "revocation.revoked") in scene.checked(f"seal {INTERIEUR}")
    # Who has a certificate of his own signs on.
    assert scene.signed_by(scene.accepted(mail(), AMELIE)) == JEANNE

    scene.publish()
    assert scene.signed_by(waiting) == SEAL
