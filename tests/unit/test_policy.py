"""Policy, as a specification: who writes to whom, what was found, what is done."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.policy import (
    Action,
    ClearTextAllowed,
    Crypto,
    Decision,
    Encrypt,
    Encryption,
    HeaderProtection,
    Hold,
    Levels,
    Mail,
    Partner,
    Pattern,
    Policy,
    Refuse,
    Rule,
    SendPlain,
    SendSigned,
    Sign,
    WithoutCertificate,
    never_encryptable,
    settle,
)
from gateway.policy.conditions import SubjectMark
from pki.errors import Problem
from pki.models import CannotTell, Certified, CheckedCertificate, Finding, NoCertificate, Purpose
from tests.corpora import ROOT

NOBODY = Problem("directory.none", "nobody has a certificate of {address}", {"address": "x"})
SILENT = Problem("directory.silent", "the directory {name} does not answer", {"name": "justice"})


def rule(
    name: str,
    sender: str,
    recipient: str,
    encryption: str,
    without: str = "hold",
    sign: str = "seal",
    route: str = "",
) -> Rule:
    return Rule(
        name=name,
        sender=tuple(map(Pattern, sender.split())),
        recipient=tuple(map(Pattern, recipient.split())),
        encryption=Encryption(encryption),
        without_certificate=WithoutCertificate(without),
        sign=Sign(sign),
        route=route,
    )


def decide(policy: Policy, sender: str, recipient: str) -> Decision:
    verdict = policy.decide(Mail(sender), recipient)
    assert isinstance(verdict, Decision)
    return verdict


# The policy of a ministry, in order.
POLICY = Policy(
    [
        rule("press", "press@int.example", "*.news.example @news.example", "never"),
        rule("list-robot", "robot@int.example", "@lists.example", "never", sign="none"),
        rule("cabinet", "minister@int.example", "*", "required", "refuse", "person"),
        rule("judge", "*", "judge@justice.example", "required", "refuse"),
        rule("justice", "@int.example", "@justice.example", "required", route="justice"),
        rule("courts", "*", "*.justice.example", "if-possible", "hold"),
        rule("citizens", "@int.example", "@mail.example", "if-possible", "send-signed", "person"),
        rule("suppliers", "*.int.example", "@shop.example", "if-possible", "refuse"),
    ],
    [
        Partner(("justice.example",), Crypto.MODERN),
        Partner(("shop.example", "mail.example"), Crypto.STRICT),
    ],
)

# sender, recipient, the rule that decides
DECIDES = [
    ("", "clerk@justice.example", "default"),
    ("", "desk@news.example", "default"),
    ("", "clerk@lyon.justice.example", "courts"),
    ("press@int.example", "desk@news.example", "press"),
    ("press@int.example", "desk@paris.news.example", "press"),
    ("press@int.example", "desk@a.b.news.example", "press"),
    ("press@int.example", "desk@fakenews.example", "default"),
    ("press@int.example", "desk@news.example.evil.example", "default"),
    ("other@int.example", "desk@news.example", "default"),
    ("xpress@int.example", "desk@news.example", "default"),
    ("robot@int.example", "all@lists.example", "list-robot"),
    ("robot@int.example", "all@sub.lists.example", "default"),
    ("minister@int.example", "judge@justice.example", "cabinet"),
    ("minister@int.example", "anyone@mail.example", "cabinet"),
    ("anna@int.example", "judge@justice.example", "judge"),
    ("anna@elsewhere.example", "judge@justice.example", "judge"),
    ("anna@int.example", "clerk@justice.example", "justice"),
    ("anna@sub.int.example", "clerk@justice.example", "default"),
    ("anna@int.example", "clerk@lyon.justice.example", "courts"),
    ("anna@int.example", "clerk@justice.example.evil.example", "default"),
    ("anna@int.example", "clerk@notjustice.example", "default"),
    ("anna@int.example", "bob@mail.example", "citizens"),
    ("anna@sub.int.example", "bob@mail.example", "default"),
    ("anna@sub.int.example", "x@shop.example", "suppliers"),
    ("anna@int.example", "x@shop.example", "default"),
    ('"a@justice.example"@mail.example', "bob@mail.example", "default"),
    ("anna@int.example", '"x@justice.example"@mail.example', "citizens"),
    ("anna@int.example", '"x@mail.example"@evil.example', "default"),
    ("anna@int.example", "bob@nowhere.example", "default"),
]


@pytest.mark.parametrize(("sender", "recipient", "name"), DECIDES)
def test_the_first_rule_that_matches_decides(sender: str, recipient: str, name: str) -> None:
    assert decide(POLICY, sender, recipient).rule == name


def test_what_no_rule_speaks_of_is_encrypted_or_held_and_sealed() -> None:
    decision = decide(POLICY, "anna@int.example", "bob@nowhere.example")

    assert decision.encryption is Encryption.REQUIRED
    assert decision.without_certificate is WithoutCertificate.HOLD
    assert decision.sign is Sign.SEAL
    assert decision.crypto is Crypto.READABLE


def test_a_policy_without_rules_lets_nothing_out_in_clear() -> None:
    empty = Policy([])

    assert decide(empty, "a@b.example", "c@d.example").encryption is Encryption.REQUIRED


@pytest.mark.parametrize(
    ("recipient", "crypto"),
    [
        ("clerk@justice.example", Crypto.MODERN),
        ("clerk@lyon.justice.example", Crypto.READABLE),
        ("x@shop.example", Crypto.STRICT),
        ("x@elsewhere.example", Crypto.READABLE),
    ],
)
def test_what_was_agreed_with_a_partner_holds_for_his_domains(
    recipient: str, crypto: Crypto
) -> None:
    assert decide(POLICY, "anna@int.example", recipient).crypto is crypto


def test_header_fields_are_protected_for_the_partners_domains_alone() -> None:
    agreed = [Partner(("justice.example",), Crypto.MODERN, HeaderProtection.CONFIDENTIAL)]
    policy = Policy([], agreed)

    found = {
        recipient: decide(policy, "anna@int.example", recipient).header_protection
        for recipient in ("a@justice.example", "a@sub.justice.example", "a@x.example")
    }
    off = HeaderProtection.OFF
    assert list(found.values()) == [HeaderProtection.CONFIDENTIAL, off, off]


def test_the_hash_of_a_policy_changes_with_what_was_agreed_and_not_before() -> None:
    def policy(*agreed: HeaderProtection) -> Policy:
        return Policy([], [Partner(("justice.example",), Crypto.MODERN, *agreed)])

    before = '"crypto": "modern",\n   "domains": [\n    "justice.example"\n   ]'
    assert before.encode() in policy().text
    assert policy(HeaderProtection.OFF).sha256 == policy().sha256
    assert policy(HeaderProtection.SIGNED).sha256 != policy().sha256


def test_a_rule_can_name_the_route() -> None:
    assert decide(POLICY, "anna@int.example", "clerk@justice.example").route == "justice"
    assert decide(POLICY, "anna@int.example", "bob@mail.example").route == ""


def decision(encryption: str, without: str = "hold", sign: str = "seal") -> Decision:
    made = Policy([rule("r", "*", "*", encryption, without, sign)])
    return decide(made, "anna@int.example", "bob@mail.example")


def certified(address: str = "bob@mail.example", **changes: Any) -> Certified:
    certificate = CheckedCertificate(
        certificate=cast("Any", None),  # policy never looks into it
        der=b"",
        sha256="00",
        address=address,
        purpose=Purpose.ENCRYPT,
        moment=datetime(2026, 11, 21, tzinfo=UTC),
        path=(),
        anchor="root",
        revocation=(),
        source="store",
    )
    return Certified(replace(certificate, **changes), ("store",))


NONE_FOUND = NoCertificate(("store",), (), NOBODY)
CANNOT_TELL = CannotTell(("store",), (), SILENT)
FOUND = certified()
CLEAR = ClearTextAllowed("r", "bob@mail.example")
NEVER = Problem(
    "policy.never",
    "rule {rule} says that mail to this recipient is not encrypted",
    {"rule": "r"},
)

# encryption, without_certificate, sign; what was found; what is done
SETTLED = [
    ("required", "hold", "seal", FOUND, Encrypt(FOUND.certificate)),
    ("required", "hold", "seal", NONE_FOUND, Hold(NOBODY, temporary=False)),
    ("required", "hold", "seal", CANNOT_TELL, Hold(SILENT, temporary=True)),
    ("required", "refuse", "seal", FOUND, Encrypt(FOUND.certificate)),
    ("required", "refuse", "seal", NONE_FOUND, Refuse(NOBODY)),
    ("required", "refuse", "seal", CANNOT_TELL, Hold(SILENT, temporary=True)),
    # Cannot be loaded from a file; if it comes from elsewhere it fails closed.
    ("required", "send-signed", "seal", NONE_FOUND, Hold(NOBODY, temporary=False)),
    ("required", "send-signed", "seal", CANNOT_TELL, Hold(SILENT, temporary=True)),
    ("if-possible", "hold", "seal", FOUND, Encrypt(FOUND.certificate)),
    ("if-possible", "hold", "seal", NONE_FOUND, Hold(NOBODY, temporary=False)),
    ("if-possible", "hold", "seal", CANNOT_TELL, Hold(SILENT, temporary=True)),
    ("if-possible", "refuse", "seal", NONE_FOUND, Refuse(NOBODY)),
    ("if-possible", "refuse", "seal", CANNOT_TELL, Hold(SILENT, temporary=True)),
    ("if-possible", "send-signed", "seal", FOUND, Encrypt(FOUND.certificate)),
    ("if-possible", "send-signed", "seal", NONE_FOUND, SendSigned(CLEAR, NOBODY)),
    ("if-possible", "send-signed", "person", NONE_FOUND, SendSigned(CLEAR, NOBODY)),
    ("if-possible", "send-signed", "seal", CANNOT_TELL, Hold(SILENT, temporary=True)),
    # "none" is only for `never`; elsewhere the seal signs.
    ("if-possible", "send-signed", "none", NONE_FOUND, SendSigned(CLEAR, NOBODY)),
    ("never", "hold", "seal", None, SendSigned(CLEAR, NEVER)),
    ("never", "hold", "person", None, SendSigned(CLEAR, NEVER)),
    ("never", "hold", "none", None, SendPlain(CLEAR, NEVER)),
    ("never", "hold", "seal", FOUND, SendSigned(CLEAR, NEVER)),
]


@pytest.mark.parametrize(("encryption", "without", "sign", "finding", "treatment"), SETTLED)
def test_what_is_done(
    encryption: str, without: str, sign: str, finding: Finding | None, treatment: object
) -> None:
    assert settle(decision(encryption, without, sign), finding) == treatment


def test_clear_text_never_leaves_because_somebody_could_not_tell() -> None:
    """I3, over every combination that there is."""
    for encryption in ("required", "if-possible"):
        for without in WithoutCertificate:
            for sign in Sign:
                done = settle(decision(encryption, without.value, sign.value), CANNOT_TELL)
                assert done == Hold(SILENT, temporary=True)


def test_required_never_becomes_clear_text_whatever_is_found() -> None:
    for finding in (FOUND, NONE_FOUND, CANNOT_TELL):
        for without in WithoutCertificate:
            for sign in Sign:
                done = settle(decision("required", without.value, sign.value), finding)
                assert isinstance(done, Encrypt | Hold | Refuse)


@pytest.mark.parametrize(
    "finding",
    [
        certified("eve@mail.example"),
        certified(purpose=Purpose.SIGN),
        certified(unchecked=True),
        None,
    ],
    ids=["another address", "another purpose", "unchecked", "nobody asked"],
)
def test_a_finding_that_does_not_belong_to_the_decision_is_a_fault(
    finding: Finding | None,
) -> None:
    with pytest.raises(ValueError):
        settle(decision("required"), finding)


@pytest.mark.parametrize(
    ("encryption", "directory", "stored", "refused"),
    [
        ("required", False, False, True),
        ("required", True, False, False),
        ("required", False, True, False),
        ("required", True, True, False),
        ("if-possible", False, False, False),
        ("never", False, False, False),
    ],
)
def test_a_recipient_for_whom_no_certificate_can_be_found_is_refused_at_once(
    encryption: str, directory: bool, stored: bool, refused: bool
) -> None:
    bob = "bob@mail.example"
    rule_ = Policy([rule("r", "*", "*", encryption)]).always_required(bob)
    problem = never_encryptable(rule_, bob, directory=directory, stored_certificate=stored)

    assert (problem is not None) is refused
    if problem:
        assert problem.text == (
            "rule r demands encryption, and for mail.example there is neither a directory nor a "
            "stored certificate"
        )


def test_refused_at_once_is_only_what_no_possible_rule_would_let_through() -> None:
    """At RCPT neither From nor the mail is known: any rule that may still decide counts."""
    bob = "bob@mail.example"
    must = rule("must", "*", "*", "required")
    lax = rule("lax", "chief@int.example", "*", "never")
    marked = replace(lax, sender=(Pattern("*"),), conditions=(SubjectMark((("[p]", "[p]"),)),))
    elsewhere = rule("lax", "*", "@other.example", "never")
    hold = replace(must, name="hold", action=Action.HOLD)
    weak = replace(must, allow_weaker=True)
    persons = {"chief@int.example": (lax,)}

    assert Policy([must]).always_required(bob) == "must"
    assert Policy([elsewhere, must]).always_required(bob) == "must"
    assert Policy([must, lax]).always_required(bob) == "must"
    assert Policy([lax, must]).always_required(bob) is None
    assert Policy([marked, must]).always_required(bob) is None
    assert Policy([hold]).always_required(bob) is None
    assert Policy(Levels((must,), {}, persons)).always_required(bob) == "must"
    assert Policy(Levels((weak,), {}, persons)).always_required(bob) is None
    assert Policy(Levels((weak,), {"int.example": (lax,)})).always_required(bob) is None
    assert Policy(Levels((weak,), {"int.example": (elsewhere,)})).always_required(bob) == "must"


COVERS = [
    ("*", "a@b.example", True),
    ("*", "*", True),
    ("@b.example", "a@b.example", True),
    ("@b.example", "@b.example", True),
    ("@b.example", "a@c.b.example", False),
    ("@b.example", "*", False),
    ("*.b.example", "@c.b.example", True),
    ("*.b.example", "a@d.c.b.example", True),
    ("*.b.example", "*.c.b.example", True),
    ("*.b.example", "@b.example", False),
    ("*.b.example", "@xb.example", False),
    ("*.c.b.example", "*.b.example", False),
    ("a@b.example", "@b.example", False),
]


@pytest.mark.parametrize(("wide", "narrow", "covers"), COVERS)
def test_a_pattern_covers_another(wide: str, narrow: str, covers: bool) -> None:
    assert Pattern(wide).covers(Pattern(narrow)) is covers


def _sources() -> Iterator[Path]:
    for package in ("gateway", "pki", "archive", "migrations"):
        yield from (ROOT / package).rglob("*.py")


def test_nobody_but_settle_makes_the_proof_that_clear_text_is_allowed() -> None:
    makers = set()
    for source in _sources():
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            # Any use of the name but in an annotation or an import: calls, aliases, replace().
            if isinstance(node, ast.Call):
                names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} | {
                    n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)
                }
                if "ClearTextAllowed" in names:
                    makers.add(str(source.relative_to(ROOT)))

    assert makers == {"gateway/policy/settle.py"}
