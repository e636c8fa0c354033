"""The terms of trust that people set: policies, and the days between which it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused
from pki.path import Material, Revocation, ValidPath, find_path
from pki.policies import PolicyInputs
from tests.pki_maker import DAY, NOW, root

GOLD, SILVER = "2.999.1", "2.999.2"


def policies(*oids: str) -> tuple[tuple[x509.ExtensionType, bool], ...]:
    listed = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in oids]
    return ((x509.CertificatePolicies(listed), False),)


ANY = PolicyInputs()
CA = root("Partner Root", kind="ec")
PAUL = CA.issue("Paul", emails=("paul@partner.example",), kind="ec", extra=policies(GOLD))
PLAIN = CA.issue("Marie", emails=("marie@partner.example",), kind="ec")


def path(der: bytes, anchor: Anchor, inputs: PolicyInputs = ANY) -> ValidPath:
    return find_path(
        ParsedCertificate(der),
        Material([anchor]),
        moment=NOW,
        revocation=Revocation.OFF,
        policies=inputs,
    )


def refusal(der: bytes, anchor: Anchor, inputs: PolicyInputs = ANY) -> str:
    with pytest.raises(CertificateRefused) as caught:
        path(der, anchor, inputs)
    return caught.value.problem.code


def test_an_anchor_of_some_policies_vouches_for_certificates_of_these_alone() -> None:
    gold = replace(CA.anchor(), policies=frozenset({GOLD}))
    silver = replace(CA.anchor(), policies=frozenset({SILVER}))

    assert path(PAUL.der, gold).policies == {GOLD}
    assert path(PLAIN.der, CA.anchor()).anchor.policies == frozenset()
    assert refusal(PLAIN.der, gold) == "path.policy"
    assert refusal(PAUL.der, silver) == "path.policy"


def test_what_the_caller_demands_is_narrowed_and_not_widened() -> None:
    gold = replace(CA.anchor(), policies=frozenset({GOLD}))

    assert path(PAUL.der, gold, PolicyInputs(frozenset({GOLD, SILVER}))).policies == {GOLD}
    assert refusal(PAUL.der, gold, PolicyInputs(frozenset({SILVER}))) == "path.anchor-policy"


def test_trust_begins_and_ends_on_days_of_its_own() -> None:
    anchor = CA.anchor()
    until = NOW + 5 * DAY

    assert path(PAUL.der, replace(anchor, trusted_until=until)).until == until
    ended = replace(anchor, trusted_until=NOW - DAY)
    assert refusal(PAUL.der, ended) == "path.anchor-ended"
    assert refusal(CA.der, ended) == "path.anchor-ended"  # itself, too
    later = replace(anchor, trusted_from=NOW + DAY)
    assert refusal(PAUL.der, later) == "path.anchor-not-yet"
