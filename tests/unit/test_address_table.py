"""The table of addresses once more, through the real intake, archive, policy and signing.

Every case is handed in like a mail from a relay. What is refused leaves nothing anywhere; what is
taken stands in the archive under the author, meets the rule of that author alone, and is signed
with his certificate. (`test_address_rule.py` has the table, and the rule by itself.)
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import migrations
from archive.access import read_content, read_fields
from archive.appender import Appender
from archive.reading import history
from archive.recipients import generate_recipient, load_private_key, load_recipient
from archive.store import create_log, head
from archive.working import WorkingKeys
from gateway import clock
from gateway.accept import Intake
from gateway.clock import to_micros
from gateway.database import Database, open_database
from gateway.errors import Refusal
from gateway.mail import Submission
from gateway.mime.authors import authorship
from gateway.mime.entity import split
from gateway.outbound.steps import Outbound
from gateway.policy import Encryption, Pattern, Policy, Rule, Sign, WithoutCertificate
from gateway.queue.store.claim import claim
from gateway.routes import Route, Routes
from gateway.signers import Signers
from gateway.smtp.nexthop import NextHop
from pki.errors import Problem
from pki.keys import make_signer
from pki.models import NoCertificate
from pki.persons import ConsentedSigner
from tests.pki_maker import Issued, root
from tests.unit.signing import FIT, any_seal
from tests.unit.test_address_rule import CASES, DOMAINS, PEER, RIGHTS, A, mail

TO = "x@b.example"
AUTHORS = tuple(dict.fromkeys(expected for _, _, expected in CASES if expected))
CA = root("Authors")
ORIGIN = "test.example/table"


@cache
def certificate_of(address: str) -> Issued:
    """One for each author; of an address that no rfc822Name can hold, the name alone says it."""
    emails = (address,) if address.isascii() else ()
    return CA.issue(
        address[:60], emails=emails, subject_key=ec.generate_private_key(ec.SECP256R1())
    )


class Persons:
    """Everybody's signer, by exactly the address that is asked for."""

    def signer_for(self, address: str, _moment: Any) -> ConsentedSigner | None:
        if address not in AUTHORS:
            return None
        issued = certificate_of(address)
        signer = make_signer("x", issued.key, (issued.der,))
        return ConsentedSigner(signer, "c" * 32, FIT)


@dataclass
class Gateway:
    """Intake and outbound on one database."""

    database: Database
    intake: Intake
    outbound: Outbound
    key: Any

    def take(self, raw: bytes) -> str | None:
        """The archive id; None where it is refused, and then nothing is left of it."""
        before = self._size()
        submission = Submission(raw, A, (TO,), PEER, clock.now())
        try:
            return asyncio.run(self.intake.accept(submission))
        except Refusal:
            assert self._size() == before
            return None

    def _size(self) -> int:
        with self.database.read() as conn:
            return head(conn).size


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("table")
    for name in ("authority", "escrow"):
        generate_recipient(name, folder / f"{name}.pub", folder / f"{name}.key")
    database = open_database(f"sqlite:///{folder / 'sceau.db'}")
    with database.write() as conn:
        migrations.upgrade(conn)
        create_log(conn, ORIGIN)
    appender = Appender(database.write, origin=ORIGIN, now=clock.now)
    intake = Intake(
        org="o", relays=(), rights=RIGHTS,
        recipients=tuple(load_recipient(folder / f"{n}.pub") for n in ("authority", "escrow")),
        working_keys=WorkingKeys(folder / "working"), appender=appender,
        hopeless=lambda _sender, _recipient: False, expire=timedelta(days=5), data_folder=folder,
        room=15_000,
    )  # fmt: skip
    rules = [
        Rule(f"rule of {address}", (Pattern(address),), (Pattern("*"),), Encryption.IF_POSSIBLE,
             WithoutCertificate.SEND_SIGNED, Sign.PERSON_ONLY)
        for address in AUTHORS
    ]  # fmt: skip
    routes = Routes([Route("all", NextHop("127.0.0.1", 1), (), default=True)])
    outbound = Outbound("gw.a.example", Policy(rules), routes, Signers({}, Persons(), any_seal))
    yield Gateway(database, intake, outbound, load_private_key(folder / "authority.key"))
    appender.close()
    database.close()


@pytest.mark.parametrize(("name", "header", "expected"), CASES, ids=[case[0] for case in CASES])
def test_one_answer_from_end_to_end(
    gateway: Gateway, name: str, header: bytes, expected: str | None
) -> None:
    raw = mail(header)

    archive_id = gateway.take(raw)

    assert (archive_id is None) == (expected is None)
    if archive_id is None:
        return

    # archive: the octets as they came, and From among the sealed fields
    def nothing(_drafts: object) -> None:
        return None

    reading: Any = {"reader": "r", "case": "c"}
    where = (nothing, gateway.database.read, archive_id, gateway.key)
    assert read_content(*where, **reading) == raw
    kept = read_fields(*where, **reading)["header.from"].value
    assert authorship(split(b"From: " + kept + b"\r\n\r\n")).author == expected
    with gateway.database.read() as conn:
        (accepted,) = history(conn, archive_id)
    proof = json.loads(accepted.value("sender.proof") or b"{}")
    with gateway.database.write() as conn:
        (job,) = claim(
            conn, worker="w", now=to_micros(clock.now()), limit=9, max_bytes=10**6,
            waits=[timedelta(hours=1)],
        )  # fmt: skip
    assert job.archive_id == archive_id
    assert proof["rule"] == "relay-domains"
    assert job.author == expected
    # policy and signing, from what the queue has, as a worker does it
    none = NoCertificate(("d",), (), Problem("directory.none", "none"))
    work = gateway.outbound.seal(job, raw, {TO: none}, moment=clock.now())
    (draft,) = work.drafts
    decision = json.loads(draft.fields["decision.000000"])
    assert (decision["sender"], decision["rule"]) == (expected, f"rule of {expected}")
    assert decision["signer"]["role"] == "person"
    assert decision["signer"]["certificate-sha256"] == certificate_of(str(expected)).sha256
    (group,) = work.groups
    assert certificate_of(str(expected)).der in _pkcs7(group.emitted)


def _pkcs7(emitted: bytes | None) -> bytes:
    """The signature of a clear-signed mail, decoded."""
    import email

    assert emitted is not None
    (_, signature) = email.message_from_bytes(emitted).get_payload()
    found = signature.get_payload(decode=True)  # type: ignore[union-attr]
    assert isinstance(found, bytes)
    return found


def test_the_authors_are_several_people() -> None:
    assert len(AUTHORS) >= 7
    assert len({certificate_of(address).sha256 for address in AUTHORS}) == len(AUTHORS)
    assert {address.rpartition("@")[2] for address in AUTHORS} == set(DOMAINS)
