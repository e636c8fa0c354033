"""RET, ENVID, NOTIFY, ORCPT: what is taken, what is refused, what is said to the next hop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.mail import RcptOptions
from gateway.smtp.notify import (
    decode_xtext,
    encode_xtext,
    original_address,
    seven_bit,
    together,
    typed_address,
    wants,
)
from gateway.smtp.syntax import is_mailbox, parse_mail, parse_rcpt
from gateway.smtp.wishes import Wishes

TO = "TO:<b@example.net>"


def rcpt(parameters: str, *, smtputf8: bool = False) -> RcptOptions:
    _, options = parse_rcpt(
        f"{TO} {parameters}", extended=True, smtputf8=smtputf8, hostname="gw.example"
    )
    return options


def refused(command: str, parameters: str, *, smtputf8: bool = False) -> tuple[int, str]:
    try:
        if command == "MAIL":
            parse_mail(f"FROM:<a@example.org> {parameters}", extended=True)
        else:
            rcpt(parameters, smtputf8=smtputf8)
    except Refusal as refusal:
        return refusal.code, refusal.status
    return 250, ""


MAIL_TAKEN = [
    ("RET=FULL", {"RET": "FULL"}),
    ("ret=hdrs", {"RET": "HDRS"}),
    ("ENVID=QQ314159", {"ENVID": "QQ314159"}),
    ("ENVID=a+20b+2Bc+3D", {"ENVID": "a+20b+2Bc+3D"}),
    ("ENVID=" + "x" * 100, {"ENVID": "x" * 100}),
    ("ENVID=" + "+41" * 100, {"ENVID": "+41" * 100}),
    ("RET=FULL ENVID=Case BODY=7BIT", {"RET": "FULL", "ENVID": "Case", "BODY": "7BIT"}),
]


@pytest.mark.parametrize(("parameters", "kept"), MAIL_TAKEN)
def test_of_mail_is_kept_as_it_was_given(parameters: str, kept: dict[str, str]) -> None:
    assert parse_mail(f"FROM:<a@example.org> {parameters}", extended=True).kept == kept


RCPT_TAKEN = [
    ("", RcptOptions()),
    ("NOTIFY=NEVER", RcptOptions("NEVER")),
    ("NOTIFY=never", RcptOptions("NEVER")),
    ("NOTIFY=SUCCESS", RcptOptions("SUCCESS")),
    ("NOTIFY=Delay,failure,SUCCESS", RcptOptions("SUCCESS,FAILURE,DELAY")),
    ("ORCPT=rfc822;Bob@example.net", RcptOptions("", "rfc822;Bob@example.net")),
    ("ORCPT=rfc822;Bob+2Bx+3D@example.net", RcptOptions("", "rfc822;Bob+2Bx+3D@example.net")),
    ("ORCPT=x400;/c+3Dfr/admd+3Datlas/", RcptOptions("", "x400;/c+3Dfr/admd+3Datlas/")),
    ("ORCPT=rfc822;not+20an+20address", RcptOptions("", "rfc822;not+20an+20address")),
    ("ORCPT=utf-8;b\\x{F8}b@example.net", RcptOptions("", "utf-8;b\\x{F8}b@example.net")),
    ("ORCPT=UTF-8;b\\x{2B}b@example.net", RcptOptions("", "UTF-8;b\\x{2B}b@example.net")),
    (
        'NOTIFY=DELAY ORCPT=utf-8;"a\\x{20}b"@example.net',
        RcptOptions("DELAY", 'utf-8;"a\\x{20}b"@example.net'),
    ),
    ("ORCPT=rfc822;" + "b" * 493, RcptOptions("", "rfc822;" + "b" * 493)),
]


@pytest.mark.parametrize(("parameters", "options"), RCPT_TAKEN)
def test_of_a_recipient_is_taken(parameters: str, options: RcptOptions) -> None:
    assert rcpt(parameters) == options


def test_an_original_recipient_may_be_in_utf8_where_the_mail_is() -> None:
    assert rcpt("ORCPT=utf-8;bøb@example.net", smtputf8=True).orcpt == "utf-8;bøb@example.net"
    assert refused("RCPT", "ORCPT=utf-8;bøb@example.net") == (501, "5.5.4")


REFUSED = [
    ("MAIL", "RET"),
    ("MAIL", "RET="),
    ("MAIL", "RET=BODY"),
    ("MAIL", "RET=FULL,HDRS"),
    ("MAIL", "RET=FULL RET=HDRS"),
    ("MAIL", "ENVID"),
    ("MAIL", "ENVID="),
    ("MAIL", "ENVID=a ENVID=a"),
    ("MAIL", "ENVID=a=b"),
    ("MAIL", "ENVID=a+"),
    ("MAIL", "ENVID=a+4"),
    ("MAIL", "ENVID=a+4g"),
    ("MAIL", "ENVID=a+2b"),  # hexadecimal digits are capitals (RFC 3461 §4)
    ("MAIL", "ENVID=a+0D+0ABcc:+20eve@example.org"),  # a field in our notice
    ("MAIL", "ENVID=a+00"),
    ("MAIL", "ENVID=a+7F"),
    ("MAIL", "ENVID=a+E9"),
    ("MAIL", "ENVID=" + "x" * 101),
    ("MAIL", "ENVID=" + "+41" * 101),
    ("RCPT", "NOTIFY"),
    ("RCPT", "NOTIFY="),
    ("RCPT", "NOTIFY=ALWAYS"),
    ("RCPT", "NOTIFY=NEVER,FAILURE"),
    ("RCPT", "NOTIFY=FAILURE,NEVER"),
    ("RCPT", "NOTIFY=NEVER,NEVER"),
    ("RCPT", "NOTIFY=SUCCESS,SUCCESS"),
    ("RCPT", "NOTIFY=SUCCESS,,DELAY"),
    ("RCPT", "NOTIFY=,SUCCESS"),
    ("RCPT", "NOTIFY=SUCCESS,"),
    ("RCPT", "NOTIFY=SUCCESS;DELAY"),
    ("RCPT", "NOTIFY=SUCCESS NOTIFY=DELAY"),
    ("RCPT", "ORCPT"),
    ("RCPT", "ORCPT=bob@example.net"),
    ("RCPT", "ORCPT=;bob@example.net"),
    ("RCPT", "ORCPT=rfc822;"),
    ("RCPT", "ORCPT=rfc(822);b@example.net"),
    ("RCPT", "ORCPT=rfc822;b+0D+0AX:+20y@example.net"),
    ("RCPT", "ORCPT=rfc822;b+C3+A9@example.net"),
    ("RCPT", "ORCPT=rfc822;b+4@example.net"),
    ("RCPT", "ORCPT=utf-8;nobody"),  # must be a mailbox when decoded (RFC 6533 §3)
    ("RCPT", "ORCPT=utf-8;b+2B@example.net"),
    ("RCPT", "ORCPT=utf-8;b\\x{F8@example.net"),
    ("RCPT", "ORCPT=utf-8;b\\x{f8}@example.net"),
    ("RCPT", "ORCPT=utf-8;b\\x{41}@example.net"),  # what needs no encoding has none
    ("RCPT", "ORCPT=utf-8;b\\x{D800}@example.net"),
    ("RCPT", "ORCPT=utf-8;b\\x{110000}@example.net"),
    ("RCPT", "ORCPT=utf-8;b\\x{202E}b@example.net"),  # would show it the other way round
    ("RCPT", "ORCPT=utf-8;b\\x{20}X:@example.net"),
    ("RCPT", "ORCPT=rfc822;" + "b" * 494),
    ("RCPT", "ORCPT=rfc822;b ORCPT=rfc822;b"),
]


@pytest.mark.parametrize(("command", "parameters"), REFUSED)
def test_what_is_wrong_is_501(command: str, parameters: str) -> None:
    assert refused(command, parameters) == (501, "5.5.4")


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("MAIL", "NOTIFY=NEVER"),
        ("MAIL", "ORCPT=rfc822;b"),
        ("RCPT", "RET=FULL"),
        ("RCPT", "ENVID=a"),
    ],
)
def test_what_belongs_to_the_other_command_is_555(command: str, parameters: str) -> None:
    assert refused(command, parameters) == (555, "5.5.4")


def test_nothing_of_it_exists_without_ehlo() -> None:
    for ask in (
        lambda: parse_mail("FROM:<a@example.org> RET=FULL", extended=False),
        lambda: parse_rcpt(f"{TO} NOTIFY=NEVER", extended=False, smtputf8=False, hostname="gw"),
    ):
        with pytest.raises(Refusal) as info:
            ask()
        assert (info.value.code, info.value.status) == (555, "5.5.4")


def test_a_blank_of_another_script_does_not_end_a_parameter() -> None:
    assert refused("RCPT", "NOTIFY=NEVER\u2003ORCPT=rfc822;b", smtputf8=True) == (501, "5.5.4")


TOGETHER = [
    ("", "", ""),
    ("NEVER", "NEVER", "NEVER"),
    ("NEVER", "SUCCESS", "SUCCESS"),
    ("", "SUCCESS", "SUCCESS,FAILURE,DELAY"),
    ("", "NEVER", "FAILURE,DELAY"),
    ("SUCCESS", "FAILURE", "SUCCESS,FAILURE"),
]


@pytest.mark.parametrize(("one", "other", "both"), TOGETHER)
def test_an_address_given_twice_gets_what_either_asked(one: str, other: str, both: str) -> None:
    for first, second in ((one, other), (other, one)):
        assert together(RcptOptions(first), RcptOptions(second)).notify == both


WANTS = [
    ("", (False, True, True)),
    ("NEVER", (False, False, False)),
    ("SUCCESS", (True, False, False)),
    ("FAILURE", (False, True, False)),
    ("DELAY", (False, False, True)),
    ("SUCCESS,FAILURE,DELAY", (True, True, True)),
]


@pytest.mark.parametrize(("notify", "answers"), WANTS)
def test_who_is_told_what(notify: str, answers: tuple[bool, ...]) -> None:
    assert tuple(wants(notify, word) for word in ("SUCCESS", "FAILURE", "DELAY")) == answers


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_xtext_is_the_inverse_of_itself(text: str) -> None:
    encoded = encode_xtext(text)
    assert decode_xtext(encoded) == text
    assert " " not in encoded
    assert "=" not in encoded


@given(st.text(min_size=1, max_size=12), st.sampled_from(["example.net", "exämple.net"]))
def test_what_we_say_of_an_address_is_what_we_would_take(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    if not is_mailbox(address):
        return
    said = typed_address(address)
    assert said.isascii()
    assert rcpt(f"ORCPT={said}").orcpt == said
    assert original_address(said)[1] == address
    assert seven_bit(said) == said


def test_the_next_hop_hears_what_was_asked_and_nothing_else() -> None:
    nothing = Wishes()
    assert nothing.of_mail() == ""
    # RFC 3461 §5.2.1: no NOTIFY that nobody gave; the original recipient is made from the address
    assert nothing.of_recipient("b+x@example.net") == " ORCPT=rfc822;b+2Bx@example.net"
    assert nothing.of_recipient("é@example.net") == " ORCPT=utf-8;\\x{E9}@example.net"
    asked = Wishes(
        "HDRS",
        "QQ+2B",
        {
            "b@example.net": RcptOptions("SUCCESS,FAILURE", "rfc822;list@example.org"),
            "c@example.net": RcptOptions("NEVER", "utf-8;é@example.org"),
        },
    )
    assert asked.of_mail() == " RET=HDRS ENVID=QQ+2B"
    assert asked.of_recipient("b@example.net") == (
        " NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;list@example.org"
    )
    assert asked.of_recipient("c@example.net") == " NOTIFY=NEVER ORCPT=utf-8;\\x{E9}@example.org"
