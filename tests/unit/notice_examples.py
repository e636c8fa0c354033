"""One notice of each kind, made by the product from fixed facts: docs/notices.md shows them.

python -m tests.unit.notice_examples          # prints them
python -m tests.unit.notice_examples --write  # puts them into docs/notices.md
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy

from gateway.dsn import About, Event, Languages, Report, notice
from gateway.dsn.digest import held_warning
from gateway.dsn.language import Language
from gateway.queue.held import HeldLine
from pki.errors import Problem
from tests.corpora import ROOT

PAGE = ROOT / "docs" / "notices.md"

ARRIVAL = datetime(2026, 11, 21, 8, 30, 5, tzinfo=UTC)
MAIL = (
    b"Received: from pc7.interior.example\r\n"
    b"From: Anna Martin <anna@interior.example>\r\n"
    b"To: bruno@justice.example\r\n"
    b"Subject: Minutes of Friday\r\n"
    b"Date: Sat, 21 Nov 2026 09:30:00 +0100\r\n"
    b"Message-ID: <7f3a@interior.example>\r\n"
    b"\r\n"
    b"Dear Bruno, ...\r\n"
)
ABOUT = About(
    archive_id="5f0c1f0e9a7d4c1b8a52e4d0c7b3a691",
    raw=MAIL,
    sender="anna@interior.example",
    arrival=ARRIVAL,
    envid="QQ314159",
    received_from="mail.interior.example",
)
BRUNO = Report(
    "bruno@justice.example",
    "5.1.1",
    remote_mta="mx.justice.example[192.0.2.25]:25",
    last_attempt=ARRIVAL + timedelta(seconds=2),
    orcpt="rfc822;Bruno@justice.example",
)
NO_CERTIFICATE = Problem(
    "directory.none",
    "no certificate for {address} was found (looked in: {places})",
    {"address": "bruno@justice.example", "places": "local store, justice"},
)


def example(
    event: Event, report: Report, about: About, *, after: timedelta, language: Language = "en"
) -> bytes:
    """As the gateway would write it so long after it had taken the mail."""
    return notice(
        event,
        about,
        [report],
        reporting_mta="sceau.interior.example",
        postmaster="postmaster@interior.example",
        languages=Languages(language),
        moment=ARRIVAL + after,
        boundary="=_0123456789abcdef",
        message_id="<0123456789abcdef@sceau.interior.example>",
    )


_SOON = timedelta(seconds=2)
_REFUSED = replace(BRUNO, said="550 5.1.1 <bruno@justice.example>: Recipient address rejected")
_LATER = replace(
    BRUNO,
    status="4.4.1",
    said="mx.justice.example:25: no connection in time",
    last_attempt=ARRIVAL + timedelta(hours=4),
    until=ARRIVAL + timedelta(days=5),
)
_HELD = Report(
    "bruno@justice.example",
    "4.7.5",
    reason=NO_CERTIFICATE,
    orcpt=BRUNO.orcpt,
    until=ARRIVAL + timedelta(days=30, seconds=2),
)

_TAKEN = replace(BRUNO, status="2.0.0", said="250 2.0.0 Ok: queued as 4F1C2")


def examples(language: Language) -> dict[str, bytes]:
    """One of each event."""
    return {
        "failed": example(Event.FAILED, _REFUSED, ABOUT, after=_SOON, language=language),
        "delayed": example(
            Event.DELAYED, _LATER, ABOUT, after=timedelta(hours=4), language=language
        ),
        "held": example(Event.HELD, _HELD, ABOUT, after=_SOON, language=language),
        "relayed": example(
            Event.RELAYED, _TAKEN, replace(ABOUT, secret=False), after=_SOON, language=language
        ),
    }


WARNING = held_warning(
    [HeldLine(ABOUT.archive_id, ABOUT.sender, "bruno@justice.example", ARRIVAL, NO_CERTIFICATE)],
    expire=timedelta(days=30),
    reporting_mta="sceau.interior.example",
    postmaster="postmaster@interior.example",
    language="en",
    moment=ARRIVAL + timedelta(days=23),
    message_id="<0123456789abcdef@sceau.interior.example>",
)


def shown() -> dict[str, str]:
    """What stands in the page, by name: notices as they travel, French ones as they are read."""
    found = {name: data.decode("ascii") for name, data in examples("en").items()}
    found["warning"] = WARNING.decode("ascii")
    for name, data in examples("fr").items():
        message = message_from_bytes(data, policy=policy.default)
        text = next(iter(message.iter_parts())).get_content()
        found[f"{name}-fr"] = f"{message['Subject']}\n\n{text}"
    return {name: text.replace("\r\n", "\n").rstrip("\n") + "\n" for name, text in found.items()}


def block(name: str, text: str) -> str:
    """An example between its marks."""
    return f"<!-- example: {name} -->\n```text\n{text}```\n"


def main() -> None:
    """Print, or write into the page."""
    if "--write" not in sys.argv:
        print("\n".join(block(name, text) for name, text in shown().items()))
        return
    page = PAGE.read_text("utf-8")
    for name, text in shown().items():
        pattern = rf"<!-- example: {name} -->\n```text\n.*?```\n"
        page = re.sub(pattern, lambda _, n=name, t=text: block(n, t), page, flags=re.DOTALL)
    PAGE.write_text(page, "utf-8")


if __name__ == "__main__":
    main()
