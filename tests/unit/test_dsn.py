"""Notices, read by a parser that is not ours."""

from __future__ import annotations

import email
import email.policy
import quopri
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from typing import Any

import pytest

from gateway.dsn import About, Event, Languages, Report, notice
from gateway.dsn.encoding import folded
from gateway.dsn.human import TEXTS
from gateway.dsn.returned import RETURN_LIMIT
from gateway.smtp.syntax import is_mailbox
from pki.errors import Problem

MOMENT = datetime(2026, 11, 21, 18, 30, 5, tzinfo=UTC)
ORIGINAL = (
    b"Received: from pc7.internal\r\n"
    b"From: =?utf-8?q?Agn=C3=A8s?= <agnes@example.org>\r\n"
    b"To: bob@example.net,\r\n\tcarol@example.net\r\n"
    b"Bcc: hidden@example.net\r\n"
    b"Subject: plan\r\n"
    b"X-Password: hunter2\r\n"
    b"Message-ID: <m1@example.org>\r\n"
    b'Content-Type: text/plain; name="secret-name.txt"\r\n'
    b"\r\n"
    b"the secret body\r\n"
)
BCC = b"Bcc: hidden@example.net\r\n"
BOB = Report(
    "bob@example.net",
    "5.1.1",
    said="550 5.1.1 no such user",
    remote_mta="mx.example.net[192.0.2.1]:25",
    last_attempt=MOMENT,
)
ABOUT = About(
    archive_id="a1b2c3",
    raw=ORIGINAL,
    sender="agnes@example.org",
    arrival=MOMENT - timedelta(hours=2),
    secret=False,
)


def made(
    *reports: Report,
    event: Event = Event.FAILED,
    language: Any = "en",
    moment: datetime = MOMENT,
    boundary: str = "",
    **changes: Any,
) -> bytes:
    data = notice(
        event,
        replace(ABOUT, **changes),
        reports or [BOB],
        reporting_mta="gw.example.org",
        postmaster="postmaster@example.org",
        languages=Languages(language),
        moment=moment,
        boundary=boundary,
        message_id="<n@gw.example.org>" if boundary else "",
    )
    # true of each notice
    assert data.count(b"\n") == data.count(b"\r") == data.count(b"\r\n")
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert data.endswith(b"--\r\n")
    return data


def parse(data: bytes) -> tuple[EmailMessage, list[Any]]:
    message = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    parts = list(message.iter_parts())
    assert len(parts) == 3
    assert all(part.defects == [] for part in parts)
    return message, parts


def flowed(part: Any) -> str:
    """The text without its line breaks: what a search for a sentence sees."""
    return " ".join(part.get_content().split())


def test_its_header_says_what_it_is_and_to_which_mail() -> None:
    message, parts = parse(made())
    assert message.get_content_type() == "multipart/report"
    assert message["Content-Type"].params["report-type"] == "delivery-status"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["To"].addresses[0].addr_spec == "agnes@example.org"
    assert message["From"].addresses[0].addr_spec == "postmaster@example.org"
    assert message["Date"].datetime == MOMENT
    assert message["In-Reply-To"] == "<m1@example.org>"
    assert message["Message-ID"].endswith("@gw.example.org>")
    types = [part.get_content_type() for part in parts]
    assert types == ["text/plain", "message/delivery-status", "message/rfc822"]


def test_the_part_for_programs() -> None:
    late = Report("carol@example.net", "4.4.1", expired=True)
    odd = Report("é+x@example.net", "nonsense", reason=Problem("x.y", "no certificate"))
    _, parts = parse(
        made(
            replace(BOB, orcpt="rfc822;Bob+2Bx@example.net"),
            late,
            odd,
            arrival=MOMENT.astimezone(timezone.max),
            envid="QQ+2B31 4159".replace(" ", "+20"),
            received_from="pc7.example.org",
        )
    )
    about, *recipients = parts[1].get_payload()
    assert dict(about.items()) == {
        "Original-Envelope-Id": "QQ+31 4159",
        "Reporting-MTA": "dns; gw.example.org",
        "Received-From-MTA": "dns; pc7.example.org",
        "X-Sceau-Archive-Id": "a1b2c3",
        "Arrival-Date": "Sat, 21 Nov 2026 18:30:05 +0000",
    }
    assert [dict(r.items()) for r in recipients] == [
        {
            "Original-Recipient": "rfc822; Bob+x@example.net",
            "Final-Recipient": "rfc822; bob@example.net",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.example.net",
            "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
            "Last-Attempt-Date": "Sat, 21 Nov 2026 18:30:05 +0000",
            "Final-Log-Id": "a1b2c3",
        },
        {
            "Final-Recipient": "rfc822; carol@example.net",
            "Action": "failed",
            "Status": "4.4.1",
            "Final-Log-Id": "a1b2c3",
        },
        {
            "Final-Recipient": "utf-8; \\x{E9}\\x{2B}x@example.net",
            "Action": "failed",
            "Status": "5.0.0",
            "Final-Log-Id": "a1b2c3",
        },
    ]


EVENTS = [
    # event, status given, action, status shown, has Will-Retry-Until
    (Event.FAILED, "5.1.1", "failed", "5.1.1", False),
    (Event.FAILED, "2.0.0", "failed", "5.0.0", False),
    (Event.DELAYED, "4.4.1", "delayed", "4.4.1", True),
    (Event.DELAYED, "5.1.1", "delayed", "4.0.0", True),
    (Event.HELD, "4.7.5", "delayed", "4.7.5", True),
    (Event.RELAYED, "2.1.5", "relayed", "2.1.5", False),
    (Event.RELAYED, "4.0.0", "relayed", "2.0.0", False),
]


@pytest.mark.parametrize(("event", "given", "action", "shown", "retries"), EVENTS)
def test_action_and_class_of_the_status_agree(
    event: Event, given: str, action: str, shown: str, retries: bool
) -> None:
    until = MOMENT + timedelta(days=5)
    _, parts = parse(made(replace(BOB, status=given, until=until), event=event))
    _, recipient = parts[1].get_payload()
    assert (recipient["Action"], recipient["Status"]) == (action, shown)
    if retries:
        assert recipient["Will-Retry-Until"] == "Thu, 26 Nov 2026 18:30:05 +0000"
    else:
        assert recipient["Will-Retry-Until"] is None


# What is searched for in each language: the English word of the status stands in both.
SUBJECTS = {
    Event.FAILED: (
        "Undeliverable: undelivered mail returned to sender (failed)",
        "Message non remis : échec de la distribution (undeliverable, failed)",
    ),
    Event.DELAYED: (
        "Delayed: mail not delivered yet, will be retried (warning)",
        "Message retardé : pas encore remis, nouveaux essais prévus (delayed)",
    ),
    Event.HELD: (
        "Held for review: mail not sent yet (delayed)",
        "Message en attente de vérification, pas encore envoyé (held for review)",
    ),
    Event.RELAYED: (
        "Relayed: mail passed on (success)",
        "Message relayé au serveur suivant (relayed)",
    ),
}
SENTENCES = {
    Event.FAILED: (
        "is undeliverable: it could not be delivered to the recipients below.",
        "n'a pas pu être remis aux destinataires ci-dessous (undeliverable). L'échec est définitif",
    ),
    Event.DELAYED: (
        "It will be retried until 2026-11-26 18:30 UTC. If it fails then, you will be told.",
        "De nouveaux essais auront lieu jusqu'au 26/11/2026 18:30 UTC.",
    ),
    Event.HELD: (
        "is held for review: it has not been sent yet to the recipients below and waits for",
        "est en attente de vérification (held for review) : il n'a pas encore été envoyé",
    ),
    Event.RELAYED: (
        "has been relayed: the mail server below has taken it for the recipients below.",
        "a été relayé (relayed) : le serveur de messagerie ci-dessous l'a accepté",
    ),
}


@pytest.mark.parametrize("event", list(Event))
def test_people_are_told_in_their_language(event: Event) -> None:
    report = replace(BOB, status="5.1.1", until=MOMENT + timedelta(days=5))
    for which, language in enumerate(("en", "fr")):
        message, parts = parse(made(report, event=event, language=language))
        assert message["Subject"] == SUBJECTS[event][which]
        assert parts[0]["Content-Language"] == language
        assert SENTENCES[event][which] in flowed(parts[0])
        assert "<bob@example.net>" in flowed(parts[0])
        assert "550 5.1.1 no such user" in flowed(parts[0])
        assert "a1b2c3" in flowed(parts[0])
        assert "<m1@example.org>" in flowed(parts[0])
        assert max(map(len, parts[0].get_content().splitlines())) <= 78


def test_an_english_notice_can_be_read_as_it_travels() -> None:
    """In a mail log, a pager, a ticket: no line is longer than 78, nothing is encoded."""
    long = "550 5.7.1 " + "the reason why this server does not take the message; " * 6
    data = made(replace(BOB, said=long.strip()), secret=True)
    assert max(map(len, data.split(b"\r\n"))) <= 78
    assert b"quoted-printable" not in data
    _, parts = parse(data)
    _, recipient = parts[1].get_payload()
    assert " ".join(recipient["Diagnostic-Code"].split()) == f"smtp; {long.strip()}"


def test_reasons_of_our_own_are_translated() -> None:
    none = replace(
        BOB,
        status="5.7.5",
        said="",
        reason=Problem(
            "policy.bounced", "given up by {by}: {reason}", {"by": "paul", "reason": "trop tard"}
        ),
    )
    _, parts = parse(made(none, language="fr", secret=True))
    text = flowed(parts[0])
    assert "Votre message, reçu le 21/11/2026 16:30 UTC, n'a pas pu être remis" in text
    assert "aucun certificat utilisable (5.7.5)" in text
    assert "Précision : abandonné par paul : trop tard" in text
    assert "devait être chiffré" in text


def test_what_time_has_made_final_is_said_so() -> None:
    late = Report("b@example.net", "4.4.1", said="connection refused", expired=True)
    _, parts = parse(made(late))
    text = flowed(parts[0])
    assert "the mail server did not answer (4.4.1)" in text
    assert "Given up: delivery time expired" in text
    assert "Detail: connection refused" in text  # no server has said it
    _, recipient = parts[1].get_payload()
    assert recipient["Diagnostic-Code"] is None


def test_both_languages_say_the_same_things() -> None:
    english, french = TEXTS["en"], TEXTS["fr"]
    assert english.meanings.keys() == french.meanings.keys()
    assert english.subjects.keys() == french.subjects.keys() == set(Event)
    assert english.openings.keys() == french.openings.keys() == set(Event)
    assert english.until.keys() == french.until.keys()


ACCEPT = [
    (b"", "fr"),
    (b"Accept-Language: en-GB, fr;q=0.5\r\n", "en"),
    (b"Accept-Language: de-DE, FR-fr;q=0.3,\r\n en;q=0.2\r\n", "fr"),
    (b"Accept-Language: en;q=0, fr;q=0.1\r\n", "fr"),
    (b"Accept-Language: de, it\r\n", "fr"),
    (b"Accept-Language: english\r\n", "fr"),
    (b"Accept-Language: en;q=high\r\n", "fr"),
    (b"Accept-Language: \xff\xfe" + b",en" * 5000 + b"\r\n", "en"),
    (b"Content-Language: en\r\n", "fr"),
]


@pytest.mark.parametrize(("field", "language"), ACCEPT)
def test_the_mail_itself_may_say_which_language_its_author_reads(
    field: bytes, language: str
) -> None:
    _, parts = parse(made(raw=field + ORIGINAL, language="fr"))
    assert parts[0]["Content-Language"] == language


def test_a_domain_may_have_a_language_of_its_own() -> None:
    from gateway.mime.entity import split

    languages = Languages("en", {"quai.example.org": "fr"})
    mail = split(b"From: a\r\n\r\n")
    assert languages.choose(mail, "anna@Quai.example.org") == "fr"
    assert languages.choose(mail, "anna@example.org") == "en"
    assert languages.choose(split(b"Accept-Language: en\r\n\r\n"), "a@quai.example.org") == "en"


def test_of_a_mail_that_had_to_be_encrypted_nothing_secret_comes_back() -> None:
    for event in Event:
        data = made(event=event, secret=True)
        _, parts = parse(data)
        assert parts[2].get_content_type() == "text/rfc822-headers"
        returned = parts[2].get_payload(decode=True)
        assert returned == (
            b"From: =?utf-8?q?Agn=C3=A8s?= <agnes@example.org>\r\n"
            b"To: bob@example.net,\r\n\tcarol@example.net\r\n"
            b"Message-ID: <m1@example.org>\r\n"
        )
        for secret in (b"secret", b"hunter2", b"hidden", b"pc7", b"plan"):
            assert secret not in data


def test_a_small_mail_comes_back_whole_but_for_its_blind_recipients() -> None:
    data = made()
    assert ORIGINAL.replace(BCC, b"") in data
    assert b"hidden" not in data
    _, parts = parse(data)
    assert parts[2].get_payload()[0]["Subject"] == "plan"


@pytest.mark.parametrize(
    ("event", "headers_only"),
    [(Event.FAILED, True), (Event.DELAYED, False), (Event.HELD, False), (Event.RELAYED, False)],
)
def test_ret_hdrs_and_all_that_is_no_failure_return_the_header(
    event: Event, headers_only: bool
) -> None:
    _, parts = parse(made(event=event, headers_only=headers_only))
    assert parts[2].get_content_type() == "text/rfc822-headers"
    expected = ORIGINAL.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert parts[2].get_payload(decode=True) == expected.replace(BCC, b"")


@pytest.mark.parametrize(
    "original",
    [
        ORIGINAL + b"\xe9\r\n",
        ORIGINAL + b"x" * 1000 + b"\r\n",
        ORIGINAL + b"line\r\n" * (RETURN_LIMIT // 6),
        ORIGINAL.replace(b"plan", "plån".encode()),
        ORIGINAL.replace(b"plan", b"x" * 2000),
    ],
)
def test_what_is_large_or_not_7_bit_comes_back_as_its_header(original: bytes) -> None:
    data = made(raw=original)
    assert data.isascii()
    _, parts = parse(data)
    assert parts[2].get_content_type() == "text/rfc822-headers"
    returned = parts[2].get_payload(decode=True)
    expected = original.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert returned == expected.replace(BCC, b"")


def test_for_who_knows_smtputf8_addresses_stand_as_they_are() -> None:
    """RFC 6533: other media types, still 7-bit on the way."""
    original = ORIGINAL.replace(b"bob@", "bøb@".encode())
    bob = replace(BOB, address="bøb@example.net", orcpt="utf-8;bøb@example.net")
    data = made(bob, raw=original, smtputf8=True)
    assert data.isascii()
    message = email.message_from_bytes(data)
    _, status, returned = message.get_payload()
    assert status.get_content_type() == "message/global-delivery-status"
    assert returned.get_content_type() == "message/global-headers"
    fields = quopri.decodestring(_body(data, b"message/global-delivery-status")).decode()
    assert "\r\nFinal-Recipient: utf-8; bøb@example.net\r\n" in fields
    assert "\r\nOriginal-Recipient: utf-8; bøb@example.net\r\n" in fields
    assert "To: bøb@" in quopri.decodestring(_body(data, b"message/global-headers")).decode()

    # Who does not gets the form that stays ASCII.
    data = made(bob, raw=original)
    assert b"Final-Recipient: utf-8; b\\x{F8}b@example.net\r\n" in data
    assert b"Original-Recipient: utf-8; b\\x{F8}b@example.net\r\n" in data
    assert email.message_from_bytes(data).get_payload()[1].get_content_type() == (
        "message/delivery-status"
    )


def _body(data: bytes, kind: bytes) -> bytes:
    part = data.split(b"Content-Type: " + kind)[1]
    return part.split(b"\r\n\r\n", 1)[1].split(b"\r\n--=_")[0]


def test_words_of_peers_cannot_forge_fields() -> None:
    evil = Report(
        "bob@example.net\r\nAction: delivered",
        "5.1.1\r\nX: y",
        said="550 x\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; eve@example.net"
        + "x" * 5000,
        remote_mta="mx\r\nX: y",
        last_attempt=MOMENT,
        orcpt="rfc822;b+0D+0AX:+20y",
    )
    data = made(
        evil,
        raw=b"Message-ID: <a\r\n\tb>\r\n\r\n",
        envid="a+0D+0AX:+20y",
        received_from="a\r\nX: y",
    )
    _, parts = parse(data)
    about, recipient = parts[1].get_payload()
    assert recipient["Action"] == "failed"
    assert recipient["Remote-MTA"] is None
    assert "X" not in recipient
    assert "X" not in about
    with pytest.raises(ValueError):
        made(sender="a@example.org>\r\nBcc: <b@example.org")


def test_words_for_people_cannot_be_turned_around() -> None:
    """A right-to-left override in a name would show a reason as another."""
    reason = Problem("x.y", "{name}", {"name": "paul\u202egpj.exe\u2028Status: delivered"})
    _, parts = parse(made(replace(BOB, said="", reason=reason)))
    text = parts[0].get_content()
    assert "\u202e" not in text
    assert "paul?gpj.exe Status: delivered" in text


def test_no_notice_about_a_notice() -> None:
    with pytest.raises(ValueError):
        made(sender="")
    with pytest.raises(ValueError):
        notice(
            Event.FAILED,
            ABOUT,
            [],
            reporting_mta="gw",
            postmaster="p@example.org",
            languages=Languages(),
            moment=MOMENT,
        )


def test_a_given_boundary_must_not_occur_in_the_mail() -> None:
    assert made(boundary="b1") == made(boundary="b1")
    with pytest.raises(ValueError):
        made(boundary="secret body")


@pytest.mark.parametrize("sender", ['"a>b"@example.org', '"<"@example.org'])
def test_a_sender_with_brackets_in_quotes_gets_his_notice_too(sender: str) -> None:
    """The session takes such a sender (RFC 5321 §4.1.2): his failure once ended the worker."""
    assert is_mailbox(sender)
    message, _ = parse(made(sender=sender))
    (address,) = message["To"].addresses
    assert address.addr_spec == sender


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("A: b", 1),
        ("A: " + "x" * 200, 1),
        ("A: " + "word " * 30 + "end", 3),
        ("A: " + "x" * 200 + " y", 2),
    ],
)
def test_long_fields_are_folded_at_blanks_only(line: str, lines: int) -> None:
    made_ = folded(line).split("\r\n")
    assert len(made_) == lines
    assert "".join(made_) == line
    assert all(part.startswith(" ") for part in made_[1:])
    assert all(part.strip() for part in made_)
