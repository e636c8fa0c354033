"""A notice, put together from its parts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import datetime

from gateway.dsn.encoding import date, one_line, words
from gateway.dsn.human import TEXTS, text_part
from gateway.dsn.language import Languages
from gateway.dsn.machine import status_part
from gateway.dsn.model import About, Event, Report
from gateway.dsn.returned import returned_part
from gateway.mime.entity import Message, split

_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,250}>\Z")


def notice(
    event: Event,
    about: About,
    reports: Sequence[Report],
    *,
    reporting_mta: str,
    postmaster: str,
    languages: Languages,
    moment: datetime,
    boundary: str = "",
    message_id: str = "",
) -> bytes:
    """A complete mail with CRLF lines, to be sent with the null reverse-path.

    reporting_mta: host name of this gateway. postmaster: address it comes from. moment: aware.
    boundary, message_id: for tests; random when empty.
    Raises ValueError: the null sender (no notice about a notice, RFC 3461 §6.1), nobody to speak
    of, or a boundary that occurs in the mail.
    """
    if not about.sender:
        raise ValueError("a mail from the null sender gets no notice")
    if not reports:
        raise ValueError("there is no recipient to speak of")
    boundary = boundary or f"=_{secrets.token_hex(16)}"
    mail = split(about.raw)
    language = languages.choose(mail, about.sender)
    texts = TEXTS[language]
    its_id = _message_id(mail)
    returned = returned_part(event, about, mail)
    if boundary.encode() in returned:
        raise ValueError("the boundary occurs in the mail")
    header = [
        f"From: {texts.from_name} <{one_line(postmaster)}>",
        f"To: <{_mailbox(about.sender)}>",
        f"Subject: {words(texts.subjects[event])}",
        f"Date: {date(moment)}",
        f"Message-ID: {message_id or f'<{secrets.token_hex(16)}@{reporting_mta}>'}",
    ]
    if its_id:  # RFC 3834 §3.1.6: the notice is shown with the mail
        header += [f"In-Reply-To: {its_id}", f"References: {its_id}"]
    header += [
        # RFC 3834 §5: no vacation program answers this.
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
    ]
    parts = (
        text_part(
            event,
            about,
            reports,
            reporting_mta=reporting_mta,
            message_id=its_id,
            language=language,
        ),
        status_part(event, about, reports, reporting_mta=reporting_mta),
        returned,
    )
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return "\r\n".join(header).encode() + b"\r\n\r\n" + body + f"--{boundary}--\r\n".encode()


def _message_id(mail: Message) -> str:
    for field in mail.all("message-id"):
        if _MESSAGE_ID.match(field.value):
            return field.value.decode()
    return ""


def _mailbox(address: str) -> str:
    # "<" and ">" may stand in a quoted local part, which the session has checked.
    if any(c in "\r\n\0" for c in address):
        raise ValueError("not an address")
    return address
