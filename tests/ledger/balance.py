"""Compares what was promised, what is archived and what arrived; nothing is left out, none wins.

Demanded is that every list of `Balance` is empty. `duplicates` is a number, each of them justified:
the same octets under the same archive id, by a death of a worker between the mail's acceptance and
the commit of its outcome, after which the next hop may or may not have had it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.ledger.archive import Archive, Entry, Reader
from tests.ledger.client import Attempt
from tests.ledger.letters import Letter, key_of
from tests.ledger.opening import Mailbox, NotEncryptedError, NotOpenedError, entity_of, opened
from tests.ledger.sink import Arrival

# What leaves in clear under our name goes to senders, and bears this field.
_ABOUT = b"x-sceau-archive-id: "
# So long after the death of a worker its last octets may still be read by the next hop.
_IN_THE_WIRE = 5.0


@dataclass(frozen=True, slots=True)
class Death:
    """A worker, or all, died: from the moment on which it was failing until it was gone."""

    begun: float
    ended: float


@dataclass
class Balance:
    """What is wrong, in words, by what is wrong. See the module."""

    lost: list[str] = field(default_factory=list)
    archived_not_queued: list[str] = field(default_factory=list)
    queued_not_archived: list[str] = field(default_factory=list)
    sent_not_archived: list[str] = field(default_factory=list)
    in_clear: list[str] = field(default_factory=list)
    not_one_state: list[str] = field(default_factory=list)
    too_often: list[str] = field(default_factory=list)
    not_identical: list[str] = field(default_factory=list)
    not_what_was_sent: list[str] = field(default_factory=list)
    not_told: list[str] = field(default_factory=list)
    not_asked_for: list[str] = field(default_factory=list)
    duplicates: int = 0

    @property
    def faults(self) -> dict[str, list[str]]:
        """The lists that are not empty."""
        return {
            name: value for name, value in vars(self).items() if isinstance(value, list) and value
        }


@dataclass
class Ledger:
    """Books that are balanced again and again while they grow.

    boxes: who must get ciphertext, by address. trust: see `opening.opened`. reader: opens the
    archive. What was opened once is not opened again.
    """

    boxes: Mapping[str, Mailbox]
    trust: Path
    reader: Reader
    letters: dict[str, Letter] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    _opened: set[str] = field(default_factory=set)

    def balance(self, archive: Archive, arrivals: Sequence[Arrival]) -> Balance:
        """When nothing is queued any more."""
        found = Balance()
        sent = self._archived(archive, found)
        arrived = self._arrived(archive, arrivals, found)
        self._promised(archive, found)
        self._states(archive, arrived, found)
        self._duplicates(archive, arrived, found)
        self._told(archive, arrived, found)
        self._clear(arrivals, found)
        self._open(sent, arrived, found)
        return found

    # -- archive against what was sent and what is queued ----------------------------------------

    def _archived(self, archive: Archive, found: Balance) -> dict[str, Letter]:
        """The letter of each archived mail, once its archived octets were opened and compared."""
        by_hash = {letter.sha256: letter for letter in self.letters.values()}
        sent: dict[str, Letter] = {}
        for archive_id, entry in archive.accepted.items():
            if archive_id not in archive.queued:
                found.archived_not_queued.append(archive_id)
            if entry.fields["direction"] == b"notice":
                continue
            letter = by_hash.get(entry.fields["content.sha256"].decode())
            if letter is None:
                found.not_what_was_sent.append(f"{archive_id}: the archive has another mail")
                continue
            sent[archive_id] = letter
            if archive_id not in self._opened:
                if self.reader.open(archive, archive_id) != letter.content:
                    found.not_what_was_sent.append(f"{archive_id} {letter.key}: archived otherwise")
                self._opened.add(archive_id)
            if entry.numbered("envelope.to") != letter.rcpt_to:
                found.not_what_was_sent.append(f"{archive_id} {letter.key}: for others")
        found.queued_not_archived += sorted(archive.queued - archive.accepted.keys())
        return sent

    def _promised(self, archive: Archive, found: Balance) -> None:
        """Every 250 is in the archive, as that mail; nothing is there that nobody tried to send."""
        promised: dict[str, set[str]] = defaultdict(set)
        tried: Counter[str] = Counter()
        for attempt in self.attempts:
            tried[attempt.key] += 1
            if 500 <= attempt.code <= 599:
                found.lost.append(f"{attempt.key}: answered {attempt.code} {attempt.text}")
            if attempt.code == 250:
                promised[attempt.key].add(attempt.archive_id)
                entry = archive.accepted.get(attempt.archive_id)
                wanted = self.letters[attempt.key].sha256.encode()
                if entry is None or entry.fields["content.sha256"] != wanted:
                    found.lost.append(
                        f"{attempt.key}: 250 {attempt.archive_id}, not in the archive"
                    )
        found.lost += [f"{key}: never answered 250" for key in self.letters if not promised[key]]
        copies = Counter(
            entry.fields["content.sha256"].decode() for entry in archive.accepted.values()
        )
        for key, letter in self.letters.items():
            if copies[letter.sha256] > tried[key]:
                found.not_asked_for.append(
                    f"{key}: {tried[key]} tries, {copies[letter.sha256]} kept"
                )

    # -- what arrived ----------------------------------------------------------------------------

    def _arrived(
        self, archive: Archive, arrivals: Sequence[Arrival], found: Balance
    ) -> dict[tuple[str, str], list[Arrival]]:
        """By archive id and recipient. All that arrived has its `sealed` entry with its hash."""
        sealed: dict[tuple[str, str], str] = {
            (entry.fields["emitted.sha256"].decode(), recipient): entry.id
            for entry in archive.of_kind("sealed")
            for recipient in entry.numbered("recipient")
        }
        arrived: dict[tuple[str, str], list[Arrival]] = defaultdict(list)
        for arrival in arrivals:
            digest = hashlib.sha256(arrival.content).hexdigest()
            for recipient in arrival.rcpt_to:
                archive_id = sealed.get((digest, recipient))
                if archive_id is None:
                    found.sent_not_archived.append(f"{arrival.file} {recipient}")
                else:
                    arrived[archive_id, recipient].append(arrival)
        return arrived

    def _states(
        self,
        archive: Archive,
        arrived: Mapping[tuple[str, str], list[Arrival]],
        found: Balance,
    ) -> None:
        """One row a recipient; one final entry that says the same; and at the sink accordingly."""
        rows: dict[tuple[str, str], list[str]] = defaultdict(list)
        for archive_id, address, state in archive.states:
            rows[archive_id, address].append(state)
        ends: dict[tuple[str, str], list[str]] = defaultdict(list)
        for entry in archive.entries:
            if entry.kind in ("delivered", "failed"):
                for recipient in entry.numbered("recipient"):
                    ends[entry.id, recipient].append(entry.kind)
        for archive_id, entry in archive.accepted.items():
            for recipient in entry.numbered("envelope.to"):
                key = archive_id, recipient
                states, final = rows.pop(key, []), ends.pop(key, [])
                if len(states) != 1 or states != final:
                    found.not_one_state.append(f"{key}: rows {states}, log {final}")
                if states == ["delivered"] and not arrived.get(key):
                    found.lost.append(f"{key}: delivered, and it never arrived")
                if states == ["failed"] and arrived.get(key):
                    found.not_one_state.append(f"{key}: failed, and it arrived")
        found.not_one_state += [f"{key}: nobody sent him anything" for key in {**rows, **ends}]

    def _duplicates(
        self,
        archive: Archive,
        arrived: Mapping[tuple[str, str], list[Arrival]],
        found: Balance,
    ) -> None:
        ends = {
            (entry.id, recipient): entry.at
            for entry in archive.of_kind("delivered")
            for recipient in entry.numbered("recipient")
        }
        for key, copies in arrived.items():
            if len({copy.content for copy in copies}) > 1:
                found.not_identical.append(f"{key}")
            more = len(copies) - 1
            if not more:
                continue
            found.duplicates += more
            first = min(copy.at for copy in copies)
            reasons = [
                death
                for death in self.deaths
                if first <= death.ended + _IN_THE_WIRE and death.begun <= ends.get(key, 0.0)
            ]
            if more > len(reasons):
                found.too_often.append(f"{key}: {more} more than once, {len(reasons)} deaths")

    def _told(
        self,
        archive: Archive,
        arrived: Mapping[tuple[str, str], list[Arrival]],
        found: Balance,
    ) -> None:
        """Of each failure the sender is told, once."""
        notices: dict[str, list[str]] = defaultdict(list)
        told: Counter[tuple[str, str]] = Counter()
        for entry in archive.of_kind("notified"):
            if entry.fields["event"] == b"failed":
                notices[entry.id].append(entry.fields["notice"].decode())
                told.update((entry.id, recipient) for recipient in entry.numbered("recipient"))
        failed = [
            (entry, recipient)
            for entry in archive.of_kind("failed")
            for recipient in entry.numbered("recipient")
        ]
        for entry, recipient in failed:
            sender = _sender(archive, entry)
            if not sender:
                continue
            if told.pop((entry.id, recipient), 0) != 1:
                found.not_told.append(f"{entry.id} {recipient}: not told once")
            for notice in notices[entry.id]:
                came = arrived.get((notice, sender), [])
                if not came or _ABOUT + entry.id.encode() not in came[0].content.lower():
                    found.not_told.append(f"{entry.id} {recipient}: {notice} did not arrive")
        found.not_told += [f"{key}: told of no failure" for key in told]

    def _clear(self, arrivals: Collection[Arrival], found: Balance) -> None:
        """No octets of a body anywhere but inside encryption; notices have the header only."""
        secrets = [letter.secret for letter in self.letters.values() if letter.secret]
        for arrival in arrivals:
            if arrival.file not in self._opened:
                found.in_clear += [
                    f"{arrival.file}: {secret.decode()}"
                    for secret in secrets
                    if secret in arrival.content
                ]

    def _open(
        self,
        sent: Mapping[str, Letter],
        arrived: Mapping[tuple[str, str], list[Arrival]],
        found: Balance,
    ) -> None:
        """Each recipient opens his first copy: it is what was sent, and it was encrypted."""
        wanted = []
        for (archive_id, recipient), copies in arrived.items():
            letter, box = sent.get(archive_id), self.boxes.get(recipient)
            if letter is None or box is None or f"{copies[0].file} {recipient}" in self._opened:
                continue
            self._opened |= {copies[0].file, f"{copies[0].file} {recipient}"}
            if key_of(copies[0].content) != letter.key:
                found.not_what_was_sent.append(f"{copies[0].file}: not {letter.key}")
            wanted.append((copies[0], box, letter))

        def problem(one: tuple[Arrival, Mailbox, Letter]) -> str:
            arrival, box, letter = one
            try:
                same = opened(arrival.content, box, self.trust) == entity_of(letter.content)
            except NotEncryptedError:
                found.in_clear.append(f"{arrival.file} {letter.key}: not encrypted")
                return ""
            except NotOpenedError as error:
                return f"{arrival.file} {letter.key}: {error}"
            return "" if same else f"{arrival.file} {letter.key}: other octets"

        with ThreadPoolExecutor(2) as pool:  # each is a process of openssl
            found.not_what_was_sent += [text for text in pool.map(problem, wanted) if text]


def _sender(archive: Archive, entry: Entry) -> str:
    """Who is to be told; "" for a notice, of which nobody is told."""
    return archive.accepted[entry.id].fields.get("envelope.from", b"").decode()
