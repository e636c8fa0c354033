"""What a person must look at now: a metric, a log line, and a mail to the postmaster.

`judge` is a pure function of how things stand; `Alarms` remembers what was already said, so that
a lasting trouble is one line, and one mail a day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from gateway.belief import BEHIND, MOVED
from gateway.clock import rfc3339
from gateway.i18n import message
from gateway.metrics.gauges import Standing, least_free
from gateway.queue.backlog import POISON_CODE
from gateway.running import Status

log = structlog.get_logger()

CRL_STALE = "crl-stale"
CERTIFICATE = "certificate-expiring"
DISK = "disk-nearly-full"
INDEX = "index-behind"
PROCESS = "process-dying"
POISON = "poison-held"
QUEUE = "queue-too-old"
CLOCK = "clock-not-believed"
CODES = (CRL_STALE, CERTIFICATE, DISK, INDEX, PROCESS, POISON, QUEUE, CLOCK)

_CERTIFICATE_ENDS = timedelta(days=7)
_INDEX_BEHIND = timedelta(minutes=15)
QUEUE_OLD = timedelta(hours=4)
_DEATHS, DEATHS_WITHIN = 3, timedelta(minutes=10)

# A mail for a code at most this often, however much comes to it; and again while it lasts.
_AT_MOST_EVERY = timedelta(hours=1)
_AGAIN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Alarm:
    """One trouble. code: one of CODES. subject: what of, so that a second one is noticed."""

    code: str
    subject: str
    template: str
    facts: dict[str, str]

    @property
    def text(self) -> str:
        """The English sentence."""
        return self.template.format(**self.facts)


def judge(standing: Standing, *, max_size: int) -> Iterator[Alarm]:
    """All troubles there are now. max_size: of one mail, in octets."""
    moment = standing.moment
    for issuer, next_update in standing.crls.items():
        if next_update < moment:
            yield Alarm(
                CRL_STALE,
                issuer,
                message("the CRL of {issuer} was to be replaced by {date}: mail may wait"),
                {"issuer": issuer, "date": rfc3339(next_update)},
            )
    for known in standing.certificates:
        if known.ends - moment < _CERTIFICATE_ENDS:
            yield Alarm(
                CERTIFICATE,
                f"{known.kind} {known.name}",
                message("the certificate {name} ({kind}) ends on {date}"),
                {"kind": known.kind, "name": known.name, "date": rfc3339(known.ends)},
            )
    for disk in standing.disks:
        if disk.free < least_free(disk, max_size):
            yield Alarm(
                DISK,
                str(disk.folder),
                message("{folder}: {free} MB are free; soon mail is answered 452"),
                {"folder": str(disk.folder), "free": str(disk.free // 1_000_000)},
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
    if (doubt := standing.doubt) is not None:
        yield Alarm(CLOCK, doubt.code, _CLOCK[doubt.code], doubt.facts)


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


@dataclass
class Alarms:
    """Says what is new. mail: writes to the postmaster; what it raises is tried again later.

    file: where it is kept what was said by mail, for the next process.
    """

    mail: Callable[[str, Sequence[Alarm], datetime], None]
    file: Path
    _said: dict[str, _Said] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            for code, (at, subjects) in json.loads(self.file.read_text("utf-8")).items():
                mailed = datetime.fromisoformat(at).astimezone(UTC)
                self._said[code] = _Said(set(), mailed, set(subjects))

    @property
    def on(self) -> frozenset[str]:
        """Codes of alarms that are on."""
        return frozenset(code for code, said in self._said.items() if said.subjects)

    def tell(self, alarms: Sequence[Alarm], moment: datetime) -> None:
        """Compare with what was said before; log what is new and what is over; write mails."""
        for code in CODES:
            now = [alarm for alarm in alarms if alarm.code == code]
            said = self._said.setdefault(code, _Said())
            for alarm in now:
                if alarm.subject not in said.subjects:
                    log.error("alarm", code=code, subject=alarm.subject, text=alarm.text)
            for subject in sorted(said.subjects - {alarm.subject for alarm in now}):
                log.info("alarm_over", code=code, subject=subject)
            said.subjects = {alarm.subject for alarm in now}
            if now and _due(said, moment):
                self._mail(code, now, said, moment)

    def _mail(self, code: str, now: Sequence[Alarm], said: _Said, moment: datetime) -> None:
        try:
            self.mail(code, now, moment)
        except Exception:
            log.exception("alarm_not_mailed", code=code)
            return
        said.mailed, said.mailed_subjects = moment, set(said.subjects)
        kept = {
            one: (each.mailed.isoformat(), sorted(each.mailed_subjects))
            for one, each in self._said.items()
            if each.mailed is not None
        }
        new = self.file.with_suffix(".new")
        with suppress(OSError):
            new.write_text(json.dumps(kept), "utf-8")
            new.replace(self.file)


def _due(said: _Said, moment: datetime) -> bool:
    if said.mailed is None or said.mailed > moment:  # never, or by a clock that ran ahead
        return True
    since = moment - said.mailed
    if since < _AT_MOST_EVERY:
        return False
    return since >= _AGAIN_AFTER or not said.subjects <= said.mailed_subjects
