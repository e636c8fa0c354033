"""openssl's test/certs, with what its recipe 25-test_verify.t expects (Apache-2.0, facts only).

Asked are the lines about paths. Not asked: lines with a `TRUSTED CERTIFICATE` (openssl's own
format for what a root is trusted for), lines about purposes of TLS, time stamps and code, about
proxy certificates that are allowed (RFC 3820; here they never are), `-x509_strict`,
`-verify_depth`, SM2, and files that the corpus does not have.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pki.constraints import MAX_COMPARISONS
from tests.judges.verdicts.row import Row

FOLDER = "openssl-cms/test/certs"

_POLICY = "1.3.6.1.4.1.16604.998855.1"
_CN = (
    "RFC 5280 §4.2.1.10: constraints hold for names in subjectAltName and the subject as a whole; "
    "a host name in CN is a habit of TLS, and no mail address"
)
_LIMIT = (
    f"we stop at {MAX_COMPARISONS:,} comparisons along a path, openssl at 1,048,576 for one "
    "certificate"
)
_DRAFT = "X.690 §11.5: the draft's example writes out a default value (critical FALSE); no DER"
_SMALL = "`pki/algorithm_rows.py`: RSA below 1024 bits is read by nobody"

_ROOT, _CA = ("root-cert",), ("ca-cert",)


def _row(
    leaf: str,
    trusted: tuple[str, ...],
    others: tuple[str, ...],
    ours: str,
    about: str,
    published: bool | None = None,
    why: str = "",
    *,
    legacy: bool = False,
    policies: tuple[str, ...] = (),
    moment: datetime | None = None,
) -> Row:
    """published: left out where it is ours."""
    accepted = ours == "valid" if published is None else published
    more = {} if moment is None else {"moment": moment}
    return Row(
        leaf, trusted, others, accepted, ours, about, why, legacy=legacy, policies=policies, **more
    )


ROWS: tuple[Row, ...] = (
    _row("ee-cert", _ROOT, _CA, "valid", "canonical success"),
    # roots
    _row("ee-cert", ("root-nonca",), _CA, "path.not-a-ca", "trusted root that is no CA"),
    _row("ee-cert", ("root-cert2",), _CA, "path.signature", "wrong root key"),
    _row("ee-cert", ("root-name2",), _CA, "path.no-anchor", "wrong root name"),
    _row("ee-cert", ("root-expired",), _CA, "path.expired", "expired trusted root"),
    # critical extensions
    _row("ee-cert-noncrit-unknown-ext", _ROOT, _CA, "valid", "unknown extension, not critical"),
    _row("ee-cert-crit-unknown-ext", _ROOT, _CA, "path.critical-extension",
         "unknown critical extension"),
    _row("ee-cert-ocsp-nocheck", _ROOT, _CA, "path.critical-extension",
         "critical OCSP no check", True,
         "RFC 6960 §4.2.2.2.1: the extension is a responder's; on a person's certificate it asks "
         "not to look whether it is revoked, and we do look"),
    # intermediates
    _row("ee-cert", _ROOT, ("ca-nonca",), "path.not-a-ca", "intermediate that is no CA"),
    _row("ee-cert", _ROOT, ("ca-nonbc",), "path.not-a-ca", "intermediate without constraints"),
    _row("ee-cert", ("root-cert", "ca-nonca"), (), "path.not-a-ca", "trusted, and no CA"),
    _row("ee-cert", ("root-cert", "ca-nonbc"), (), "path.not-a-ca",
         "trusted, without basicConstraints"),
    _row("ee-cert", _ROOT, ("ca-cert2",), "path.signature", "wrong intermediate key"),
    _row("ee-cert", _ROOT, ("ca-name2",), "path.no-anchor", "wrong intermediate name"),
    _row("ee-cert", _ROOT, ("ca-root2",), "path.signature", "intermediate of another root"),
    _row("ee-cert", (), _CA, "path.no-anchor", "nothing is trusted"),
    _row("ee-cert", ("ca-cert",), (), "valid", "an intermediate is the anchor"),
    _row("ee-cert", ("ca-expired",), (), "path.expired", "an expired intermediate is the anchor"),
    # the certificate itself
    _row("ee-client", _ROOT, _CA, "valid", "another leaf"),
    _row("ee-cert2", _ROOT, _CA, "path.signature", "leaf of another intermediate key"),
    _row("ee-name2", _ROOT, _CA, "path.no-anchor", "leaf of another intermediate name"),
    _row("ee-expired", _ROOT, _CA, "path.expired", "expired leaf"),
    _row("ee-cert", ("ee-cert",), (), "valid", "the leaf is the anchor"),
    _row("ee-client", ("ee-client",), (), "valid", "the leaf is the anchor"),
    _row("ee-cert", ("ee-client",), (), "path.no-anchor", "another leaf is the anchor"),
    _row("ee-pathlen", _ROOT, _CA, "structure.certificate", "no CA, and a path length", True,
         "RFC 5280 §4.2.1.9: pathLenConstraint only where cA is asserted; `-x509_strict` refuses "
         "it, too"),
    # proxy certificates
    _row("pc1-cert", _ROOT, ("ee-client", "ca-cert"), "path.not-a-ca", "proxy certificate"),
    # keys and digests
    _row("ee-cert", ("root-cert-768",), ("ca-cert-768i",), "algorithm.key",
         "RSA 768 root, level 0", True, _SMALL, legacy=True),
    _row("ee-cert", ("root-cert-768",), ("ca-cert-768i",), "algorithm.key", "RSA 768 root"),
    _row("ee-cert-768i", _ROOT, ("ca-cert-768",), "algorithm.key",
         "RSA 768 intermediate, level 0", True, _SMALL, legacy=True),
    _row("ee-cert-768i", _ROOT, ("ca-cert-768",), "algorithm.key", "RSA 768 intermediate"),
    _row("ee-cert-768", _ROOT, _CA, "valid", "RSA 768 leaf, level 0", legacy=True),
    _row("ee-cert-768", _ROOT, _CA, "valid", "RSA 768 leaf", False,
         "the key of the leaf is judged with its purpose (`pki.usage`), which refuses it there"),
    _row("ee-cert", ("root-cert-md5",), _CA, "valid", "anchor that signed itself with MD5"),
    _row("ee-cert", _ROOT, ("ca-cert-md5",), "valid", "MD5 intermediate, level 0", legacy=True),
    _row("ee-cert", _ROOT, ("ca-cert-md5",), "algorithm.signature", "MD5 intermediate"),
    _row("ee-cert-md5", _ROOT, _CA, "valid", "MD5 leaf, level 0", legacy=True),
    _row("ee-cert-md5", _ROOT, _CA, "algorithm.signature", "MD5 leaf"),
    # curves
    _row("ee-cert-ec-explicit", _ROOT, ("ca-cert-ec-named",), "valid",
         "explicit curve of the leaf, named above", False,
         "the key of the leaf is judged with its purpose, which finds none that can be used"),
    _row("ee-cert-ec-named-explicit", _ROOT, ("ca-cert-ec-explicit",), "path.signature",
         "named curve of the leaf, explicit above"),
    _row("ee-cert-ec-named-named", _ROOT, ("ca-cert-ec-named",), "valid", "named curves"),
    # name constraints
    _row("alt1-cert", _ROOT, ("ncca1-cert",), "valid", "everything permitted"),
    _row("alt2-cert", _ROOT, ("ncca2-cert",), "valid", "nothing excluded"),
    _row("alt3-cert", _ROOT, ("ncca1-cert", "ncca3-cert"), "valid", "nested, all permitted"),
    _row("goodcn1-cert", _ROOT, ("ncca1-cert",), "valid", "CNs permitted"),
    _row("goodcn2-cert", _ROOT, ("ncca1-cert",), "valid", "CNs permitted, no subjectAltName"),
    _row("badcn1-cert", _ROOT, ("ncca1-cert",), "valid", "CNs not permitted", False, _CN),
    _row("badalt1-cert", _ROOT, ("ncca1-cert",), "path.name-constraints", "host not permitted"),
    _row("badalt2-cert", _ROOT, ("ncca2-cert",), "path.name-constraints", "host excluded"),
    _row("badalt3-cert", _ROOT, ("ncca1-cert",), "path.name-constraints", "mail not permitted"),
    _row("badalt4-cert", _ROOT, ("ncca1-cert",), "path.name-constraints",
         "mail in the subject not permitted"),
    _row("badalt5-cert", _ROOT, ("ncca1-cert",), "path.name-constraints", "IP not permitted"),
    _row("badalt6-cert", _ROOT, ("ncca1-cert",), "valid", "host in CN not permitted", False, _CN),
    _row("badalt7-cert", _ROOT, ("ncca1-cert",), "valid", "host in CN, as BMPString", False, _CN),
    _row("badalt8-cert", _ROOT, ("ncca1-cert", "ncca3-cert"), "path.name-constraints",
         "nested, host not permitted 1"),
    _row("badalt9-cert", _ROOT, ("ncca1-cert", "ncca3-cert"), "path.name-constraints",
         "nested, host not permitted 2"),
    _row("badalt10-cert", _ROOT, ("ncca1-cert", "ncca3-cert"), "path.name-constraints",
         "nested, host excluded"),
    _row("bad-othername-cert", _ROOT, ("nccaothername-cert",), "path.name-constraints",
         "type confusion (CVE-2022-4203)"),
    _row("bad-othername-namec", ("bad-othername-namec-inter",), (), "structure.certificate",
         "constraint of an otherName", moment=datetime(2021, 6, 7, 10, tzinfo=UTC)),
    # PSS
    _row("ee-pss-sha1-cert", _ROOT, _CA, "valid", "PSS with SHA-1, level 0", legacy=True),
    _row("ee-pss-sha256-cert", _ROOT, _CA, "valid", "PSS with SHA-256"),
    _row("ee-pss-sha1-cert", _ROOT, _CA, "algorithm.signature", "PSS with SHA-1"),
    _row("ee-pss-cert", _ROOT, ("ca-pss-cert",), "valid", "a CA key for PSS alone"),
    _row("ee-pss-wrong1.5-cert", _ROOT, ("ca-pss-cert",), "path.signature",
         "PKCS #1 v1.5 by a key for PSS alone"),
    # bombs
    _row("many-names1", ("many-constraints",), (), "limits.names", "too many names 1"),
    _row("many-names2", ("many-constraints",), (), "limits.names", "too many names 2"),
    _row("many-names3", ("many-constraints",), (), "valid", "too many names 3", False,
         "a name is compared with the constraints of its form alone; few are left here"),
    _row("some-names1", ("many-constraints",), (), "limits.names", "not too many names 1", True,
         _LIMIT),
    _row("some-names2", ("many-constraints",), (), "limits.names", "not too many names 2", True,
         _LIMIT),
    # certificates that are their own anchor
    _row("root-cert-rsa2", ("root-cert-rsa2",), (), "valid", "key of algorithm rsa (2.5.8.1.1)"),
    _row("ee-self-signed", ("ee-self-signed",), (), "valid", "trusted, self-signed, no CA",
         moment=datetime(2020, 7, 1, tzinfo=UTC)),
    _row("ee-ss-with-keyCertSign", ("ee-ss-with-keyCertSign",), (), "valid",
         "trusted, self-signed, no CA, with keyCertSign"),
    # Ed25519
    _row("ee-ed25519", ("root-ed25519",), (), "structure.certificate", "X25519 below Ed25519",
         True, _DRAFT),
    _row("root-ed25519", ("ee-ed25519",), (), "structure.certificate", "CA and leaf swapped"),
    _row("root-ed25519", ("root-ed25519",), (), "valid", "trusted Ed25519 CA"),
    _row("ee-ed25519", ("ee-ed25519",), (), "structure.certificate",
         "the leaf is the anchor (partial chain)", True, _DRAFT),
    # policies
    _row("ee-cert-policies", _ROOT, ("ca-pol-cert",), "valid", "the policy asked for",
         policies=(_POLICY,)),
    _row("ee-cert-policies-bad", _ROOT, ("ca-pol-cert",), "structure.certificate",
         "a policy listed twice", policies=(_POLICY,)),
)  # fmt: skip
