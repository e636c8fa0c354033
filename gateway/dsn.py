"""Failure notices to senders: RFC 3461 §6, RFC 6522 (multipart/report), RFC 3464. Pure.

What goes back is 7-bit whatever came in (but for a sender whose address is not ASCII, RFC 6533),
so that a notice never fails where the mail itself would not have.
"""

from __future__ import annotations

import binascii
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from gateway import dsn_texts
from gateway.dsn_texts import Texts

# Larger mails come back as their header only, as with most servers.
RETURN_LIMIT = 50_000

# RFC 5322 §2.1.1, without CRLF.
_LINE_LIMIT = 998

# What comes back of a mail that had to be encrypted: enough to recognise it. RFC 6522 §3 would
# have all fields, but others may hold secrets (file names, marks, Bcc, fields of programs). The
# Subject is among them because S/MIME leaves it in clear on the mail itself (RFC 8551 §3.1).
_SAFE_FIELDS = frozenset(
    {
        b"from", b"sender", b"reply-to", b"to", b"cc", b"date", b"message-id",
        b"in-reply-to", b"references", b"subject",
    }
)  # fmt: skip

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*(?:\r\n|\Z)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,250}>\Z")
_STATUS = re.compile(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}\Z")
_DIAGNOSTIC = re.compile(r"[2-5][0-9][0-9](?: |\Z)")
_HOST = re.compile(r"([A-Za-z0-9._:-]+?)(?:\[.*\])?(?::[0-9]+)?\Z")
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e]+")

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """A recipient for whom delivery has failed for good.

    status: enhanced code (RFC 3463). diagnostic: "550 5.1.1 no such user" (the peer's words, with
        its code) or our own reason without one, or "". remote_mta: the peer's name, or "".
    last_attempt: aware; None where nothing was tried.
    """

    address: str
    status: str
    diagnostic: str
    remote_mta: str
    last_attempt: datetime | None


def failure_notice(
    *,
    reporting_mta: str,
    postmaster: str,
    original: bytes,
    original_sender: str,
    failed: Sequence[FailedRecipient],
    arrival: datetime,
    moment: datetime,
    archive_id: str,
    language: Literal["fr", "en"],
    headers_only: bool,
    boundary: str = "",
    message_id: str = "",
) -> bytes:
    """A complete mail with CRLF lines, to be sent with the null reverse-path.

    reporting_mta: host name of this gateway. postmaster: address it comes from. original: the
        mail as it came. arrival, moment: aware. archive_id: what an administrator looks up.
    headers_only: the mail had to be encrypted: nothing of its body may leave in clear, and of
        its header only what identifies it. Mails that are large or not 7-bit come back as their
        header as well, without Bcc.
    boundary, message_id: for tests; random when empty.
    Raises ValueError: the null sender (no notice about a notice, RFC 3461 §6.1), nobody failed,
    or a boundary that occurs in the mail.
    """
    if not original_sender:
        raise ValueError("a mail from the null sender gets no notice")
    if not failed:
        raise ValueError("no recipient has failed")
    boundary = boundary or f"=_{secrets.token_hex(16)}"
    texts = dsn_texts.LANGUAGES[language]
    returned = _returned(original, secret=headers_only)
    if boundary.encode() in returned:
        raise ValueError("the boundary occurs in the mail")
    message_id = message_id or f"<{secrets.token_hex(16)}@{reporting_mta}>"
    header = [
        f"From: {texts.from_name} <{_one_line(postmaster)}>",
        f"To: <{_mailbox(original_sender)}>",
        f"Subject: {_words(texts.subject)}",
        f"Date: {_date(moment)}",
        f"Message-ID: {message_id}",
        *_thread(original),
        # RFC 3834 §5: no vacation program answers this.
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
    ]
    human = _human(texts, reporting_mta, failed, arrival, archive_id, headers_only=headers_only)
    parts = (
        _text_part(human, language),
        b"Content-Type: message/delivery-status\r\n\r\n"
        + _status_fields(reporting_mta, failed, arrival, archive_id),
        returned,
    )
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return "\r\n".join(header).encode() + b"\r\n\r\n" + body + f"--{boundary}--\r\n".encode()


def _human(
    texts: Texts,
    reporting_mta: str,
    failed: Sequence[FailedRecipient],
    arrival: datetime,
    archive_id: str,
    *,
    headers_only: bool,
) -> str:
    """The part for people: what happened, to whom, why, what to do."""
    when = arrival.astimezone(UTC).strftime(texts.date_format)
    paragraphs = [texts.opening.format(host=reporting_mta, date=when)]
    for recipient in failed:
        status = _status(recipient)
        lines = [f"<{recipient.address}>"]
        lines.append("    " + texts.reason.format(reason=texts.meaning(status), status=status))
        said = _one_line(recipient.diagnostic)
        host = _host(recipient.remote_mta)
        if said and host and _DIAGNOSTIC.match(said):
            lines.append("    " + texts.said.format(host=host, text=said))
        elif said:
            lines.append("    " + texts.detail.format(text=said))
        paragraphs.append("\n".join(lines))
    if headers_only:
        paragraphs.append(texts.headers_only)
    paragraphs.append(texts.help.format(id=archive_id))
    return "\n\n".join(paragraphs) + "\n"


def _status_fields(
    reporting_mta: str, failed: Sequence[FailedRecipient], arrival: datetime, archive_id: str
) -> bytes:
    """message/delivery-status (RFC 3464 §2), for programs."""
    lines = [
        f"Reporting-MTA: dns; {reporting_mta}",
        f"X-Sceau-Archive-Id: {archive_id}",
        f"Arrival-Date: {_date(arrival)}",
    ]
    for recipient in failed:
        lines += [
            "",
            f"Final-Recipient: {_typed_address(recipient.address)}",
            "Action: failed",
            f"Status: {_status(recipient)}",
        ]
        if host := _host(recipient.remote_mta):
            lines.append(f"Remote-MTA: dns; {host}")
        said = _one_line(recipient.diagnostic)
        if _DIAGNOSTIC.match(said):  # RFC 3464 §2.3.6: only what an SMTP server has said
            lines.append(f"Diagnostic-Code: smtp; {said}")
        if recipient.last_attempt is not None:
            lines.append(f"Last-Attempt-Date: {_date(recipient.last_attempt)}")
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def _returned(original: bytes, *, secret: bool) -> bytes:
    """The third part, with its own header."""
    whole = not secret and len(original) <= RETURN_LIMIT
    if whole and _is_seven_bit(original):
        return b"Content-Type: message/rfc822\r\n\r\n" + original
    header = original.partition(b"\r\n\r\n")[0] + b"\r\n"
    kept = b"".join(
        field[0]
        for field in _FIELD.finditer(header)
        if (field[1].lower() in _SAFE_FIELDS if secret else field[1].lower() != b"bcc")
    )
    if _is_seven_bit(kept):
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + kept
    return (
        b"Content-Type: text/rfc822-headers; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + _quoted_printable(kept)
    )


def _text_part(text: str, language: str) -> bytes:
    return (
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Language: " + language.encode() + b"\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + _quoted_printable(text.encode())
    )


def _quoted_printable(data: bytes) -> bytes:
    """RFC 2045 §6.7, as text; every line end becomes CRLF."""
    # b2a_qp of a whole text guesses the line end from the first one it sees: line by line it
    # cannot be fooled.
    lines = _LINE_END.split(data)
    return b"\r\n".join(binascii.b2a_qp(line).replace(b"=\n", b"=\r\n") for line in lines)


def _is_seven_bit(data: bytes) -> bool:
    if not data.isascii() or b"\0" in data or data.count(b"\r\n") != data.count(b"\n"):
        return False
    if data.count(b"\r") != data.count(b"\n"):
        return False
    return all(len(line) <= _LINE_LIMIT for line in data.split(b"\r\n"))


def _thread(original: bytes) -> list[str]:
    """In-Reply-To and References (RFC 3834 §3.1.6), so that the notice is shown with the mail."""
    header = original.partition(b"\r\n\r\n")[0] + b"\r\n"
    for field in _FIELD.finditer(header):
        if field[1].lower() == b"message-id":
            value = field[0].partition(b":")[2].strip()
            if _MESSAGE_ID.match(value):
                return [f"In-Reply-To: {value.decode()}", f"References: {value.decode()}"]
    return []


def _typed_address(address: str) -> str:
    """RFC 3464 §2.3.2; RFC 6533 §3 for what is not ASCII, in the form that stays 7-bit."""
    if address.isascii():
        return f"rfc822; {_one_line(address)}"
    encoded = "".join(
        c if " " < c < "\x7f" and c not in "\\+=" else f"\\x{{{ord(c):X}}}" for c in address
    )
    return f"utf-8; {encoded}"


def _mailbox(address: str) -> str:
    # "<" and ">" may stand in a quoted local part, which the session has checked.
    if any(c in "\r\n\0" for c in address):
        raise ValueError("not an address")
    return address


def _status(recipient: FailedRecipient) -> str:
    return recipient.status if _STATUS.match(recipient.status) else "5.0.0"


def _host(remote_mta: str) -> str:
    """The name in "name", "name:port" or "name[ip]:port"."""
    match = _HOST.match(remote_mta)
    return match[1] if match else ""


def _one_line(text: str) -> str:
    """Printable ASCII, one line, so long that a header line holds it."""
    return _NOT_PRINTABLE.sub("?", " ".join(text.split()))[:900]


def _words(text: str) -> str:
    """A header value; RFC 2047 where it is not ASCII (each encoded word has at most 75 octets)."""
    if text.isascii():
        return text
    words: list[str] = []
    chunk = ""
    for char in text:
        if len((chunk + char).encode()) > 42:
            words.append(chunk)
            chunk = ""
        chunk += char
    words.append(chunk)
    return "\r\n ".join(
        f"=?utf-8?b?{binascii.b2a_base64(word.encode(), newline=False).decode()}?="
        for word in words
    )


def _date(moment: datetime) -> str:
    """RFC 5322 §3.3, in English whatever the locale."""
    utc = moment.astimezone(UTC)
    day, month = _DAYS[utc.weekday()], _MONTHS[utc.month - 1]
    return f"{day}, {utc.day} {month} {utc.year} {utc:%H:%M:%S} +0000"
