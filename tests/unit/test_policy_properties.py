"""What must hold for every policy and every mail: knowing less never makes anything laxer."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mime.entity import split
from gateway.policy import (
    NO_HEADER,
    Action,
    AddressSet,
    Crypto,
    Decision,
    Encrypt,
    Encryption,
    Hold,
    Levels,
    Mail,
    Pattern,
    Policy,
    Refuse,
    Rule,
    SendPlain,
    SendSigned,
    Sensitivity,
    Sign,
    Tls,
    Undecided,
    WholeHeader,
    WithoutCertificate,
    settle,
)
from gateway.policy import conditions as c
from gateway.policy.folding import Glob, fold
from gateway.policy.inherit import strictness
from gateway.policy.times import parse_span
from gateway.policytrial import Certificate, foreseen
from pki.errors import Problem
from pki.models import CannotTell, Certified, CheckedCertificate, Finding, NoCertificate, Purpose

DOWN = Problem("directory.down", "down")
DOMAINS = ["a.example", "b.a.example", "c.example"]
PEOPLE = [f"{name}@{domain}" for name in ("x", "y") for domain in DOMAINS]
PATTERNS = ["*", *PEOPLE, *(f"@{d}" for d in DOMAINS), "*.a.example", "*.example"]
SPANS = ["mon-fri 08:00-18:00 UTC", "mon 08:00-09:00 UTC", "sat,sun 22:00-06:00 UTC",
         "mon-sun 00:00-24:00 UTC", "mon 08:00-09:00 Europe/Paris"]  # fmt: skip
GLOBS = ["*", "a*", "*a", "*a*", "a", "a*b", ""]

patterns = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(
    lambda texts: tuple(map(Pattern, texts))
)
names = st.lists(st.sampled_from(["g", "h"]), min_size=1, max_size=2, unique=True).map(tuple)
marks = st.lists(st.sampled_from(["[a]", "[ab", "a"]), min_size=1, max_size=2).map(
    lambda texts: tuple((text, fold(text)) for text in texts)
)
condition = st.one_of(
    st.sampled_from([10, 20, 30]).map(c.LargerThan),
    st.sampled_from([10, 20, 30]).map(c.SmallerThan),
    st.lists(st.sampled_from(SPANS), min_size=1, max_size=2).map(
        lambda texts: c.AtTime(tuple(map(parse_span, texts)))
    ),
    st.lists(st.sampled_from(list(Sensitivity)), min_size=1, max_size=2).map(
        lambda levels: c.OfSensitivity(tuple(levels))
    ),
    marks.map(c.SubjectMark),
    marks.map(c.SubjectStart),
    st.lists(st.sampled_from(GLOBS), min_size=1, max_size=2).map(
        lambda globs: c.HeaderField(tuple(("x-a", Glob(g), g) for g in globs))
    ),
    names.map(c.SenderGroup),
    names.map(c.RecipientGroup),
)
rule = st.builds(
    Rule,
    name=st.just(""),
    sender=patterns,
    recipient=patterns,
    encryption=st.sampled_from(Encryption),
    without_certificate=st.sampled_from(WithoutCertificate),
    sign=st.sampled_from([None, *Sign]),
    conditions=st.lists(condition, max_size=3).map(tuple),
    tls=st.sampled_from([None, *Tls]),
    action=st.sampled_from([None, None, None, *Action]),
    copy=st.sampled_from([(), (), ("copy@c.example",)]),
    final=st.booleans(),
    allow_weaker=st.booleans(),
)


def _named(rules: list[Rule], prefix: str) -> tuple[Rule, ...]:
    return tuple(replace(one, name=f"{prefix}{n}") for n, one in enumerate(rules))


policies = st.builds(
    lambda org, domain, person: Policy(
        Levels(
            _named(org, "o"),
            {"a.example": _named(domain, "d")},
            {"x@a.example": _named(person, "p")},
        )
    ),
    st.lists(rule, max_size=4),
    st.lists(rule, max_size=2),
    st.lists(rule, max_size=2),
)
groups = st.frozensets(st.sampled_from(["g", "h", "i"]), max_size=2)
values = st.text(st.sampled_from("ab[] A"), max_size=4)


@st.composite
def mails(draw: st.DrawFn) -> tuple[Mail, str]:
    """A mail of which everything is known, and a recipient."""
    author, recipient = draw(st.sampled_from(PEOPLE)), draw(st.sampled_from(PEOPLE))
    lines = [f"Subject: {value}" for value in draw(st.lists(values, max_size=2))]
    lines += [f"X-A: {value}" for value in draw(st.lists(values, max_size=2))]
    lines += [f"Sensitivity: {s.value}" for s in draw(st.lists(st.sampled_from(Sensitivity)))]
    message = split("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n")
    minutes = draw(st.integers(0, 7 * 24 * 60 - 1))
    moment = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=minutes)
    known = {one: draw(groups) for one in PEOPLE}
    mail = Mail(author, draw(st.integers(0, 40)), moment, WholeHeader(message), known)
    return mail, recipient


@st.composite
def forgetful(draw: st.DrawFn, mail: Mail) -> Mail:
    """The same mail, of which some is not known: a directory is down, the header is sealed."""
    less = mail
    if draw(st.booleans()):
        less = replace(less, header=NO_HEADER)
    if draw(st.booleans()):
        less = replace(less, size=None)
    if draw(st.booleans()):
        less = replace(less, moment=None)
    kept = {
        address: draw(st.sampled_from([known, DOWN]))
        for address, known in mail.groups.items()
        if draw(st.booleans())
    }
    return replace(less, groups=kept)


@settings(max_examples=150)
@given(st.data(), policies, mails())
def test_who_knows_less_waits_or_decides_the_same(
    data: st.DataObject, policy: Policy, full: tuple[Mail, str]
) -> None:
    mail, recipient = full
    less = data.draw(forgetful(mail))
    truth = policy.decide(mail, recipient)
    assert isinstance(truth, Decision)

    guess = policy.decide(less, recipient)

    # An unmatched or failed look-up never gives another rule its turn: not a laxer one either.
    assert isinstance(guess, Undecided) or guess == truth
    # What may decide in the end is among what is possible now, and is looked for now.
    possible = {one.name for _, one in policy.possible(less, recipient)}
    assert set(truth.rules) <= possible
    wanted = policy.addresses_to_find(less, recipient)
    assert {copy.address for copy in truth.copies} <= wanted
    if truth.encryption is not Encryption.NEVER:
        assert recipient in wanted or truth.action is Action.REFUSE


@settings(max_examples=120)
@given(policies, mails())
def test_a_recipient_refused_at_once_could_never_have_got_the_mail_otherwise(
    policy: Policy, full: tuple[Mail, str]
) -> None:
    mail, recipient = full
    decision = policy.decide(mail, recipient)
    assert isinstance(decision, Decision)

    if policy.always_required(recipient) is not None:
        assert decision.encryption is Encryption.REQUIRED
        assert decision.action is not Action.HOLD


@settings(max_examples=120)
@given(policies, mails())
def test_levels_below_are_never_laxer_than_the_organisation_allows(
    policy: Policy, full: tuple[Mail, str]
) -> None:
    mail, recipient = full
    decision = policy.decide(mail, recipient)
    assert isinstance(decision, Decision)
    rules = {one.name: one for _, _, one in policy.every_rule()}
    above = rules[decision.rules[0]]
    if above.final:
        assert decision.rules == (above.name,)
    if above.encryption is None or above.allow_weaker:
        return
    floor = (above.encryption, above.without_certificate or WithoutCertificate.HOLD)
    assert strictness((decision.encryption, decision.without_certificate)) >= strictness(floor)
    assert decision.tls is not None or above.tls is None
    if above.action is Action.REFUSE:
        assert decision.action is Action.REFUSE
    assert {copy.address for copy in decision.copies} >= set(above.copy)


@settings(max_examples=200)
@given(rule, rule, mails())
def test_a_rule_called_unreachable_is_so(one: Rule, other: Rule, full: tuple[Mail, str]) -> None:
    mail, recipient = full
    if other.match(mail, recipient)[0]:
        if one.covers(other):
            assert one.match(mail, recipient)[0]
        if one.match(mail, recipient)[0]:
            assert one.meets(other)
        assert other.possible


@given(patterns, st.sampled_from(["", *PEOPLE, '"x@a.example"@c.example']))
def test_a_set_of_patterns_matches_as_they_do_one_by_one(
    some: tuple[Pattern, ...], address: str
) -> None:
    domain = address.rpartition("@")[2]
    one_by_one = any(
        p.text == "*"
        or p.text == address
        or (p.text == f"@{domain}" and address != "")
        or (p.text.startswith("*.") and domain.endswith(p.text[1:]))
        for p in some
    )
    assert AddressSet(some).has(address) is one_by_one


@given(st.text(st.sampled_from("ab*"), max_size=7), st.text(st.sampled_from("ab"), max_size=9))
def test_a_pattern_with_stars_matches_as_an_expression_would(pattern: str, text: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert Glob(pattern).matches(text) is bool(re.fullmatch(expression, text))


@given(st.text(max_size=30))
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_a_pattern_of_stars_costs_linear_time() -> None:
    """Back-tracking would take longer than the universe has."""
    assert not Glob("a*" * 60 + "b").matches("a" * 200_000)
    assert not Glob("*a" * 60 + "b").matches("a" * 200_000)


CHECKED = CheckedCertificate(
    certificate=cast("Any", None),
    der=b"",
    sha256="00",
    address="bob@x.example",
    purpose=Purpose.ENCRYPT,
    moment=datetime(2026, 11, 21, tzinfo=UTC),
    path=(),
    anchor="root",
    revocation=(),
    source="store",
)
FINDINGS: dict[Certificate, Finding] = {
    Certificate.FOUND: Certified(CHECKED, ("store",)),
    Certificate.NONE: NoCertificate(("store",), (), DOWN),
    Certificate.CANNOT_TELL: CannotTell(("store",), (), DOWN),
}
OUTCOMES = {Encrypt: "encrypted", SendSigned: "signed", SendPlain: "plain", Refuse: "refused"}


def test_a_dry_run_foresees_what_would_be_settled() -> None:
    for encryption in Encryption:
        for without in WithoutCertificate:
            for sign in Sign:
                for action in Action:
                    made = Rule("r", (Pattern("*"),), (Pattern("*"),), encryption, without, sign,
                                action=action, crypto=Crypto.READABLE)  # fmt: skip
                    decision = Policy([made]).decide(Mail("anna@x.example"), "bob@x.example")
                    assert isinstance(decision, Decision)
                    for certificate, finding in FINDINGS.items():
                        done = settle(decision, finding)
                        if isinstance(done, Hold):
                            wanted = "deferred" if done.temporary else "held"
                        else:
                            wanted = OUTCOMES[type(done)]
                        assert foreseen(decision, certificate, announced=False) == wanted


@pytest.mark.parametrize("without", list(WithoutCertificate))
def test_a_dry_run_foresees_two_envelopes(without: WithoutCertificate) -> None:
    anyone = (Pattern("*"),)
    made = Rule(
        "r", anyone, anyone, Encryption.IF_POSSIBLE, without, Sign.SEAL, crypto=Crypto.HYBRID
    )
    decision = Policy([made]).decide(Mail("anna@x.example"), "bob@x.example")
    assert isinstance(decision, Decision)
    for second, known, wanted in ((CHECKED, True, "encrypted"), (None, False, "held")):
        done = settle(decision, Certified(CHECKED, ("store",), (), second))
        assert isinstance(done, Encrypt) is (wanted == "encrypted")
        assert isinstance(done, Hold) is (wanted == "held")
        assert foreseen(decision, Certificate.FOUND, announced=False, second=known) == wanted
    # The log of a mail in one envelope does not say whether a second one could have been made.
    assert foreseen(decision, Certificate.FOUND, announced=True) == ""
