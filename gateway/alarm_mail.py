"""The mail that tells the postmaster of an alarm: a notice of ours, archived and queued."""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from archive.entry import new_archive_id
from archive.recipients import ArchiveRecipient
from archive.seal import seal
from archive.store import Draft, append
from archive.working import WorkingKeys
from gateway.accept import notice_fields
from gateway.alarms import Alarm
from gateway.clock import to_micros
from gateway.database import Database
from gateway.i18n import message, translate
from gateway.queue import store
from gateway.queue.jobs import NewMessage

log = structlog.get_logger()

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip

_OPENING = message("The mail gateway {host} needs somebody to look after it.")
_NEXT = message("Next: run {command} there; what each alarm means stands in docs/metrics.md.")
_RATE = message("This mail comes at most once an hour for one kind of alarm, daily while it lasts.")


@dataclass(frozen=True, slots=True)
class AlarmMails:
    """Writes and queues them. language: of the text ("en", "fr")."""

    database: Database
    org: str
    origin: str
    hostname: str
    postmaster: str
    language: str
    recipients: tuple[ArchiveRecipient, ...]
    working_keys: WorkingKeys
    expire_micros: int

    def __call__(self, code: str, alarms: Sequence[Alarm], moment: datetime) -> None:
        """Queue one mail about these alarms. Raises what kept it from being committed."""
        content = alarm_mail(
            code,
            alarms,
            hostname=self.hostname,
            postmaster=self.postmaster,
            language=self.language,
            moment=moment,
        )
        archive_id = new_archive_id()
        sealed = seal(content, {}, self.recipients, self.working_keys.current(moment), archive_id)
        micros = to_micros(moment)
        fields = notice_fields(self.postmaster, "", moment)
        row = NewMessage(
            archive_id=archive_id,
            org=self.org,
            kind="notice",
            sender="",
            author="",
            parameters={},
            sha256=sealed.content_sha256,
            size=len(content),
            accepted_at=micros,
            expires_at=micros + self.expire_micros,
            recipients=(self.postmaster,),
        )
        with self.database.write() as conn:
            store.enqueue(conn, [row])
            draft = Draft("accepted", self.org, archive_id, fields, sealed)
            append(conn, [draft], origin=self.origin, now=moment)
        log.info("alarm_mailed", id=archive_id, code=code, alarms=len(alarms))


def alarm_mail(
    code: str,
    alarms: Sequence[Alarm],
    *,
    hostname: str,
    postmaster: str,
    language: str,
    moment: datetime,
) -> bytes:
    """A complete mail with CRLF lines. The subject is ASCII in every language: people filter."""
    utc = moment.astimezone(UTC)
    date = (
        f"{_DAYS[utc.weekday()]}, {utc.day} {_MONTHS[utc.month - 1]} {utc.year} "
        f"{utc:%H:%M:%S} +0000"
    )
    lines = [translate(_OPENING, {"host": hostname}, language), ""]
    lines += [f"- {translate(one.template, one.facts, language)}" for one in alarms]
    lines += ["", translate(_NEXT, {"command": "sceau check"}, language)]
    lines += [translate(_RATE, {}, language)]
    header = [
        f"From: Sceau <{postmaster}>",
        f"To: <{postmaster}>",
        f"Subject: [sceau] alarm {code} ({hostname})",
        f"Date: {date}",
        f"Message-ID: <{secrets.token_hex(16)}@{hostname}>",
        "Auto-Submitted: auto-generated",  # RFC 3834 §5
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Language: {language}",
        "Content-Transfer-Encoding: quoted-printable",
    ]
    # Facts may come from certificates of strangers: one line each, whatever they hold.
    body = b"".join(_line(" ".join(line.split())) for line in lines)
    return "\r\n".join(header).encode("ascii") + b"\r\n\r\n" + body


def _line(text: str) -> bytes:
    """RFC 2045 §6.7."""
    return binascii.b2a_qp(text.encode()).replace(b"=\n", b"=\r\n") + b"\r\n"
