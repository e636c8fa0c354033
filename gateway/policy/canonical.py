"""A policy as one text, the same for the same policy: what the log keeps, and its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from gateway.policy.outcomes import HeaderProtection
from gateway.policy.patterns import Pattern
from gateway.policy.rules import Levels, Partner, Rule
from pki.models import DomainCertificate

_FORMAT = "sceau-policy/1"


def canonical_text(levels: Levels, partners: Iterable[Partner]) -> bytes:
    """UTF-8 JSON with sorted keys, an indent of one, and a newline at its end.

    Order of rules, domains and persons as in the configuration; lists that rules name are written
    once, as they were when they were read. Comments and spelling of the file do not count.
    """
    every = [
        *levels.organisation,
        *(rule for rules in levels.domains.values() for rule in rules),
        *(rule for rules in levels.persons.values() for rule in rules),
    ]
    whole: dict[str, object] = {
        "format": _FORMAT,
        "lists": _lists(every),
        "organisation": [rule_record(rule) for rule in levels.organisation],
        "domains": {name: list(map(rule_record, each)) for name, each in levels.domains.items()},
        "persons": {name: list(map(rule_record, each)) for name, each in levels.persons.items()},
        "partners": [_partner(each) for each in partners],
    }
    text = json.dumps(whole, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    return text.encode()


def fingerprint(text: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(text).hexdigest()


def _partner(partner: Partner) -> dict[str, object]:
    said: dict[str, object] = {
        "domains": sorted(partner.domains),
        "crypto": partner.crypto.value,
    }
    # Left out where it is off: policies of before it was there keep their hash.
    if partner.header_protection is not HeaderProtection.OFF:
        said["header_protection"] = partner.header_protection.value
    if partner.domain_certificate is not DomainCertificate.FALLBACK:
        said["domain_certificate"] = partner.domain_certificate.value
    return said


def rule_record(rule: Rule) -> dict[str, object]:
    """A rule with the keys and values of the configuration; what it does not say is left out."""
    said: dict[str, object] = {"name": rule.name}
    for condition in rule.compiled:
        said[condition.key] = list(condition.words)
    if rule.encryption is not None:
        said["encryption"] = rule.encryption.value
    if rule.without_certificate is not None:
        said["without_certificate"] = rule.without_certificate.value
    if rule.sign is not None:
        said["sign"] = rule.sign.value
    if rule.crypto is not None:
        said["crypto"] = rule.crypto.value
    if rule.tls is not None:
        said["tls"] = rule.tls.value
    if rule.action is not None:
        said["action"] = rule.action.value
    said |= {key: value for key, value in (("route", rule.route), ("text", rule.text)) if value}
    if rule.copy:
        said["copy"] = list(rule.copy)
    if rule.receipt is not None:
        said["request_receipt"] = rule.receipt
    if rule.tell_held is not None:
        said["tell_sender_when_held"] = rule.tell_held
    said |= {key: True for key in ("final", "allow_weaker") if getattr(rule, key)}
    return said


def _lists(rules: Iterable[Rule]) -> Mapping[str, list[str]]:
    found: dict[str, dict[str, None]] = {}
    for rule in rules:
        pattern: Pattern
        for pattern in (*rule.sender, *rule.recipient):
            if pattern.of:
                found.setdefault(pattern.of, {})[pattern.text] = None
    return {name: sorted(texts) for name, texts in found.items()}
