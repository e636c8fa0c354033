"""What a person must look at now: a metric, a log line, and a mail to the postmaster.

`judge` is a pure function of how things stand; `Alarms` remembers what was already said, so that
a lasting trouble is one line, and one mail a day.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from gateway.ahead import Ahead
from gateway.alarm import Alarm
from gateway.alarms_of_ends import (
    CERTIFICATE,
    CRL_DELTA,
    CRL_ENDING,
    CRL_STALE,
    GRACE,
    OCSP_LATE,
    RECIPIENTS,
    ending,
    judge_opening,
    judge_recipients,
    judge_revocation,
)
from gateway.belief import BEHIND, MOVED
from gateway.clock import rfc3339
from gateway.i18n import message
from gateway.metrics.gauges import Standing, least_free
from gateway.neighbours import CRL, DATABASE, DIRECTORY, NEXT_HOP, OCSP, Absence
from gateway.queue.backlog import POISON_CODE
from gateway.running import Status
from gateway.wholefile import replace_text

log = structlog.get_logger()

DISK = "disk-nearly-full"
DISK_REFUSES = "disk-refuses"
INDEX = "index-behind"
SKIPPED = "index-skipped"
PROCESS = "process-dying"
POISON = "poison-held"
QUEUE = "queue-too-old"
NEIGHBOUR = "neighbour-away"
SIGNER = "signer-refused"
CLOCK = "clock-not-believed"
DECISION = "decision-not-believed"
AUTHORITY = "authority-unknown"
KEY_CHANGED = "key-changed"
KEY_REFUSED = "key-refused"
CODES = (
    CRL_STALE, CERTIFICATE, DISK, DISK_REFUSES, INDEX, SKIPPED, PROCESS, POISON, QUEUE, NEIGHBOUR,
    SIGNER, CLOCK, DECISION, AUTHORITY, CRL_ENDING, CRL_DELTA, GRACE, OCSP_LATE, RECIPIENTS,
    KEY_CHANGED, KEY_REFUSED,
)  # fmt: skip

# Whoever restarts a server need not be told.
_AWAY = timedelta(seconds=30)
_AHEAD = Ahead()
_AWAY_TEXTS = {
    DATABASE: message(
        "the database {name} cannot be used since {date} ({reason}): mail is answered 451 and "
        "waits with whoever sends it"
    ),
    DIRECTORY: message(
        "the directory server {name} does not answer since {date} ({reason}): mail whose "
        "certificates only it knows waits"
    ),
    NEXT_HOP: message(
        "the next hop of the route {name} does not answer since {date} ({reason}): its mail waits"
    ),
    CRL: message(
        "no CRL could be had from {name} since {date} ({reason}): mail waits once the last one "
        "has run out"
    ),
    OCSP: message(
        "the OCSP responder {name} does not answer since {date} ({reason}): mail waits once the "
        "last responses have run out and no CRL can tell"
    ),
}
_INDEX_BEHIND = timedelta(minutes=15)
QUEUE_OLD = timedelta(hours=4)
_DEATHS, DEATHS_WITHIN = 3, timedelta(minutes=10)

# A mail for a code at most this often, however much comes to it; and again while it lasts.
_AT_MOST_EVERY = timedelta(hours=1)
_AGAIN_AFTER = timedelta(days=1)


def judge(standing: Standing, *, room: int, ahead: Ahead = _AHEAD) -> Iterator[Alarm]:
    """All troubles there are now. room: octets that one mail may need. ahead: of ends."""
    moment = standing.moment
    yield from judge_revocation(standing, ahead)
    for known in standing.certificates:
        days = ahead.of(known.kind)
        if days is not None and known.ends - moment < days:
            yield Alarm(
                CERTIFICATE,
                f"{known.kind} {known.name}",
                message("the certificate {name} ({kind}) ends on {date}"),
                {"kind": known.kind, "name": known.name, "date": rfc3339(known.ends)},
            )
    yield from judge_recipients(standing.ends, ahead)
    yield from judge_opening(standing.ends, ahead)
    yield from _signing(standing, ahead)
    for disk in standing.disks:
        if disk.free < least_free(disk, room):
            yield Alarm(
                DISK,
                str(disk.folder),
                message("{folder}: {free} MB are free; soon mail is answered 452"),
                {"folder": str(disk.folder), "free": str(disk.free // 1_000_000)},
            )
    for folder, why in standing.refusing:
        yield Alarm(
            DISK_REFUSES,
            str(folder),
            message("nothing can be written in {folder}: {why}"),
            {"folder": str(folder), "why": why},
        )
    if standing.index is not None and standing.index.seconds > _INDEX_BEHIND.total_seconds():
        yield Alarm(
            INDEX,
            "",
            message("the full-text index is {minutes} min behind the log ({entries} entries)"),
            {
                "minutes": str(int(standing.index.seconds // 60)),
                "entries": str(standing.index.entries),
            },
        )
    yield from judge_absences(standing.absent, moment)
    if standing.skipped:
        yield Alarm(
            SKIPPED,
            str(standing.skipped),
            message("the index died on mails and has them by their ids only, today: {number}"),
            {"number": str(standing.skipped)},
        )
    if standing.status is not None:
        yield from dying(standing.status, moment)
    if poisoned := standing.backlog.reasons.get(POISON_CODE, 0):
        yield Alarm(
            POISON,
            str(poisoned),
            message("mail on which processes died is held, recipients: {number}"),
            {"number": str(poisoned)},
        )
    oldest = standing.backlog.oldest
    if oldest is not None and moment - oldest > QUEUE_OLD:
        yield Alarm(
            QUEUE,
            "",
            message("the oldest mail has been in the queue for {hours} h"),
            {"hours": str(int((moment - oldest).total_seconds() // 3600))},
        )
    for reason in standing.unbelieved:
        yield Alarm(
            DECISION,
            reason.text,
            message("a decision about trust does not count: {reason}"),
            {"reason": reason.text},
        )
    if standing.questions:
        yield Alarm(
            AUTHORITY,
            str(standing.questions),
            message(
                "authorities were met that nobody knows: {number} (sceau pki anchor questions)"
            ),
            {"number": str(standing.questions)},
        )
    if standing.changed_keys:
        yield Alarm(
            KEY_CHANGED,
            str(standing.changed_keys),
            message(
                "recipients have other keys than before, and a person must accept them: {number} "
                "(sceau pki cert suggestions)"
            ),
            {"number": str(standing.changed_keys)},
        )
    if standing.refused_keys:
        yield Alarm(
            KEY_REFUSED,
            str(standing.refused_keys),
            message(
                "keys of recipients share primes with others and are refused: {number} "
                "(sceau pki cert audit)"
            ),
            {"number": str(standing.refused_keys)},
        )
    if (doubt := standing.doubt) is not None:
        yield Alarm(CLOCK, doubt.code, _CLOCK[doubt.code], doubt.facts)


def judge_absences(found: Sequence[Absence], moment: datetime) -> Iterator[Alarm]:
    """Neighbours that have been away for longer than a restart takes."""
    for one in found:
        if moment - datetime.fromisoformat(one.since) >= _AWAY:
            facts = {"name": one.name, "date": one.since, "reason": one.reason}
            yield Alarm(NEIGHBOUR, f"{one.kind} {one.name}", _AWAY_TEXTS[one.kind], facts)


def _signing(standing: Standing, ahead: Ahead) -> Iterator[Alarm]:
    """Certificates of ours that must not sign, or soon cannot."""
    for domain, reason in standing.refused_seals.items():
        yield Alarm(
            SIGNER,
            f"seal {domain}",
            message("the seal of {domain} signs nothing now, and its mail waits: {reason}"),
            {"domain": domain, "reason": reason.text},
        )
    people = standing.people
    for address, reason in people.refused.items():
        yield Alarm(
            SIGNER,
            address,
            message("nothing is signed as {address} any more: {reason}"),
            {"address": address, "reason": reason.text},
        )
    if more := people.unfit - len(people.refused):
        yield Alarm(
            SIGNER,
            "more",
            message("nothing is signed as {number} people more any more: sceau check"),
            {"number": str(more)},
        )
    if people.ending and ahead.persons is not None:
        yield Alarm(
            CERTIFICATE,
            "persons",
            message("certificates that sign for people end within {days} days: {number} ({names})"),
            ending(ahead.persons, people.ending, list(people.ends)),
        )


_CLOCK = {
    MOVED: message(
        "mail is held: the clock shows {wall} and should show {expected}, {seconds} s off; set it "
        "right, or say that it is right: sceau clock confirm"
    ),
    BEHIND: message(
        "mail is held: the clock shows {wall}, and the log's last entry is of {expected}; set it "
        "right, or say that it is right: sceau clock confirm"
    ),
}


def dying(status: Status, moment: datetime) -> Iterator[Alarm]:
    """Roles whose processes die again and again."""
    deaths: dict[str, int] = {}
    for role, at in status.deaths:
        if moment - datetime.fromisoformat(at) < DEATHS_WITHIN:
            deaths[role] = deaths.get(role, 0) + 1
    for role, number in deaths.items():
        if number >= _DEATHS:
            yield Alarm(
                PROCESS,
                role,
                message("the process {role} died {number} times within {minutes} min"),
                {
                    "role": role,
                    "number": str(number),
                    "minutes": str(int(DEATHS_WITHIN.total_seconds() // 60)),
                },
            )


@dataclass
class _Said:
    """What was said of one code: of which subjects, and when by mail."""

    subjects: set[str] = field(default_factory=set)
    mailed: datetime | None = None
    mailed_subjects: set[str] = field(default_factory=set)
    owed: dict[str, Alarm] = field(default_factory=dict)  # told by no mail yet


@dataclass
class Alarms:
    """Says what is new. mail: writes to the postmaster; what it raises is tried again later.

    file: where it is kept what was said by mail, for the next process.
    """

    mail: Callable[[str, Sequence[Alarm], datetime], None]
    file: Path
    _said: dict[str, _Said] = field(default_factory=dict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            for code, (at, subjects) in json.loads(self.file.read_text("utf-8")).items():
                mailed = datetime.fromisoformat(at).astimezone(UTC)
                self._said[code] = _Said(set(), mailed, set(subjects))

    @property
    def on(self) -> frozenset[str]:
        """Codes of alarms that are on."""
        return frozenset(code for code, said in tuple(self._said.items()) if said.subjects)

    def tell(
        self,
        alarms: Sequence[Alarm],
        moment: datetime,
        *,
        codes: Sequence[str] = CODES,
        by_mail: bool = True,
    ) -> None:
        """Compare with what was said before; log what is new and what is over; write mails.

        codes: that were looked at. by_mail: False where no mail can be written now; it is
        written when it can be, also of what is over by then. Safe for threads.
        """
        due: list[tuple[str, list[Alarm]]] = []
        with self._turn:
            for code in codes:
                now = [alarm for alarm in alarms if alarm.code == code]
                said = self._said.setdefault(code, _Said())
                self._compare(code, now, said, moment, by_mail=by_mail)
                past = [alarm for alarm in said.owed.values() if alarm.over is not None]
                if by_mail and (now or past) and _due(said, moment):
                    due.append((code, [*now, *past]))
        # Not in turn: a frozen database keeps a mail waiting, and somebody has to tell of it.
        for code, about in due:
            self._mail(code, about, moment)

    def _compare(
        self, code: str, now: Sequence[Alarm], said: _Said, moment: datetime, *, by_mail: bool
    ) -> None:
        for alarm in now:
            if alarm.subject not in said.subjects:
                log.error("alarm", code=code, subject=alarm.subject, text=alarm.text)
                if not by_mail:
                    said.owed[alarm.subject] = alarm
        for subject in sorted(said.subjects - {alarm.subject for alarm in now}):
            log.info("alarm_over", code=code, subject=subject)
            if subject in said.owed:
                said.owed[subject] = replace(said.owed[subject], over=moment)
        said.subjects = {alarm.subject for alarm in now}

    def _mail(self, code: str, about: Sequence[Alarm], moment: datetime) -> None:
        try:
            self.mail(code, about, moment)
        except Exception as error:  # noqa: BLE001 - written at the next look
            log.error("alarm_not_mailed", code=code, reason=type(error).__name__)
            return
        with self._turn:
            said = self._said[code]
            for alarm in about:
                said.owed.pop(alarm.subject, None)
            said.mailed, said.mailed_subjects = moment, {alarm.subject for alarm in about}
            kept = {
                one: (each.mailed.isoformat(), sorted(each.mailed_subjects))
                for one, each in self._said.items()
                if each.mailed is not None
            }
        with suppress(OSError):
            replace_text(self.file, json.dumps(kept))


def _due(said: _Said, moment: datetime) -> bool:
    if said.mailed is None or said.mailed > moment:  # never, or by a clock that ran ahead
        return True
    since = moment - said.mailed
    if since < _AT_MOST_EVERY:
        return False
    return since >= _AGAIN_AFTER or not said.subjects <= said.mailed_subjects
