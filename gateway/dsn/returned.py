"""The third part: what of the mail goes back to its sender (RFC 6522 §3).

Never Bcc. Of a mail that had to be encrypted nothing but what identifies it.
"""

from __future__ import annotations

from gateway.dsn.encoding import is_seven_bit, quoted_printable
from gateway.dsn.model import About, Event
from gateway.mime.entity import Message, closed

# Larger mails come back as their header only, as with most servers.
RETURN_LIMIT = 50_000

# RFC 6522 §3 would have all fields, but others may hold secrets: file names, marks, Bcc, fields of
# programs. So may the Subject, which a mail with protected header fields hides (RFC 9788).
_SAFE_FIELDS = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "date", "message-id", "in-reply-to", "references",
    }
)  # fmt: skip
_BLIND = frozenset({"bcc", "resent-bcc"})


def returned_part(event: Event, about: About, mail: Message) -> bytes:
    """The whole part, with its own header."""
    kept = b"".join(
        closed(field.raw)
        for field in mail.fields
        if (field.name in _SAFE_FIELDS if about.secret else field.name not in _BLIND)
    )
    # RFC 3461 §4.3: RET is about failures; of all else the header is enough.
    if event is Event.FAILED and not about.secret and not about.headers_only:
        whole = kept + b"\r\n" + bytes(mail.body)
        if len(whole) <= RETURN_LIMIT and is_seven_bit(whole):
            return b"Content-Type: message/rfc822\r\n\r\n" + whole
    if is_seven_bit(kept):
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + kept
    kind = b"message/global-headers" if about.smtputf8 else b"text/rfc822-headers; charset=utf-8"
    return (
        b"Content-Type: " + kind + b"\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted_printable(kept)
    )
