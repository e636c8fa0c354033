"""Failure notices, read by a parser that is not ours."""

from __future__ import annotations

import email
import email.policy
from datetime import UTC, datetime, timedelta, timezone
from email.message import EmailMessage
from typing import Any

import pytest

from gateway.dsn import RETURN_LIMIT, FailedRecipient, failure_notice
from gateway.dsn_texts import LANGUAGES
from gateway.smtp.syntax import is_mailbox

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
BOB = FailedRecipient(
    "bob@example.net",
    "5.1.1",
    "550 5.1.1 no such user",
    "mx.example.net[192.0.2.1]:25",
    MOMENT,
)


def notice(**changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "reporting_mta": "gw.example.org",
        "postmaster": "postmaster@example.org",
        "original": ORIGINAL,
        "original_sender": "agnes@example.org",
        "failed": [BOB],
        "arrival": MOMENT - timedelta(hours=2),
        "moment": MOMENT,
        "archive_id": "a1b2c3",
        "language": "en",
        "headers_only": False,
    }
    made = failure_notice(**(arguments | changes))
    # true of each notice
    assert made.count(b"\n") == made.count(b"\r") == made.count(b"\r\n")
    assert max(map(len, made.split(b"\r\n"))) <= 998
    assert made.endswith(b"--\r\n")
    return made


def parse(data: bytes) -> tuple[EmailMessage, list[Any]]:
    message = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    assert message.defects == []
    parts = list(message.iter_parts())
    assert len(parts) == 3
    assert all(part.defects == [] for part in parts)
    return message, parts


def test_its_header_says_what_it_is_and_to_which_mail() -> None:
    message, parts = parse(notice())
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
    late = FailedRecipient("carol@example.net", "4.4.7", "", "", None)
    odd = FailedRecipient("é+x@example.net", "nonsense", "no certificate", "", MOMENT)
    _, parts = parse(notice(failed=[BOB, late, odd], arrival=MOMENT.astimezone(timezone.max)))
    about, *recipients = parts[1].get_payload()
    assert about["Reporting-MTA"] == "dns; gw.example.org"
    assert about["X-Sceau-Archive-Id"] == "a1b2c3"
    assert about["Arrival-Date"] == "Sat, 21 Nov 2026 18:30:05 +0000"
    assert [dict(r.items()) for r in recipients] == [
        {
            "Final-Recipient": "rfc822; bob@example.net",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; mx.example.net",
            "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
            "Last-Attempt-Date": "Sat, 21 Nov 2026 18:30:05 +0000",
        },
        {"Final-Recipient": "rfc822; carol@example.net", "Action": "failed", "Status": "4.4.7"},
        {
            "Final-Recipient": "utf-8; \\x{E9}\\x{2B}x@example.net",
            "Action": "failed",
            "Status": "5.0.0",
            "Last-Attempt-Date": "Sat, 21 Nov 2026 18:30:05 +0000",
        },
    ]


def test_people_are_told_in_their_language_what_happened_and_what_to_do() -> None:
    message, parts = parse(notice())
    assert message["Subject"] == "Undelivered mail returned to sender (delivery failure)"
    text = parts[0].get_content()
    assert "<bob@example.net>" in text
    assert "unknown recipient, the address does not exist (5.1.1)" in text
    assert "The mail server mx.example.net said: 550 5.1.1 no such user" in text
    assert "Archive id: a1b2c3" in text
    assert "2026-11-21 16:30 UTC" in text

    none = FailedRecipient("bob@example.net", "5.7.5", "the CRL is too old", "", None)
    message, parts = parse(notice(language="fr", headers_only=True, failed=[none]))
    subject = "Message non remis : échec de la distribution (undelivered mail)"
    assert message["Subject"] == subject
    assert parts[0]["Content-Language"] == "fr"
    text = parts[0].get_content()
    assert "Votre message, reçu le 21/11/2026 16:30 UTC, n'a pas pu être remis" in text
    assert "aucun certificat utilisable (5.7.5)" in text
    assert "Précision : the CRL is too old" in text
    assert "devait être chiffré" in text


def test_both_languages_say_the_same_things() -> None:
    english, french = LANGUAGES["en"], LANGUAGES["fr"]
    assert english.meanings.keys() == french.meanings.keys()


def test_of_a_mail_that_had_to_be_encrypted_nothing_secret_comes_back() -> None:
    made = notice(headers_only=True)
    _, parts = parse(made)
    assert parts[2].get_content_type() == "text/rfc822-headers"
    returned = parts[2].get_payload(decode=True)
    assert returned == (
        b"From: =?utf-8?q?Agn=C3=A8s?= <agnes@example.org>\r\n"
        b"To: bob@example.net,\r\n\tcarol@example.net\r\n"
        b"Subject: plan\r\n"
        b"Message-ID: <m1@example.org>\r\n"
    )
    for secret in (b"secret", b"hunter2", b"hidden", b"pc7"):
        assert secret not in made


def test_a_small_mail_comes_back_whole() -> None:
    made = notice()
    assert ORIGINAL in made
    _, parts = parse(made)
    assert parts[2].get_payload()[0]["Subject"] == "plan"


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
    made = notice(original=original)
    assert made.isascii()
    _, parts = parse(made)
    assert parts[2].get_content_type() == "text/rfc822-headers"
    returned = parts[2].get_payload(decode=True)
    expected = original.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert returned == expected.replace(b"Bcc: hidden@example.net\r\n", b"")


def test_words_of_peers_cannot_forge_fields() -> None:
    evil = FailedRecipient(
        "bob@example.net\r\nAction: delivered",
        "5.1.1\r\nX: y",
        "550 x\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; eve@example.net" + "x" * 5000,
        "mx\r\nX: y",
        MOMENT,
    )
    _, parts = parse(notice(failed=[evil], original=b"Message-ID: <a\r\n\tb>\r\n\r\n"))
    about, recipient = parts[1].get_payload()
    assert recipient["Action"] == "failed"
    assert recipient["Remote-MTA"] is None
    assert "X" not in recipient
    assert "X" not in about
    with pytest.raises(ValueError):
        notice(original_sender="a@example.org>\r\nBcc: <b@example.org")


def test_no_notice_about_a_notice() -> None:
    with pytest.raises(ValueError):
        notice(original_sender="")
    with pytest.raises(ValueError):
        notice(failed=[])


def test_a_given_boundary_must_not_occur_in_the_mail() -> None:
    assert notice(boundary="b1", message_id="<n@x>") == notice(boundary="b1", message_id="<n@x>")
    with pytest.raises(ValueError):
        notice(boundary="secret body")


@pytest.mark.parametrize("sender", ['"a>b"@example.org', '"<"@example.org'])
def test_a_sender_with_brackets_in_quotes_gets_his_notice_too(sender: str) -> None:
    """The session takes such a sender (RFC 5321 §4.1.2): his failure once ended the worker."""
    assert is_mailbox(sender)
    message, _ = parse(notice(original_sender=sender))
    (address,) = message["To"].addresses
    assert address.addr_spec == sender
