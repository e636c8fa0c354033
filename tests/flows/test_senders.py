"""People, programs and front ends send as whom they may; the archive says how that was proved."""

from __future__ import annotations

import base64
import smtplib

import pytest

from gateway.senders import users
from gateway.senders.passwords import Passwords
from tests.flows.senders_scene import (
    CHECKED,
    FRONT,
    PASSWORDS,
    RELAY,
    STRANGER,
    Senders,
    issue,
)
from tests.flows.way_out_scene import AMELIE, HUGO, JEANNE, REGISTRY, mail
from tests.pki_maker import root
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow


def send(client: smtplib.SMTP, content: bytes, sender: str, to: str = AMELIE) -> str:
    """The archive id."""
    for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>"):
        code, text = client.docmd(command)
        assert code == 250, text
    code, text = client.data(content)
    assert code == 250, text
    return text.decode().split()[1]


def top(content: bytes) -> str:
    """The first Received field, unfolded."""
    head = content.partition(b"\r\n\r\n")[0].decode()
    return head.split("Received: ")[1].split("\r\n", 3)[0:3].__str__()


def test_who_is_in_the_file_sends_as_himself(senders: Senders) -> None:
    path = senders.scene.house.folder / "keys" / "users"
    with senders.login("jeanne") as client:
        archive_id = send(client, mail("Moi."), JEANNE)
    ((_, file),) = senders.scene.wait_arrived(archive_id)
    opened = senders.scene.opened(file, AMELIE)
    assert opened.signer == senders.scene.credential(JEANNE).der
    assert "with ESMTPSA (TLSv1.3" in top(file.read_bytes())
    assert senders.proof(archive_id) == {
        "method": "auth-file", "address": STRANGER, "login": "jeanne", "rule": "own-address",
    }  # fmt: skip
    # Her hash was of an older time.
    assert not Passwords().outdated(users.read(path)["jeanne"].hash)
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_is_in_the_directory_too(senders: Senders) -> None:
    with senders.connect() as client:
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        client.user, client.password = "HUGO", PASSWORDS["hugo"]
        client.auth("LOGIN", client.auth_login)
        client.ehlo()
        assert "auth" not in client.esmtp_features
        assert client.docmd("AUTH PLAIN")[0] == 503
        archive_id = send(client, mail("Moi aussi.", sender=HUGO), HUGO)
    assert senders.proof(archive_id) == {
        "method": "auth-ldap", "address": STRANGER, "login": "hugo", "rule": "own-address",
    }  # fmt: skip


def test_a_rule_gives_an_address_that_is_not_his_own(senders: Senders) -> None:
    with senders.login("presse") as client:
        content = mail("Communiqué.", sender=REGISTRY, extra=f"Sender: {REGISTRY}\r\n")
        archive_id = send(client, content, REGISTRY)
        assert client.docmd(f"MAIL FROM:<presse@{JEANNE.split('@')[1]}>")[0] == 550
    assert senders.proof(archive_id)["rule"] == "press"
    assert senders.proof(archive_id)["rule.sender"] == "press"


@pytest.mark.parametrize(("name", "entry"), [("crm", "crm"), ("pinned", "")])
def test_a_program_sends_by_its_certificate(senders: Senders, name: str, entry: str) -> None:
    path = senders.folder / f"{name}.pem"
    with senders.connect(certificate=path) as client:
        if not entry:  # known, and without any right
            assert client.docmd(f"MAIL FROM:<{REGISTRY}>")[0] == 550
            return
        archive_id = send(client, mail("Rapport.", sender=REGISTRY), REGISTRY)
    proof = senders.proof(archive_id)
    assert (proof["method"], proof["client"], proof["rule"]) == ("client-certificate", "crm", "crm")
    assert len(proof["certificate"]) == 64
    ((_, file),) = senders.scene.wait_arrived(archive_id)
    assert "with ESMTPS (" in top(file.read_bytes())  # RFC 3848: A is SMTP AUTH alone


@pytest.mark.parametrize("name", ["revoked", "other"])
def test_a_certificate_that_is_revoked_or_not_meant_proves_nothing(
    senders: Senders, name: str
) -> None:
    with senders.connect(certificate=senders.folder / f"{name}.pem") as client:
        assert client.docmd(f"MAIL FROM:<{REGISTRY}>") == (530, b"5.7.0 Authentication required")
    reasons = [
        e["reason"]
        for e in senders.scene.house.events()
        if e["event"] == "client_certificate_refused"
    ]
    assert ("was revoked on" if name == "revoked" else "fits no [[clients]] entry") in str(
        reasons[-1]
    )


def test_relays_by_their_network_work_as_before(senders: Senders) -> None:
    with senders.connect(RELAY, tls=False) as client:
        archive_id = send(client, mail("Relais."), JEANNE)
    assert senders.proof(archive_id) == {
        "method": "relay", "relay": "postfix", "address": RELAY, "rule": "relay-domains",
    }  # fmt: skip


def test_a_front_end_names_who_has_logged_in(senders: Senders) -> None:
    with senders.connect(FRONT) as client:
        assert client.esmtp_features["xclient"].split()[0] == "NAME"
        code, text = client.docmd(
            "XCLIENT ADDR=203.0.113.7 PORT=4711 LOGIN=jeanne NAME=[UNAVAILABLE]"
        )
        assert (code, text.split()[1]) == (220, b"ESMTP")
        assert client.docmd("MAIL FROM:<>")[0] == 503  # as after the greeting
        client.ehlo("poste.interieur.example")
        archive_id = send(client, mail("Par nginx."), JEANNE)
        # another client over the same connection is not she
        assert client.docmd("XCLIENT ADDR=203.0.113.8")[0] == 220
        client.ehlo("x")
        assert client.docmd(f"MAIL FROM:<{JEANNE}>")[0] == 530
    assert senders.proof(archive_id) == {
        "method": "xclient", "relay": "front", "front": "xclient", "address": FRONT,
        "login": "jeanne", "rule": "own-address",
    }  # fmt: skip
    ((_, file),) = senders.scene.wait_arrived(archive_id)
    assert "from poste.interieur.example ([203.0.113.7])" in top(file.read_bytes())


def test_xclient_is_for_listed_front_ends_alone(senders: Senders) -> None:
    for source in (STRANGER, RELAY, CHECKED):
        with senders.connect(source) as client:
            assert "xclient" not in client.esmtp_features
            assert client.docmd("XCLIENT LOGIN=jeanne") == (
                550,
                b"5.7.0 Insufficient authorization",
            )
            assert b"XCLIENT" not in client.docmd("HELP")[1]


# command, reply; on a connection of its own with TLS
AUTH_TABLE = [
    (["AUTH"], ["501 5.5.4"]),
    (["AUTH CRAM-MD5"], ["504 5.5.4"]),
    (["AUTH PLAIN x y"], ["501 5.5.4"]),
    (["AUTH PLAIN !!!"], ["501 5.5.2"]),
    (["AUTH PLAIN", "*"], ["334 ", "501 5.7.0"]),
    (["AUTH PLAIN", "%%%"], ["334 ", "501 5.5.2"]),
    (["AUTH LOGIN", "*"], ["334 VXNlcm5hbWU6", "501 5.7.0"]),
    (["AUTH LOGIN", "amVhbm5l", "*"], ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "501 5.7.0"]),
    (["AUTH LOGIN amVhbm5l", "*"], ["334 UGFzc3dvcmQ6", "501 5.7.0"]),
    (["AUTH PLAIN", "A" * 12_290], ["334 ", "500 5.5.6"]),
    (["AUTH PLAIN " + "A" * 12_290], ["500 5.5.2"]),
    (["AUTH PLAIN =", "NOOP"], ["535 5.7.8", "250 2.0.0"]),
    (["AUTH PLAIN " + base64.b64encode(b"hugo\0jeanne\0x").decode()], ["535 5.7.8"]),
    (["MAIL FROM:<> AUTH=<>"], ["530 5.7.0"]),
]  # fmt: skip


@pytest.mark.parametrize(("commands", "expected"), AUTH_TABLE)
def test_auth_as_rfc_4954_says(senders: Senders, commands: list[str], expected: list[str]) -> None:
    with senders.connect() as client:
        got = []
        for command in commands:
            code, text = client.docmd(command)
            got.append(f"{code} {text.decode()}")
        assert [line[: len(e)] for line, e in zip(got, expected, strict=True)] == expected


def test_passwords_are_taken_over_tls_only(senders: Senders) -> None:
    with senders.connect(tls=False) as client:
        assert "auth" not in client.esmtp_features
        plain = base64.b64encode(f"\0jeanne\0{PASSWORDS['jeanne']}".encode()).decode()
        assert client.docmd(f"AUTH PLAIN {plain}")[0] == 538


def test_the_third_wrong_password_ends_the_connection_and_the_sixth_locks(senders: Senders) -> None:
    place = "127.0.3.1"
    codes = []
    for _ in range(2):
        client = senders.connect(place)
        for _ in range(3):
            code, _ = client.docmd("AUTH PLAIN", base64.b64encode(b"\0jeanne2\0wrong").decode())
            codes.append(code)
        assert client.getreply() == (421, b"4.7.0 Too many errors") or code == 454
        client.close()
    assert codes == [535] * 6
    # two processes counted together; jeanne herself is not locked out where she is known
    with senders.connect(place) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login("jeanne", PASSWORDS["jeanne"])
        assert refused.value.smtp_code == 454
    senders.login("jeanne").close()
    alarms = [e for e in senders.scene.house.events() if e["event"] == "login_guessing"]
    assert {(a["ip"], a["failures"]) for a in alarms} == {(place, 6)}
    assert "wrong" not in senders.scene.house.log.read_text()


def test_a_directory_that_is_gone_is_454_and_the_file_still_works(senders: Senders) -> None:
    senders.slapd.freeze()
    try:
        with senders.connect("127.0.3.2") as client:
            with (
                Stopwatch() as watch,
                pytest.raises(smtplib.SMTPAuthenticationError) as refused,
            ):
                client.login("hugo", PASSWORDS["hugo"])
            assert refused.value.smtp_code == 454
            assert watch.seconds < 11  # the directory has 5
        senders.login("jeanne").close()
    finally:
        senders.slapd.thaw()


def test_check_looks_at_the_users_file_and_the_directory(senders: Senders) -> None:
    findings = {line["subject"]: line for line in senders.scene.house.json("check", check=False)}
    assert findings["users"]["level"] == "ok"
    assert findings["client crm"]["level"] == "ok"
    assert findings["login directory staff"]["level"] == "ok"
    path = senders.scene.house.folder / "keys" / "users"
    path.chmod(0o640)
    try:
        done = senders.scene.sceau("check", "--json")
        assert b"may be used by others (mode 640)" in done.stdout
        assert done.returncode == 1
        with (
            senders.connect("127.0.3.3") as client,
            pytest.raises(smtplib.SMTPAuthenticationError) as refused,
        ):
            client.login("jeanne", PASSWORDS["jeanne"])
        assert refused.value.smtp_code == 454
    finally:
        path.chmod(0o600)


def test_a_certificate_of_another_ca_ends_the_handshake(senders: Senders) -> None:
    issued = issue(root("Foreign CA"), "x", "crm.interieur.example")
    foreign = senders.certificate("foreign", issued)

    def talk() -> None:
        senders.connect(certificate=foreign).docmd("NOOP")

    with pytest.raises((smtplib.SMTPException, OSError)):
        talk()
