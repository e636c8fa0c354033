"""OCSP responses of openssl's and certvalidator's test suites, with the verdicts these have."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pki.anchors import Anchor, RevocationSources, read_certificates
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused
from pki.models import Purpose
from pki.ocsp import OcspResponse
from pki.ocsp_judge import OcspStatement, check_ocsp
from pki.ocsp_known import ResponsesGiven
from pki.path import Material, find_path
from tests.corpora import corpus

# CAcert's root has the serial number 0.
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")

# Certificate and issuer of each response in openssl's test/ocsp-tests: N = not, D = delegated.
PAIRS = {
    "ND1": ("ND1_Cert_EE", "ND1_Issuer_ICA"),
    "ND2": ("ND2_Cert_ICA", "ND2_Issuer_Root"),
    "ND3": ("ND3_Cert_EE", "ND3_Issuer_Root"),
    "D1": ("D1_Cert_EE", "D1_Issuer_ICA"),
    "D2": ("D2_Cert_ICA", "D2_Issuer_Root"),
    "D3": ("D3_Cert_EE", "D3_Issuer_Root"),
}
# What openssl's 80-test_ocsp.t changes in a response, and what is said of it here.
FORGED = {
    "ISOP": "revocation.ocsp-signature",  # signature on the response
    "WRID": "revocation.ocsp-signature",  # responderID: nobody here has that name or key
    "WINH": "revocation.ocsp-missing",  # issuerNameHash: another certificate
    "WIKH": "revocation.ocsp-missing",  # issuerKeyHash
    "WKDOSC": "revocation.ocsp-signature",  # key in the delegate's certificate
    "ISDOSC": "revocation.ocsp-responder",  # signature on the delegate's certificate
}


def _pem(name: str) -> ParsedCertificate:
    return ParsedCertificate(read_certificates(_tests() / f"{name}.pem")[0])


def _tests() -> Path:
    return corpus("openssl-cms/test/ocsp-tests")


def _response(name: str) -> OcspResponse:
    return OcspResponse(base64.b64decode((_tests() / f"{name}.ors").read_bytes()))


def _judge(response: str, pair: str, issuer: str = "", days: int = 0) -> OcspStatement:
    found = _response(response)
    cert, named = PAIRS[pair]
    return check_ocsp(
        _pem(cert),
        _pem(issuer or named),
        moment=found.produced_at + timedelta(minutes=30, days=days),
        grace=timedelta(),
        responses=[found],
        signers=(),
        vouched=lambda _: True,
        allow_legacy=True,  # 2012: SHA-1
    )


@pytest.mark.parametrize("pair", PAIRS)
def test_openssl_good(pair: str) -> None:
    assert _judge(pair, pair).single.status == "good"


@pytest.mark.parametrize(
    ("kind", "pair"),
    [(k, p) for k in FORGED for p in PAIRS if not (k.endswith("DOSC") and p.startswith("N"))],
)
def test_openssl_forged(kind: str, pair: str) -> None:
    with pytest.raises(CannotJudge) as refused:
        _judge(f"{kind}_{pair}", pair)
    assert refused.value.problem.code == FORGED[kind]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("kind", ["WSNIC", "WKIC"])  # subject, key of the issuer's certificate
def test_openssl_other_issuer(kind: str, pair: str) -> None:
    issuer = f"{kind}_{PAIRS[pair][1]}"
    with pytest.raises(CannotJudge):
        _judge(pair, pair, issuer)


@pytest.mark.parametrize("pair", PAIRS)
def test_openssl_issuer_with_a_broken_signature_is_for_the_path_to_refuse(pair: str) -> None:
    # openssl, too: "Expect success, because we're explicitly trusting the issuer certificate."
    issuer = f"ISIC_{PAIRS[pair][1]}"
    assert _judge(pair, pair, issuer).single.status == "good"


def test_openssl_stale() -> None:
    with pytest.raises(CannotJudge) as refused:
        _judge("ND3", "ND3", days=365)
    assert refused.value.problem.code == "revocation.ocsp-stale"


def test_sha1_is_not_believed_today() -> None:
    found = _response("ND3")
    cert, issuer = map(_pem, PAIRS["ND3"])
    with pytest.raises(CannotJudge) as refused:
        check_ocsp(
            cert, issuer, moment=found.produced_at, grace=timedelta(), responses=[found],
            signers=(), vouched=lambda _: True,
        )  # fmt: skip
    assert refused.value.problem.code == "algorithm.signature"


# certvalidator's freshness fixtures: Alice was revoked on 2020-12-01 for keyCompromise.


def _freshness(at: str, answers: list[str], grace_days: int = 0) -> None:
    folder = corpus("certvalidator/tests/fixtures/freshness")
    certs = {
        name: read_certificates(folder / "certs" / f"{name}.crt")[0]
        for name in ("root", "interm", "alice")
    }
    root = ParsedCertificate(certs["root"])
    interm = Anchor(
        "interm",
        certs["interm"],
        ParsedCertificate(certs["interm"]).sha256,
        frozenset(Purpose),
        grace=timedelta(days=grace_days),
        sources=RevocationSources.OCSP,
    )
    assert root.is_ca
    given = [OcspResponse((folder / f"alice-{day}.ors").read_bytes()) for day in answers]
    path = find_path(
        ParsedCertificate(certs["alice"]),
        Material([interm], [], [], ResponsesGiven(given)),
        moment=datetime.fromisoformat(at).replace(tzinfo=UTC),
        allow_legacy=True,
    )
    assert path.revocation[0].kind == "ocsp"


def test_freshness_good_while_it_holds() -> None:
    _freshness("2020-11-29T00:01:00", ["2020-11-29"])


@pytest.mark.parametrize(
    ("at", "answers"),
    [
        ("2020-12-10T00:01:00", ["2020-11-29"]),  # over
        ("2020-11-29T00:01:00", ["2020-10-01"]),
        ("2020-11-29T00:01:00", ["2020-12-10"]),  # of the future
        ("2020-11-29T00:01:00", []),
    ],
)
def test_freshness_cannot_tell(at: str, answers: list[str]) -> None:
    with pytest.raises(CannotJudge):
        _freshness(at, answers)


def test_freshness_revoked() -> None:
    for answers in (["2020-12-10"], ["2020-11-29", "2020-12-10"]):
        with pytest.raises(CertificateRefused) as refused:
            _freshness("2020-12-10T00:01:00", answers)
        assert refused.value.problem.code == "revocation.revoked"
        assert "keyCompromise" in refused.value.problem.text


def test_freshness_grace_reaches_past_next_update_and_no_further() -> None:
    _freshness("2020-11-30T00:00:00", ["2020-11-29"], grace_days=2)
    with pytest.raises(CannotJudge):
        _freshness("2020-12-20T00:00:00", ["2020-11-29"], grace_days=2)
