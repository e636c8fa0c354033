"""`sceau demo`: the whole product on one machine, judged by tools that are not ours."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.demo.client import Letter, Receipt, send
from gateway.demo.house import House
from gateway.demo.judge import Case, Check, judge, open_mail, write_trust
from gateway.demo.mails import Mail, ham, large, samples
from gateway.demo.pki import INTERIEUR, JUSTICE, Credential, Fault, Person
from gateway.demo.postgres import Postgres
from gateway.demo.sink import Delivery, read_ledger
from gateway.demo.stage import Stage, stage

SENDER = f"jeanne.moreau@{INTERIEUR}"
HAM = 200

_HAM_ARCHIVE = Path("ham") / "easy-ham-1.tar.xz"
_ID = re.compile(rb"(?im)^received:(?:[^\r\n]*\r\n[ \t])*?[^\r\n]*\bid ([a-z0-9]+);")


@dataclass
class Show:
    """One run of the demo and what it found."""

    stage: Stage
    house: House
    say: Callable[[str], None]
    checks: list[Check] = field(default_factory=list)
    letters: dict[str, Letter] = field(default_factory=dict)
    receipts: dict[str, Receipt] = field(default_factory=dict)

    def check(self, name: str, good: bool, seen: str = "") -> None:
        """Note a check for the table at the end."""
        self.checks.append(Check(name, good, seen))

    def person(self, local: str) -> Person:
        """Somebody of justice.example by the part before the @."""
        address = f"{local}@{JUSTICE}"
        return next(p for p in self.stage.world.people if p.address == address)


def run(
    folder: Path,
    *,
    mails: Path,
    corpora: Path | None,
    say: Callable[[str], None],
    postgres: Postgres | None = None,
) -> list[Check]:
    """Everything in order; the checks in the order in which they were made.

    postgres: a server that is running for this; otherwise SQLite.
    """
    with stage(folder, postgres=postgres) as stage_:
        say(
            "made: two ministries, their CAs and CRLs; running: slapd, CRL server, receiving server"
        )
        house = stage_.house().make()
        house.start()
        try:
            say(f"sceau serve is ready on 127.0.0.1:{house.listen_port}")
            show = Show(stage_, house, say)
            _send(show, mails, corpora)
            _delivered(show)
            _not_delivered(show)
            _archive(show)
        finally:
            code = house.stop()
        show.check("sceau serve ends cleanly", code == 0, f"exit {code}")
        _flip(show)
        return show.checks


# -- sending -----------------------------------------------------------------------------------


def _send(show: Show, mails: Path, corpora: Path | None) -> None:
    amelie, bastien = show.person("amelie.roux"), show.person("bastien.faure")
    letters = []
    for mail in samples(mails):
        letters.append(_letter(f"{mail.name} (RSA)", mail, amelie.address))
        letters.append(_letter(f"{mail.name} (EC)", mail, bastien.address))
    letters.append(_letter("large", large(SENDER, amelie.address), amelie.address, bastien.address))
    two = samples(mails)[0]
    letters.append(_letter("blind copy", two, amelie.address, bastien.address))
    for fault in Fault:
        if fault is not Fault.NONE:
            person = show.stage.world.justice.person(fault)
            letters.append(_letter(f"to {person.address}", two, person.address))
    archive = corpora / _HAM_ARCHIVE if corpora else None
    if archive is not None and archive.exists():
        letters += [
            _letter(f"ham {mail.name}", mail, amelie.address)
            for mail in ham(archive, HAM, sender=SENDER)
        ]
    show.letters = {letter.key: letter for letter in letters}
    show.say(f"sending {len(letters)} mails")
    begin = time.monotonic()
    receipts = send(letters, show.house.listen_port, connections=4)
    show.receipts = {receipt.key: receipt for receipt in receipts}
    taken = sum(receipt.code == 250 for receipt in receipts)
    show.check(
        "every mail was answered 250 with an archive id",
        taken == len(letters) and all(receipt.archive_id for receipt in receipts),
        f"{taken} of {len(letters)}",
    )
    # A stranger's From: the gateway must not sign for it.
    forged = _letter("forged", Mail("forged", two.content.replace(SENDER.encode(), b"a@other.example")), amelie.address)  # noqa: E501  # fmt: skip
    (answer,) = send([forged], show.house.listen_port, connections=1)
    show.check("a From outside the relay's domains is refused", answer.code == 550, f"{answer.code} {answer.text}")  # noqa: E501  # fmt: skip
    settled = show.house.wait_settled(seconds=180)
    show.check("nothing is left queued", settled, f"after {time.monotonic() - begin:.1f} s")


def _letter(key: str, mail: Mail, *recipients: str) -> Letter:
    return Letter(key, SENDER, recipients, mail.content)


# -- what arrived ------------------------------------------------------------------------------


def _delivered(show: Show) -> None:
    show.say("opening every delivered mail with openssl")
    world = show.stage.world
    trust = write_trust([world.interieur, world.justice], show.stage.folder / "trust.pem")
    by_id = {receipt.archive_id: key for key, receipt in show.receipts.items()}
    author = world.interieur.person()
    assert author.credential is not None
    cases = []
    deliveries = _notices_apart(read_ledger(show.stage.sink.folder))
    arrived: dict[tuple[str, str], int] = {}
    for delivery in deliveries:
        file = show.stage.sink.folder / delivery.file
        key = by_id.get(archive_id_of(file.read_bytes()), "")
        for recipient in delivery.rcpt_to:
            arrived[key, recipient] = arrived.get((key, recipient), 0) + 1
            cases.append(
                Case(
                    f"{key} → {recipient}",
                    file,
                    show.letters[key].content if key else b"",
                    _credential(show, recipient),
                    author.credential,
                )
            )
    verdicts = judge(cases, trust)
    wrong = [f"{verdict.case.name}: {verdict.problem}" for verdict in verdicts if verdict.problem]
    show.check(
        "openssl decrypts and verifies each; the signed entity is the one that came",
        bool(verdicts) and not wrong,
        wrong[0] if wrong else f"{len(verdicts)} mails, octet for octet",
    )
    good = {show.person("amelie.roux").address, show.person("bastien.faure").address}
    expected = {
        (key, recipient): 1
        for key, letter in show.letters.items()
        for recipient in letter.rcpt_to
        if recipient in good
    }
    show.check(
        "each recipient with a good certificate got each mail once", arrived == expected,
        f"{len(arrived)} deliveries",
    )  # fmt: skip
    plain = [c.name for c in cases if _shows_plaintext(c.delivered.read_bytes(), c.original)]
    show.check("no delivered mail shows a line of its text", not plain, f"{len(cases)} looked at")
    _blind(show, deliveries, trust)


def _blind(show: Show, deliveries: Sequence[Delivery], trust: Path) -> None:
    """The blind recipient's copy is a message of its own that only he can open."""
    wanted = show.receipts["blind copy"].archive_id
    bastien, amelie = _credential(show, f"bastien.faure@{JUSTICE}"), _credential(show, f"amelie.roux@{JUSTICE}")  # noqa: E501  # fmt: skip
    copies = [
        delivery
        for delivery in deliveries
        if archive_id_of((show.stage.sink.folder / delivery.file).read_bytes()) == wanted
    ]
    apart = len(copies) == 2 and all(len(copy.rcpt_to) == 1 for copy in copies)
    leaked = 0
    for copy in copies:
        other = bastien if copy.rcpt_to[0].startswith("amelie") else amelie
        try:
            open_mail(show.stage.sink.folder / copy.file, other, trust)
        except Exception:  # noqa: BLE001, S112 - not opened: as it should be
            continue
        leaked += 1
    show.check(
        "a blind recipient is sealed alone", apart and not leaked, f"{len(copies)} envelopes"
    )


def _credential(show: Show, address: str) -> Credential | None:
    return next(p.credential for p in show.stage.world.people if p.address == address)


def _notices_apart(deliveries: Sequence[Delivery]) -> list[Delivery]:
    return [delivery for delivery in deliveries if delivery.mail_from]


def _shows_plaintext(delivered: bytes, original: bytes) -> bool:
    body = original.partition(b"\r\n\r\n")[2]
    lines = [line for line in body.split(b"\r\n") if len(line) > 20]
    sent = delivered.partition(b"\r\n\r\n")[2]
    return any(line in sent for line in lines[:50])


def archive_id_of(mail: bytes) -> str:
    """The archive id in the Received field that the gateway put in front."""
    found = _ID.search(mail.partition(b"\r\n\r\n")[0])
    return found[1].decode() if found else ""


# -- what did not ------------------------------------------------------------------------------

_EXPECTED = {
    Fault.REVOKED: "revocation.revoked",
    Fault.EXPIRED: "path.expired",
    Fault.ABSENT: "directory.none",
    Fault.OTHER_ADDRESS: "identity.address",
    Fault.GARBAGE: "structure.certificate",
}


def _not_delivered(show: Show) -> None:
    held = {
        str(line["recipient"]): line for line in show.house.json("queue", "list", "--state", "held")
    }
    for fault, code in _EXPECTED.items():
        person = show.stage.world.justice.person(fault)
        line = held.get(person.address)
        reason = None if line is None else line["reason"]
        seen = reason if isinstance(reason, dict) else {"code": "", "text": "not held"}
        show.check(f"held: {fault.value}", seen["code"] == code, str(seen["text"]))


# -- the archive -------------------------------------------------------------------------------


def _archive(show: Show) -> None:
    show.say("asking the archive")
    house = show.house
    back = show.stage.folder / "given-back"
    ids = [receipt.archive_id for receipt in show.receipts.values()]
    house.run(
        "archive", "show", *ids, "--key", str(house.authority_key), "--case", "demo",
        "--out", str(back),
    )  # fmt: skip
    same = [
        key
        for key, receipt in show.receipts.items()
        if (back / f"{receipt.archive_id}.eml").read_bytes() == show.letters[key].content
    ]
    show.check(
        "the archive gives each mail back, octet for octet", len(same) == len(show.letters),
        f"{len(same)} of {len(show.letters)}",
    )  # fmt: skip
    indexed = house.wait_indexed(seconds=120)
    hits = house.json("archive", "search", "subject:prefecture", "--case", "demo")
    wanted = {show.receipts[key].archive_id for key in show.letters if key.startswith("accents")}
    found = {str(hit["id"]) for hit in hits}
    show.check(
        "a word without its accents finds the mail",
        indexed and wanted <= found,
        f"{len(hits)} hits",
    )
    (report,) = house.json("archive", "verify", check=False)
    show.check("the chain verifies without any key", report["status"] == "valid", f"{report['entries']} entries")  # noqa: E501  # fmt: skip
    (report,) = house.json(
        "archive", "verify", "--open", "--key", str(house.authority_key), "--case", "demo",
        check=False,
    )  # fmt: skip
    # Each held mail has brought a notice to its sender into the archive.
    held = {line["id"] for line in house.json("queue", "list", "--state", "held")}
    show.check(
        "with the authority's key every mail and notice opens to what the log says",
        report["status"] == "valid" and report["opened"] == len(show.letters) + len(held),
        f"{report['opened']} opened",
    )
    history = house.json("archive", "history", show.receipts["large"].archive_id)
    kinds = [str(entry["kind"]) for entry in history]
    show.check(
        "the history of a mail tells what was done",
        kinds[:1] == ["accepted"] and {"sealed", "delivered", "read"} <= set(kinds),
        ", ".join(kinds),
    )


def _flip(show: Show) -> None:
    """Change one bit of one entry in a copy of the data and see whether `verify` names it."""
    copy = show.stage.folder / "tampered"
    shutil.copytree(show.house.folder, copy)
    tampered = replace(show.house, folder=copy, database="tampered")
    if (server := show.house.postgres) is not None:
        server.create(tampered.database, copy_of=show.house.database)
        tampered.reconfigure()
        with server.connect(tampered.database) as session:
            session.execute("SET search_path = archive")
            index = _flip_one(session, "%s")
    else:
        with closing(sqlite3.connect(copy / "data" / "sceau.db")) as database, database:
            index = _flip_one(database, "?")
    done = tampered.json("archive", "verify", check=False)
    show.check(
        "one flipped bit is found and named",
        done[0]["status"] == "invalid" and done[0]["first_bad"] == index,
        f"bit flipped in entry {index}; verify says {done[0]['first_bad']}",
    )


def _flip_one(session: Any, place: str) -> int:
    """Change an entry in the middle; its index. place: how the driver writes a parameter."""
    (total,) = session.execute("SELECT count(*) FROM log_entries").fetchone()
    index = int(total) // 2
    select = "SELECT entry FROM log_entries WHERE entry_index = ?"
    update = "UPDATE log_entries SET entry = ? WHERE entry_index = ?"
    (entry,) = session.execute(select.replace("?", place), (index,)).fetchone()
    changed = bytearray(entry)
    changed[len(changed) // 2] ^= 1
    session.execute(update.replace("?", place), (bytes(changed), index))
    return index
