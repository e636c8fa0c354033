"""The part for people: what happened, to whom, why, what to do."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.dsn.encoding import is_seven_bit, one_line, one_line_for_people, quoted_printable
from gateway.dsn.english import ENGLISH
from gateway.dsn.french import FRENCH
from gateway.dsn.language import Language
from gateway.dsn.machine import host_of, is_reply, status_of
from gateway.dsn.model import About, Event, Report
from gateway.dsn.texts import Texts
from gateway.i18n import translate

TEXTS: dict[Language, Texts] = {"en": ENGLISH, "fr": FRENCH}

_WIDTH = 76
INDENT = "    "
_PARAGRAPH = re.compile(r"\n\n")


def text_part(
    event: Event,
    about: About,
    reports: Sequence[Report],
    *,
    reporting_mta: str,
    message_id: str,
    language: Language,
) -> bytes:
    """The whole part, with its own header. message_id: of the mail, or ""."""
    text = _human(
        event,
        about,
        reports,
        reporting_mta=reporting_mta,
        message_id=message_id,
        language=language,
    )
    data = text.encode().replace(b"\n", b"\r\n")
    encoding, body = b"7bit", data
    if not is_seven_bit(data):
        encoding, body = b"quoted-printable", quoted_printable(data)
    return (
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Language: " + language.encode() + b"\r\n"
        b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    )


def _human(
    event: Event,
    about: About,
    reports: Sequence[Report],
    *,
    reporting_mta: str,
    message_id: str,
    language: Language,
) -> str:
    texts = TEXTS[language]
    paragraphs = [texts.greeting.format(host=reporting_mta)]
    opening = texts.openings[event].format(date=_day(about.arrival, texts))
    times = [report.until for report in reports if report.until is not None]
    if event in texts.until and len(times) == len(reports):
        opening += " " + texts.until[event].format(date=_day(min(times), texts))
    paragraphs += _PARAGRAPH.split(opening)
    written = [filled(text) for text in paragraphs]
    written += [_recipient(event, report, texts, language) for report in reports]
    if about.secret and event is Event.FAILED:
        written.append(filled(texts.headers_only))
    last = [texts.help, texts.archive_id.format(id=about.archive_id)]
    if message_id:
        last.append(texts.message_id.format(id=message_id))
    written.append("\n".join(last))
    return "\n\n".join(written) + "\n"


def _recipient(event: Event, report: Report, texts: Texts, language: Language) -> str:
    lines = []
    if event is not Event.RELAYED:
        status = status_of(event, report)
        lines.append(texts.reason.format(reason=texts.meaning(status), status=status))
    if report.expired:
        lines.append(texts.expired)
    said, host = one_line(report.said), host_of(report.remote_mta)
    if said and host and is_reply(said):
        # On a line of its own: it is what gets copied into a search.
        lines += [texts.said.format(host=host), INDENT + said]
    elif said:
        lines.append(texts.detail.format(text=said))
    elif report.reason is not None:
        reason = translate(report.reason.template, report.reason.facts, language)
        lines.append(texts.detail.format(text=one_line_for_people(reason)))
    written = [filled(line, INDENT, INDENT * 2) for line in lines]
    return "\n".join([f"<{one_line_for_people(report.address)}>", *written])


def filled(text: str, first: str = "", others: str = "") -> str:
    """Lines of 76 characters. first, others: what they begin with."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _day(moment: datetime, texts: Texts) -> str:
    return moment.astimezone(UTC).strftime(texts.date_format)
