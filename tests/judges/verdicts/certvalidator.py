"""certvalidator's fixtures: who was revoked when stands in their certomancer.yml (MIT, facts only).

Their OCSP responses are judged in `tests/unit/test_ocsp_corpora.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from tests.judges.verdicts.row import Row

FOLDER = "certvalidator/tests/fixtures"


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _slide(
    at: str, crls: str, ours: str, about: str, *, via: tuple[str, ...] = ("interm",), of: str = ""
) -> Row:
    """Alice was revoked on 2020-12-01, and so was the second certificate of her CA."""
    base = "ades/time-slide"
    who = ("root", "interm") if not of else (of,)
    return Row(
        f"{base}/certs/alice.crt", (f"{base}/certs/root.crt",),
        tuple(f"{base}/certs/{name}.crt" for name in via), ours == "valid", ours, about,
        crls=tuple(f"{base}/{name}-{crls}.crl" for name in who), moment=_day(at),
    )  # fmt: skip


def _plain(
    leaf: str, trusted: str, others: tuple[str, ...], at: str, ours: str, about: str,
    published: bool | None = None, why: str = "",
) -> Row:  # fmt: skip
    accepted = ours == "valid" if published is None else published
    return Row(leaf, (trusted,), others, accepted, ours, about, why, moment=_day(at))


_AA = "attribute-certs/basic-aa"
_CONTROLS = (
    "aaControls (RFC 5755 §7.4) is for attribute certificates, of which there are none here; it is "
    "critical, so RFC 5280 §4.2 says no"
)

ROWS: tuple[Row, ...] = (
    _slide("2020-10-01", "2020-10-01", "valid", "before the revocation"),
    _slide("2020-11-29", "2020-11-29", "valid", "two days before the revocation"),
    _slide("2020-12-10", "2020-12-10", "revocation.revoked", "after the revocation"),
    _slide("2020-12-10", "2020-11-29", "revocation.stale", "after it, with CRLs from before"),
    _slide("2020-11-29", "2020-12-10", "revocation.missing", "before it, with CRLs from after"),
    _slide("2020-10-01", "2020-10-01", "revocation.missing", "no CRL of the CA", of="root"),
    _slide("2020-12-10", "2020-12-10", "revocation.revoked", "through the revoked CA",
           via=("interm-revoked",)),
    _slide("2020-11-29", "2020-11-29", "valid", "through the CA that is revoked later",
           via=("interm-revoked",)),
    _slide("2020-11-29", "2020-11-29", "valid", "two certificates of the CA",
           via=("interm", "interm-revoked")),
    *(
        row
        for curve in ("ed25519", "ed448")
        for base in (f"testing-ca-{curve}",)
        for row in (
            _plain(f"{base}/signer.cert.pem", f"{base}/root.cert.pem", (f"{base}/interm.cert.pem",),
                   "2020-11-01", "valid", f"{curve} along the path"),
            _plain(f"{base}/signer.cert.pem", f"{base}/root.cert.pem", (), "2020-11-01",
                   "path.no-anchor", "its CA is missing"),
            _plain(f"{base}/tsa2.cert.pem", f"{base}/root.cert.pem", (), "2020-11-01",
                   "path.not-yet-valid", "valid from 2028"),
        )
    ),
    *(
        row
        for base in ("testing-ca-pss", "testing-ca-pss-exclusive")
        for row in (
            _plain(f"{base}/signer1.cert.pem", f"{base}/root.cert.pem",
                   (f"{base}/interm.cert.pem",), "2021-01-01", "valid", "RSASSA-PSS"),
            _plain(f"{base}/signer1.cert.pem", f"{base}/root.cert.pem",
                   (f"{base}/interm.cert.pem",), "2023-01-01", "path.expired", "after its end"),
        )
    ),
    _plain("testing-ca-pss/signer1.cert.pem", "testing-ca-pss-exclusive/root.cert.pem",
           ("testing-ca-pss-exclusive/interm.cert.pem",), "2021-01-01", "path.signature",
           "a CA of the same name with another key"),
    _plain(f"{_AA}/people-ca/alice.crt", f"{_AA}/people-ca/people-ca.crt", (), "2021-01-01",
           "valid", "a person"),
    _plain(f"{_AA}/people-ca/bob.crt", f"{_AA}/root/root.crt", (), "2021-01-01",
           "path.no-anchor", "a person below another root"),
    _plain(f"{_AA}/interm/aa-unrestricted.crt", f"{_AA}/root/root.crt",
           (f"{_AA}/root/interm-unrestricted.crt",), "2021-01-01", "valid",
           "an attribute authority without controls"),
    _plain(f"{_AA}/interm/role-aa.crt", f"{_AA}/root/root.crt", (f"{_AA}/root/interm-role.crt",),
           "2021-01-01", "path.critical-extension", "aaControls", True, _CONTROLS),
    _plain("mozilla.org.crt", "digicert-sha2-secure-server-ca.crt", (), "2019-06-01", "valid",
           "a web server below an intermediate that is trusted"),
    _plain("mozilla.org.crt", "digicert-sha2-secure-server-ca.crt", (), "2020-06-01",
           "path.expired", "the same after its end"),
    _plain("digicert-g5-ecc-sha384-2021-ca1.crt", "digicert-root-g5.crt", (), "2022-06-01",
           "valid", "a CA with P-384"),
    _plain("self-signed-with-policy.crt", "self-signed-with-policy.crt", (), "2021-01-01", "valid",
           "self-signed, its own anchor"),
)  # fmt: skip
