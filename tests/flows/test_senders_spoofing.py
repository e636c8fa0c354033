"""Every way we know to get a signature for an address one does not own. None may succeed.

The attacker is jeanne: she has a login, a relay's and a front end's wire within reach, and wants
mail that is signed for hugo, or for anybody else.
"""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.flows.senders_scene import CHECKED, FRONT, PASSWORDS, RELAY, STRANGER, Senders
from tests.flows.way_out_scene import AMELIE, HUGO, JEANNE

pytestmark = pytest.mark.flow

J, H = JEANNE.encode(), HUGO.encode()
WHO = b"From: " + J
INNER = b"From: " + H + b"\r\nSubject: x\r\n\r\nPayez.\r\n"

# What she writes as the header, once logged in; the envelope's sender is hers.
HEADERS: dict[str, bytes] = {
    "From is hugo": b"From: " + H,
    "From is hugo in capitals": b"From: " + H.upper(),
    "From is hugo in quotes": b'From: "hugo.blanc"@interieur.example',
    "From is hugo in brackets": b"From: Jeanne <" + H + b">",
    "two From fields": WHO + b"\r\nFrom: " + H,
    "two From fields, hers last": b"From: " + H + b"\r\n" + WHO,
    "From with both": WHO + b", " + H,
    "From with both in brackets": b"From: <" + H + b"> <" + J + b">",
    "address before the brackets": b"From: " + H + b" <" + J + b">",
    "display name is hugo's address": b'From: "' + H + b'" <' + J + b">",
    "encoded display name": b"From: =?utf-8?q?hugo.blanc=40interieur.example?= <" + J + b">",
    "base64 display name": b"From: =?utf-8?b?" + base64.b64encode(H) + b"?= <" + J + b">",
    "display name with a look-alike": "From: hugo.blanc＠interieur.example <".encode() + J + b">",
    "comment is hugo's address": WHO + b" (" + H + b")",
    "comment in the address": b"From: hugo.blanc(x)@interieur.example",
    "group of hers and his": b"From: T: " + J + b", " + H + b";",
    "group of hers": b"From: " + H.replace(b"@", b" at ") + b": " + J + b";",
    "route": b"From: <@" + b"interieur.example:" + H + b">",
    "blank before the colon": b"From : " + H + b"\r\n" + WHO,
    "folded address": b"From: hugo.blanc\r\n @interieur.example",
    "address in an encoded word": b"From: =?utf-8?q?hugo.blanc=40interieur.example?=",
    "trailing dot": b"From: " + H + b".",
    "sub-domain": b"From: hugo.blanc@sub.interieur.example",
    "look-alike domain": "From: hugo.blanc@interieu\u0433.example".encode(),
    "look-alike person": "From: hug\u043e.blanc@interieur.example".encode(),
    "plus": b"From: hugo.blanc+jeanne@interieur.example",
    "percent": b"From: hugo.blanc%interieur.example@interieur.example",
    "no From": b"Subject: x",
    "no From, Sender": b"Sender: " + H,
    "empty From": b"From:\r\nSender: " + J,
    "a line that ends the header for some": b"X\r\nFrom: " + H,
    "mbox line": b"From hugo\r\n" + WHO,
    "Sender is hugo": WHO + b"\r\nSender: " + H,
    "two Sender fields": WHO + b"\r\nSender: " + J + b"\r\nSender: " + H,
    "Resent-From is hugo": WHO + b"\r\nResent-From: " + H,
    "Resent-Sender is hugo": WHO + b"\r\nResent-From: " + J + b"\r\nResent-Sender: " + H,
    "second resent block is hugo's": WHO + b"\r\nResent-From: " + J + b"\r\nResent-From: " + H,
    "bare CR": WHO + b"\rFrom: " + H,
    "bare LF": WHO + b"\nFrom: " + H,
    "NUL": b"From: " + J + b"\0, " + H,
    "whole mail inside": WHO + b"\r\nContent-Type: message/rfc822; forwarded=no\r\n\r\n" + INNER,
    "whole mail inside, global": WHO + b"\r\nContent-Type: message/global\r\n\r\n" + INNER,
    "whole mail inside, by a second field": (
        WHO + b"\r\nContent-Type: text/plain\r\nContent-Type: message/rfc822\r\n\r\n" + INNER
    ),
    "whole mail inside, a word after the type": (  # Thunderbird stops reading at the blank
        WHO + b"\r\nContent-Type: message/rfc822 x\r\n\r\n" + INNER
    ),
    "whole mail inside, base64": (
        WHO + b"\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(INNER).replace(b"\n", b"\r\n")
    ),
    "mail in parts": WHO + b"\r\nContent-Type: message/partial; id=a; number=1\r\n\r\n" + INNER,
    "mail elsewhere": WHO + b"\r\nContent-Type: message/external-body\r\n\r\n" + INNER,
}  # fmt: skip


@pytest.fixture(scope="module")
def jeanne(senders: Senders) -> Iterator[smtplib.SMTP]:
    client = senders.login("jeanne")
    yield client
    client.close()


@pytest.fixture(autouse=True)
def nothing_is_accepted(senders: Senders) -> Iterator[None]:
    """Whatever an attempt was told: the log of accepted mail must not have grown."""
    before = accepted(senders)
    yield
    assert accepted(senders) == before


def accepted(senders: Senders) -> list[object]:
    return [event["id"] for event in senders.scene.house.events() if event["event"] == "accepted"]


def attempt(client: smtplib.SMTP, header: bytes, mail_from: str = JEANNE) -> int:
    """The code that ended it; 250 would be a success. MAIL's parameters may stand behind."""
    address, _, parameters = mail_from.partition(" ")
    code, _ = client.docmd(f"MAIL FROM:<{address}> {parameters}".rstrip())
    if code == 250:
        code, _ = client.docmd(f"RCPT TO:<{AMELIE}>")
    if code == 250:
        code, _ = client.docmd("DATA")
        if code == 354:
            # Not client.data(): it repairs line ends.
            body = b"" if b"\r\n\r\n" in header else b"\r\n\r\ntext"
            client.send(header + body + b"\r\n.\r\n")
            code, _ = client.getreply()
    client.docmd("RSET")
    return code


@pytest.mark.parametrize("name", HEADERS)
def test_by_what_she_writes(jeanne: smtplib.SMTP, name: str) -> None:
    assert attempt(jeanne, HEADERS[name]) == 550


@pytest.mark.parametrize(
    ("mail_from", "header"),
    [
        (HUGO, WHO),
        (HUGO, b"From: " + H),
        ("", b"From: " + H),
        (f"{JEANNE} AUTH=<{HUGO}>", b"From: " + H),
        (f"{JEANNE} AUTH={HUGO}", b"From: " + H),
        ("mailer-daemon@interieur.example", WHO),
        ("", b"From: mailer-daemon@interieur.example"),
    ],
)
def test_by_the_envelope(jeanne: smtplib.SMTP, mail_from: str, header: bytes) -> None:
    assert attempt(jeanne, header, mail_from) == 550


def test_a_second_mail_smuggled_into_the_first(jeanne: smtplib.SMTP) -> None:
    second = b"MAIL FROM:<" + H + b">\r\nRCPT TO:<" + AMELIE.encode() + b">\r\nDATA\r\nFrom: " + H
    for end in (b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n.\n"):
        assert attempt(jeanne, WHO + b"\r\n\r\ntext" + end + second) == 550


def plain(authzid: str, login: str, password: str) -> str:
    return base64.b64encode(f"{authzid}\0{login}\0{password}".encode()).decode()


# -- by what is proved, or not -------------------------------------------------------------------

FROM_HUGO = b"From: " + H


def without_login(senders: Senders) -> int:
    with senders.connect() as client:
        return attempt(client, FROM_HUGO, HUGO)


def without_login_null_sender(senders: Senders) -> int:
    with senders.connect() as client:
        return attempt(client, FROM_HUGO, "")


def password_in_clear(senders: Senders) -> int:
    with senders.connect(tls=False) as client:
        client.docmd("AUTH PLAIN " + plain("", "hugo", PASSWORDS["hugo"]))
        return attempt(client, FROM_HUGO, HUGO)


def as_somebody_else(senders: Senders) -> int:
    with senders.connect() as client:
        client.docmd("AUTH PLAIN " + plain("hugo", "jeanne", PASSWORDS["jeanne"]))
        return attempt(client, FROM_HUGO, HUGO)


def no_password(senders: Senders) -> int:
    """An unauthenticated bind: slapd would say success."""
    with senders.connect("127.0.4.1") as client:
        client.docmd("AUTH PLAIN " + plain("", "hugo", ""))
        return attempt(client, FROM_HUGO, HUGO)


def filter_injection(senders: Senders) -> int:
    with senders.connect("127.0.4.2") as client:
        client.docmd("AUTH PLAIN " + plain("", "hugo)(uid=*", PASSWORDS["hugo"]))
        return attempt(client, FROM_HUGO, HUGO)


def wildcard_login(senders: Senders) -> int:
    with senders.connect("127.0.4.3") as client:
        client.docmd("AUTH PLAIN " + plain("", "hug*", PASSWORDS["hugo"]))
        return attempt(client, FROM_HUGO, HUGO)


def his_login_her_password(senders: Senders) -> int:
    with senders.connect("127.0.4.4") as client:
        client.docmd("AUTH PLAIN " + plain("", "hugo", PASSWORDS["jeanne"]))
        return attempt(client, FROM_HUGO, HUGO)


def two_entries_one_login(senders: Senders) -> int:
    with senders.connect("127.0.4.5") as client:
        client.docmd("AUTH PLAIN " + plain("", "double", "x" * 9))
        return attempt(client, b"From: double@interieur.example", "double@interieur.example")


def login_without_address(senders: Senders) -> int:
    with senders.login("presse") as client:
        return attempt(client, b"From: presse@interieur.example", "presse@interieur.example")


def xclient_from_a_stranger(senders: Senders) -> int:
    with senders.connect() as client:
        client.docmd("XCLIENT LOGIN=hugo")
        client.ehlo()
        return attempt(client, FROM_HUGO, HUGO)


def xclient_from_a_plain_relay_outside(senders: Senders) -> int:
    with senders.connect(RELAY) as client:
        client.docmd("XCLIENT LOGIN=hugo")
        return attempt(client, b"From: x@justice.example", "x@justice.example")


def xclient_before_tls(senders: Senders) -> int:
    """Said in clear, where anybody on the wire could have said it."""
    with senders.connect(FRONT, tls=False) as client:
        assert client.docmd("XCLIENT ADDR=203.0.113.9 LOGIN=hugo")[0] == 220
        client.ehlo()
        client.starttls(context=ssl._create_unverified_context())
        client.docmd("XCLIENT ADDR=203.0.113.9")
        client.ehlo()
        return attempt(client, FROM_HUGO, HUGO)


def _front_end_says(senders: Senders, attributes: str) -> int:
    with senders.connect(FRONT) as client:
        assert client.docmd(f"XCLIENT {attributes}")[0] == 220
        client.ehlo()
        return attempt(client, FROM_HUGO, HUGO)


def front_end_client_without_login(senders: Senders) -> int:
    return _front_end_says(senders, "ADDR=203.0.113.9 LOGIN=[UNAVAILABLE]")


def front_end_client_of_unknown_address(senders: Senders) -> int:
    return _front_end_says(senders, "ADDR=[UNAVAILABLE]")


def front_end_client_with_a_helo_only(senders: Senders) -> int:
    return _front_end_says(senders, "HELO=x")


def the_login_of_the_client_before(senders: Senders) -> int:
    with senders.connect(FRONT) as client:
        client.docmd("XCLIENT ADDR=203.0.113.9 LOGIN=hugo")
        client.docmd("XCLIENT ADDR=203.0.113.10")
        client.ehlo()
        return attempt(client, FROM_HUGO, HUGO)


def front_end_login_is_not_hugo(senders: Senders) -> int:
    with senders.connect(FRONT) as client:
        client.docmd("XCLIENT ADDR=203.0.113.9 LOGIN=jeanne")
        client.ehlo()
        return attempt(client, FROM_HUGO, JEANNE)


def front_end_outside_its_domains(senders: Senders) -> int:
    with senders.connect(FRONT) as client:
        client.docmd("XCLIENT ADDR=203.0.113.9 LOGIN=x@justice.example")
        client.ehlo()
        return attempt(client, b"From: x@justice.example", "x@justice.example")


def xclient_with_a_line_end(senders: Senders) -> int:
    with senders.connect(FRONT) as client:
        client.docmd("XCLIENT ADDR=203.0.113.9 LOGIN=jeanne")
        assert client.docmd("XCLIENT LOGIN=jeanne+0D+0AXCLIENT+20LOGIN=hugo")[0] == 501
        client.ehlo()
        return attempt(client, FROM_HUGO, JEANNE)


def xclient_during_a_mail(senders: Senders) -> int:
    with senders.connect(FRONT) as client:
        client.docmd("XCLIENT ADDR=203.0.113.9 LOGIN=jeanne")
        client.ehlo()
        assert client.docmd(f"MAIL FROM:<{JEANNE}>")[0] == 250
        assert client.docmd("XCLIENT LOGIN=hugo")[0] == 503
        client.docmd("RSET")
        return attempt(client, FROM_HUGO, JEANNE)


def auth_twice(senders: Senders) -> int:
    with senders.login("jeanne") as client:
        assert client.docmd("AUTH PLAIN " + plain("", "hugo", PASSWORDS["hugo"]))[0] == 503
        return attempt(client, FROM_HUGO, JEANNE)


def commands_injected_before_tls(senders: Senders) -> int:
    """In one segment with STARTTLS: obeyed after it, they would be as if said over TLS."""
    injected = f"EHLO x\r\nAUTH PLAIN {plain('', 'hugo', PASSWORDS['hugo'])}\r\n".encode()
    with socket.create_connection(
        ("127.0.0.1", senders.port), 60, source_address=(STRANGER, 0)
    ) as wire:
        wire.recv(1000)
        wire.sendall(b"EHLO x\r\n")
        wire.recv(1000)
        wire.sendall(b"STARTTLS\r\n" + injected)
        assert wire.recv(1000).startswith(b"220")
        context = ssl.create_default_context(cafile=str(senders.scene.stage.world.tls_ca))
        with context.wrap_socket(wire, server_hostname="localhost") as tls:
            tls.sendall(b"EHLO x\r\nMAIL FROM:<" + H + b">\r\nQUIT\r\n")
            heard = b""
            while block := tls.recv(4096):
                heard += block
    return int(heard.splitlines()[-2][:3])


def certificate_of_another(senders: Senders) -> int:
    with senders.connect(certificate=senders.folder / "crm.pem") as client:
        return attempt(client, FROM_HUGO, HUGO)


def certificate_that_is_revoked(senders: Senders) -> int:
    from tests.flows.way_out_scene import REGISTRY

    with senders.connect(certificate=senders.folder / "revoked.pem") as client:
        return attempt(client, b"From: " + REGISTRY.encode(), REGISTRY)


def certificate_with_the_right_name_of_its_own_making(senders: Senders) -> int:
    from tests.flows.senders_scene import issue
    from tests.pki_maker import root

    made = senders.certificate("forged", issue(root("Mallory"), "crm", "crm.interieur.example"))
    try:
        client = senders.connect(certificate=made)
        return attempt(client, FROM_HUGO, HUGO)
    except (smtplib.SMTPException, OSError):
        return 0  # no connection at all


def relay_outside_its_domains(senders: Senders) -> int:
    with senders.connect(RELAY, tls=False) as client:
        return attempt(client, b"From: x@justice.example", JEANNE)


def relay_with_a_foreign_sender_field(senders: Senders) -> int:
    with senders.connect(RELAY, tls=False) as client:
        return attempt(client, WHO + b"\r\nSender: x@justice.example", JEANNE)


def checked_relay_with_another_from(senders: Senders) -> int:
    with senders.connect(CHECKED, tls=False) as client:
        return attempt(client, FROM_HUGO, JEANNE)


def checked_relay_with_another_sender_field(senders: Senders) -> int:
    with senders.connect(CHECKED, tls=False) as client:
        return attempt(client, WHO + b"\r\nSender: " + H, JEANNE)


def checked_relay_with_the_null_sender(senders: Senders) -> int:
    with senders.connect(CHECKED, tls=False) as client:
        return attempt(client, FROM_HUGO, "")


def checked_relay_notice_in_hugos_name(senders: Senders) -> int:
    with senders.connect(CHECKED, tls=False) as client:
        return attempt(client, b"From: mailer-daemon@interieur.example\r\nSender: " + H, "")


WAYS: list[tuple[Callable[[Senders], int], int]] = [
    (without_login, 530),
    (without_login_null_sender, 530),
    (password_in_clear, 530),
    (as_somebody_else, 530),
    (no_password, 530),
    (filter_injection, 530),
    (wildcard_login, 530),
    (his_login_her_password, 530),
    (two_entries_one_login, 530),
    (login_without_address, 550),
    (xclient_from_a_stranger, 530),
    (xclient_from_a_plain_relay_outside, 550),
    (xclient_before_tls, 530),
    (front_end_client_without_login, 530),
    (front_end_client_of_unknown_address, 530),
    (front_end_client_with_a_helo_only, 530),
    (the_login_of_the_client_before, 530),
    (front_end_login_is_not_hugo, 550),
    (front_end_outside_its_domains, 550),
    (xclient_with_a_line_end, 550),
    (xclient_during_a_mail, 550),
    (auth_twice, 550),
    (commands_injected_before_tls, 530),
    (certificate_of_another, 550),
    (certificate_that_is_revoked, 530),
    (certificate_with_the_right_name_of_its_own_making, 0),
    (relay_outside_its_domains, 550),
    (relay_with_a_foreign_sender_field, 550),
    (checked_relay_with_another_from, 550),
    (checked_relay_with_another_sender_field, 550),
    (checked_relay_with_the_null_sender, 550),
    (checked_relay_notice_in_hugos_name, 550),
]


@pytest.mark.parametrize(("way", "code"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_by_what_is_proved(senders: Senders, way: Callable[[Senders], int], code: int) -> None:
    assert way(senders) == code


def test_nothing_went_out_for_hugo(senders: Senders) -> None:
    """The judge is the receiving server: what hugo did not send is nowhere in its ledger."""
    assert len(HEADERS) + len(WAYS) >= 40
    folder: Path = senders.scene.stage.sink.folder
    for file in folder.glob("*.eml"):
        head = file.read_bytes().partition(b"\r\n\r\n")[0]
        assert b"Payez" not in head
