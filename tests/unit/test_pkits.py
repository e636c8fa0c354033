"""NIST PKITS: paths and revocation as 247 published cases expect them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.errors import CannotJudge, CertificateRefused, CrlRefused
from pki.models import Purpose
from pki.path import Material, Revocation, find_path
from pki.policies import PolicyInputs
from tests.corpora import corpus

MOMENT = datetime(2024, 1, 1, tzinfo=UTC)

# Signed with DSA and SHA-1, which only whoever reads old evidence asks for.
DSA = ("40104", "40105", "40106")

# Words of the published reason, and the codes in which we say the same.
REASON_CODES = {
    "could not be validated because the signature": {"path.signature"},
    "issuer name could not be matched": {"path.no-anchor"},
    "no issuer matching": {"path.no-anchor"},
    "CRL issuer certificate path": {"revocation.signature"},
    "CRL indicates": {"revocation.revoked"},
    "no revocation information": {"revocation.missing", "revocation.no-base"},
    "do not cover all revocation reasons": {"revocation.reasons"},
    "CRL signature could not be verified": {"revocation.signature"},
    "revocation checks failed: CRL is not recent": {"revocation.stale"},
    "not authorized to sign": {"revocation.signature"},
    "revocation checks failed": {"revocation.missing"},
    "is not valid until": {"path.not-yet-valid"},
    "expired": {"path.expired"},
    "is not a CA": {"path.not-a-ca"},
    "maximum path length": {"path.length"},
    "not allowed to sign certificates": {"path.key-usage"},
    "no valid set of policies": {"path.policy"},
    "contains a policy mapping": {"path.policy-mapping"},
    "not all names": {"path.name-constraints"},
    "some names": {"path.name-constraints"},
    "unsupported critical extension": {"path.critical-extension"},
}


def cases() -> list[Any]:
    try:
        found = json.loads((corpus("pkits") / "pkits.json").read_text())
    except pytest.skip.Exception:
        return [pytest.param(None, id="absent")]
    return [pytest.param(case, id=f"{case['id']}-{case['name']}") for case in found]


def expected_codes(case: dict[str, Any]) -> set[str]:
    """Our codes for the reason that is published for a case."""
    words = case["error"]["msg_regex"]
    return next(codes for reason, codes in REASON_CODES.items() if reason in words)


def certificate(folder: Path, name: str) -> ParsedCertificate:
    return ParsedCertificate((folder / "certs" / name).read_bytes())


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("case", cases())
def test_pkits(case: dict[str, Any]) -> None:
    folder = corpus("pkits")
    root = (folder / "certs" / "TrustAnchorRootCertificate.crt").read_bytes()
    anchor = Anchor("PKITS", root, hashlib.sha256(root).hexdigest(), frozenset(Purpose))
    others = [certificate(folder, name) for name in case.get("other_certs", ())]
    crls = []
    for name in ["TrustAnchorRootCRL.crl", *case.get("crls", ())]:
        try:
            crls.append(Crl((folder / "crls" / name).read_bytes()))
        except CrlRefused:
            continue  # as the keeper does: it is not stored
    params = case.get("params", {})
    policies = PolicyInputs(
        acceptable=frozenset(params.get("user_initial_policy_set", ())),
        require_explicit=params.get("initial_explicit_policy", False),
        inhibit_mapping=params.get("initial_policy_mapping_inhibit", False),
        inhibit_any=params.get("initial_any_policy_inhibit", False),
    )
    revocation = Revocation.REQUIRE if case.get("revocation", True) else Revocation.OFF

    def run() -> int:
        path = find_path(
            certificate(folder, case["cert"]),
            Material([anchor], others, crls),
            moment=MOMENT,
            revocation=revocation,
            policies=policies,
            allow_legacy=case["id"] in DSA,
        )
        return len(path.certificates)

    if "error" in case:
        with pytest.raises((CertificateRefused, CannotJudge)) as refused:
            run()
        assert refused.value.problem.code in expected_codes(case)
    else:
        assert run() == case["path_len"]


def test_nothing_is_left_out() -> None:
    found = json.loads((corpus("pkits") / "pkits.json").read_text())
    assert len(found) == len(cases()) == 247
