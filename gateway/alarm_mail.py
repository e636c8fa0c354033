"""The mail that tells the postmaster of an alarm: a notice of ours, archived and queued."""

from __future__ import annotations

import binascii
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from archive.store import Draft, append
from gateway import clock
from gateway.alarm import Alarm
from gateway.clock import rfc3339
from gateway.database import Database
from gateway.i18n import message, translate
from gateway.mime.received import date_time
from gateway.notices import Notices
from gateway.queue.store.enqueue import enqueue

log = structlog.get_logger()

_OPENING = message("The mail gateway {host} needs somebody to look after it.")
_OVER = message("That is over since {date}.")
_NEXT = message("Next: run {command} there; what each alarm means stands in docs/metrics.md.")
_RATE = message("This mail comes at most once an hour for one kind of alarm, daily while it lasts.")


@dataclass(frozen=True, slots=True)
class AlarmMails:
    """Writes and queues them. notices: whose postmaster they go to, in its default language."""

    database: Database
    origin: str
    notices: Notices
    marked: Callable[[Sequence[Draft]], Sequence[Draft]] = lambda drafts: drafts

    def __call__(self, code: str, alarms: Sequence[Alarm], moment: datetime) -> None:
        """Queue one mail about these alarms. Raises what kept it from being committed."""
        notices = self.notices
        content = alarm_mail(
            code,
            alarms,
            hostname=notices.hostname,
            postmaster=notices.postmaster,
            language=notices.languages.default,
            moment=moment,
        )
        mail, draft = notices.message(content, notices.postmaster, about="", now=moment)
        with self.database.write() as conn:
            # The time of an entry is the wall clock as it is, believed or not.
            append(conn, self.marked([draft]), origin=self.origin, now=clock.now())
            enqueue(conn, [mail])
        log.info("alarm_mailed", id=mail.archive_id, code=code, alarms=len(alarms))


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
    lines = [translate(_OPENING, {"host": hostname}, language), ""]
    lines += [f"- {_sentence(one, language)}" for one in alarms]
    lines += ["", translate(_NEXT, {"command": "sceau check"}, language)]
    lines += [translate(_RATE, {}, language)]
    header = [
        f"From: Sceau <{postmaster}>",
        f"To: <{postmaster}>",
        f"Subject: [sceau] alarm {code} ({hostname})",
        f"Date: {date_time(moment)}",
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


def _sentence(alarm: Alarm, language: str) -> str:
    text = translate(alarm.template, alarm.facts, language)
    if alarm.over is None:
        return text
    return f"{text}. {translate(_OVER, {'date': rfc3339(alarm.over)}, language)}"


def _line(text: str) -> bytes:
    """RFC 2045 §6.7."""
    return binascii.b2a_qp(text.encode()).replace(b"=\n", b"=\r\n") + b"\r\n"
