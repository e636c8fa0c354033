"""The warning to the postmaster: held mail that is going to be given up. Pure.

No notice about a mail but a letter: text/plain. It names ids, envelope addresses and reasons, as
`sceau queue list` does, and nothing of the mails.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from gateway.dsn.encoding import (
    date,
    is_seven_bit,
    one_line,
    one_line_for_people,
    quoted_printable,
    words,
)
from gateway.dsn.human import INDENT, TEXTS, filled
from gateway.dsn.language import Language
from gateway.i18n import translate
from pki.errors import Problem

# More than a person reads at once; the command shows all.
_LINES = 50


class Held(Protocol):
    """What is said of one held recipient."""

    @property
    def archive_id(self) -> str:
        """Of the mail."""
        ...

    @property
    def sender(self) -> str:
        """Reverse-path, "" for the null sender."""
        ...

    @property
    def recipient(self) -> str:
        """Forward-path."""
        ...

    @property
    def since(self) -> datetime:
        """When it was held."""
        ...

    @property
    def reason(self) -> Problem | None:
        """Why."""
        ...


@dataclass(frozen=True, slots=True)
class _Words:
    subject: str
    opening: str
    line: str
    more: str
    closing: str


_WORDS: dict[Language, _Words] = {
    "en": _Words(
        "Held mail will be given up soon ({count})",
        "On the mail gateway {host} mail is held and waits for your decision. What nobody decides "
        "about goes back to its sender as undeliverable, at the time named here:",
        "{date}  {id}\n    from <{sender}> to <{recipient}>",
        "and {count} more.",
        "sceau queue show ID tells more; sceau queue release ID has it decided anew, sceau queue "
        "bounce ID gives it up now. This letter comes once a day while there is such mail.",
    ),
    "fr": _Words(
        "Des messages en attente seront bientôt abandonnés ({count})",
        "Sur la passerelle de messagerie {host}, des messages sont en attente (held) de votre "
        "décision. Sans décision, chacun reviendra à son expéditeur comme non remis, à la date "
        "indiquée :",
        "{date}  {id}\n    de <{sender}> à <{recipient}>",
        "et {count} autres.",
        "sceau queue show ID en dit plus ; sceau queue release ID fait reprendre la décision, "
        "sceau queue bounce ID abandonne le message tout de suite. Cette lettre vient une fois "
        "par jour tant qu'il y a de tels messages.",
    ),
}


def held_warning(
    lines: Sequence[Held],
    *,
    expire: timedelta,
    reporting_mta: str,
    postmaster: str,
    language: Language,
    moment: datetime,
    message_id: str = "",
) -> bytes:
    """A complete mail with CRLF lines. lines: in the order in which they are given up.

    message_id: for tests; random when empty.
    """
    said = _WORDS[language]
    paragraphs = [filled(said.opening.format(host=reporting_mta))]
    for line in lines[:_LINES]:
        ends = (line.since + expire).astimezone(UTC).strftime(TEXTS[language].date_format)
        said_of_it = said.line.format(
            date=ends,
            id=line.archive_id,
            sender=one_line_for_people(line.sender),
            recipient=one_line_for_people(line.recipient),
        )
        if line.reason is not None:
            reason = translate(line.reason.template, line.reason.facts, language)
            said_of_it += "\n" + filled(one_line_for_people(reason), INDENT, INDENT)
        paragraphs.append(said_of_it)
    if len(lines) > _LINES:
        paragraphs.append(said.more.format(count=len(lines) - _LINES))
    paragraphs.append(filled(said.closing))
    text = ("\n\n".join(paragraphs) + "\n").encode().replace(b"\n", b"\r\n")
    encoding, body = b"7bit", text
    if not is_seven_bit(text):
        encoding, body = b"quoted-printable", quoted_printable(text)
    header = [
        f"From: {TEXTS[language].from_name} <{one_line(postmaster)}>",
        f"To: <{one_line(postmaster)}>",
        f"Subject: {words(said.subject.format(count=len(lines)))}",
        f"Date: {date(moment)}",
        f"Message-ID: {message_id or f'<{secrets.token_hex(16)}@{reporting_mta}>'}",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Language: {language}",
        f"Content-Transfer-Encoding: {encoding.decode()}",
    ]
    return "\r\n".join(header).encode() + b"\r\n\r\n" + body
