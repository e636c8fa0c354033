"""From an identity to the addresses it may send as."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.errors import Refusal
from gateway.mail import Identity, Peer
from gateway.policy import Pattern
from gateway.senders.proof import proof_of
from gateway.senders.rights import NotYours, Relay, Rights, SenderRule

NET = (ip_network("192.0.2.1/32"),)
RELAYS = (
    Relay("mail", NET, ("a.example",)),
    Relay("front", NET, ("a.example",), xclient=True),
    Relay("checked", NET, ("a.example",), from_is_envelope=True),
)
RULES = (
    SenderRule("own-only-named", logins=("anna",), own=True),
    SenderRule("press", groups=frozenset({"press"}), patterns=(Pattern("press@a.example"),)),
    SenderRule("crm", clients=frozenset({"crm"}), patterns=(Pattern("@b.example"),)),
    SenderRule("services", logins=("svc-*",), patterns=(Pattern("no-reply@a.example"),)),
    SenderRule("both", logins=("anna",), groups=frozenset({"chief"}), patterns=(Pattern("*"),)),
)
RIGHTS = Rights(RELAYS, ("a.example", "b.example"), RULES)


def person(name: str = "anna", *groups: str, method: str = "auth-file", **more: str) -> Peer:
    own = (f"{name}@a.example",)
    identity = Identity(method, name, own, frozenset(groups))
    return Peer("203.0.113.9", 1, "h", identity=identity, **more)


def client(name: str, *own: str) -> Peer:
    return Peer("203.0.113.9", 1, "h", identity=Identity("client-certificate", name, own))


def relay(name: str, **more: str) -> Peer:
    return Peer("192.0.2.1", 1, "h", relay=name, **more)


# peer, address, the rule that allows it (None: refused)
TABLE = [
    (person(), "anna@a.example", "own-only-named"),
    (person("bruno"), "bruno@a.example", "own-address"),
    (person(), "bruno@a.example", None),
    (person(), "anna@b.example", None),
    (person(), "press@a.example", None),
    (person("anna", "press"), "press@a.example", "press"),
    (person("bruno", "press", "other"), "press@a.example", "press"),
    (person("bruno", "press"), "bruno@a.example", "own-address"),
    (person("bruno", "presse"), "press@a.example", None),
    (person("svc-1"), "no-reply@a.example", "services"),
    (person("xsvc-1"), "no-reply@a.example", None),
    (person("anna", "chief"), "anyone@b.example", "both"),
    (person("bruno", "chief"), "anyone@b.example", None),
    (person("anna", "chief"), "anyone@elsewhere.example", None),  # "*" is of our domains only
    (client("crm"), "x@b.example", "crm"),
    (client("crm"), "x@a.example", None),
    (client("anna"), "anna@a.example", None),  # an entry's name is not a login
    (client("svc-1"), "no-reply@a.example", None),
    (client("crm", "crm@a.example"), "crm@a.example", "own-address"),
    (person("crm"), "x@b.example", None),  # nor a login the name of an entry
    (relay("mail"), "anyone@a.example", "relay-domains"),
    (relay("mail"), "anyone@b.example", None),
    (relay("mail"), "anyone@sub.a.example", None),
    (person(method="xclient", via="front"), "anna@a.example", "own-only-named"),
    (person(method="xclient", via="front"), "bruno@a.example", None),
    (person("anna", "chief", method="xclient", via="front"), "x@b.example", None),
    (relay("mail", via="front"), "anyone@a.example", "relay-domains"),
]


@pytest.mark.parametrize(("peer", "address", "rule"), TABLE)
def test_who_may_send_as_whom(peer: Peer, address: str, rule: str | None) -> None:
    if rule is None:
        with pytest.raises(NotYours) as refused:
            RIGHTS.grant(peer, address)
        assert (refused.value.code, refused.value.status) == (550, "5.7.1")
        assert "example" not in refused.value.text  # names no domain, rule or person
    else:
        assert RIGHTS.grant(peer, address) == rule


@pytest.mark.parametrize(
    "peer", [Peer("203.0.113.9", 1, "h"), Peer("203.0.113.9", 1, "h", relay="gone")]
)
def test_who_proved_nothing_is_asked_to(peer: Peer) -> None:
    for ask in (lambda: RIGHTS.proved(peer), lambda: RIGHTS.grant(peer, "anna@a.example")):
        with pytest.raises(Refusal) as refused:
            ask()
        assert (refused.value.code, refused.value.status) == (530, "5.7.0")


def test_where_a_login_is_required_the_network_alone_proves_nothing() -> None:
    rights = Rights(RELAYS, ("a.example",), RULES, login_required=True)
    with pytest.raises(Refusal) as refused:
        rights.grant(relay("mail"), "anna@a.example")
    assert refused.value.code == 530
    assert rights.grant(person(), "anna@a.example") == "own-only-named"


def test_a_relay_that_checks_the_envelope_only_may_not_vouch_for_another_from() -> None:
    peer = relay("checked")
    assert RIGHTS.grant(peer, "anna@a.example", envelope="anna@a.example") == "relay-domains"
    assert RIGHTS.grant(peer, "anna@a.example") == "relay-domains"  # the envelope itself
    # The null sender is checked by nobody: it is for notices, and those have one writer.
    assert RIGHTS.grant(peer, "mailer-daemon@a.example", envelope="") == "relay-domains"
    for address, envelope in (("bruno@a.example", "anna@a.example"), ("bruno@a.example", "")):
        with pytest.raises(NotYours):
            RIGHTS.grant(peer, address, envelope=envelope)


def test_a_rule_for_nobody_is_not_one_for_everybody() -> None:
    with pytest.raises(ValueError, match="for nobody"):
        SenderRule("open", patterns=(Pattern("*"),))


def test_the_proof_says_whose_word_it_is() -> None:
    spoken_for = person(method="xclient", via="front", via_ip="192.0.2.1")
    assert proof_of(spoken_for, {"from": "own-address", "sender": "press"}) == {
        "method": "xclient",
        "address": "192.0.2.1",
        "relay": "front",
        "front": "xclient",
        "login": "anna",
        "rule": "own-address",
        "rule.sender": "press",
    }
    assert proof_of(relay("mail"), {"from": "relay-domains"}) == {
        "method": "relay",
        "address": "192.0.2.1",
        "relay": "mail",
        "rule": "relay-domains",
    }
