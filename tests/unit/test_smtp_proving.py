"""SASL mechanisms, XCLIENT attributes, the Received field's protocol: parsed strictly."""

from __future__ import annotations

import pytest

from gateway.mime.received import protocol
from gateway.smtp import xclient
from gateway.smtp.sasl import MECHANISMS, Credentials, SaslFault


def run(name: str, *responses: bytes) -> tuple[list[bytes], Credentials]:
    exchange = MECHANISMS[name]()
    challenges = [next(exchange)]
    try:
        for response in responses:
            challenges.append(exchange.send(response))  # noqa: PERF401 - the end raises
    except StopIteration as end:
        return challenges, end.value
    raise AssertionError("not finished")


def test_mechanisms() -> None:
    assert run("PLAIN", b"\0anna\0s\xc3\xa9same") == ([b""], Credentials("anna", "sésame"))
    assert run("PLAIN", b"anna\0anna\0x")[1] == Credentials("anna", "x")
    challenges, found = run("LOGIN", b"anna", b"x\0y")
    assert challenges == [b"Username:", b"Password:"]  # what Outlook waits for
    assert found == Credentials("anna", "x\0y")
    assert "sésame" not in repr(Credentials("anna", "sésame"))


@pytest.mark.parametrize(
    ("name", "responses"),
    [
        ("PLAIN", [b""]),
        ("PLAIN", [b"anna\0secret"]),
        ("PLAIN", [b"\0anna\0a\0b"]),
        ("PLAIN", [b"boss\0anna\0secret"]),  # to act as somebody else
        ("PLAIN", [b"\0\xff\0secret"]),
        ("LOGIN", [b"\xff", b"x"]),
    ],
)
def test_responses_that_a_mechanism_does_not_allow(name: str, responses: list[bytes]) -> None:
    with pytest.raises(SaslFault):
        run(name, *responses)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        # as nginx 1.22 writes it
        (
            "ADDR=203.0.113.7 LOGIN=anna@a.example NAME=[UNAVAILABLE]",
            xclient.FrontSays(ip="203.0.113.7", login="anna@a.example"),
        ),
        (
            "addr=IPV6:2001:db8::1 port=4711 proto=ESMTP helo=pc.a.example login=a+2Bb",
            xclient.FrontSays("2001:db8::1", 4711, "pc.a.example", True, "a+b"),
        ),
        ("ADDR=IPV6:::ffff:192.0.2.1", xclient.FrontSays(ip="192.0.2.1")),
        ("ADDR=2001:db8::1", xclient.FrontSays(ip="2001:db8::1")),
        ("LOGIN=[unavailable]", xclient.FrontSays(login="")),
        ("ADDR=[UNAVAILABLE] PROTO=SMTP", xclient.FrontSays(ip="", esmtp=False)),
        ("LOGIN=+C3+A9lodie", xclient.FrontSays(login="élodie")),
        ("DESTADDR=192.0.2.1 DESTPORT=25", xclient.FrontSays()),
    ],
)
def test_what_a_front_end_says(argument: str, expected: xclient.FrontSays) -> None:
    assert xclient.parse(argument) == expected


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "ADDR",
        "ADDR=1.2.3",
        "ADDR=1.2.3.4%eth0",
        "ADDR=fe80::1%eth0",
        "ADDR=1.2.3.4 ADDR=1.2.3.5",
        "ADDR=1.2.3.4  LOGIN=a",
        "RIGHTS=all",
        "LOGIN=a=b",
        "LOGIN=a+0D+0Ab",
        "LOGIN=a+00",
        "LOGIN=a+4",
        "LOGIN=a+zz",
        "LOGIN=+FF",
        "LOGIN=é",
        "PORT=65536",
        "PORT=²",
        "PROTO=LMTP",
    ],
)
def test_what_no_front_end_says(argument: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        xclient.parse(argument)


@pytest.mark.parametrize(
    ("esmtp", "tls", "authenticated", "smtputf8", "name"),
    [
        (False, False, False, False, "SMTP"),
        (True, False, False, False, "ESMTP"),
        (True, True, False, False, "ESMTPS"),
        (True, True, True, False, "ESMTPSA"),
        (True, True, True, True, "UTF8SMTPSA"),
        (True, False, False, True, "UTF8SMTP"),
    ],
)
def test_the_name_of_the_protocol(
    *, esmtp: bool, tls: bool, authenticated: bool, smtputf8: bool, name: str
) -> None:
    assert protocol(esmtp=esmtp, tls=tls, authenticated=authenticated, smtputf8=smtputf8) == name
