"""`openssl verify -crl_check_all` as independent judge of paths and revocation."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.errors import CannotJudge, CertificateRefused
from pki.path import Material, find_path
from tests.pki_maker import DAY, NOW, Authority, Issued, dn, key, root, usage


@dataclass
class Case:
    """What one case gives to both judges."""

    leaf: Issued
    roots: list[Authority]
    intermediates: list[Issued]
    crls: list[bytes]
    moment: Any = NOW


def three(**sub: Any) -> tuple[Authority, Authority]:
    top = root()
    return top, top.sub("Issuing CA", **sub)


def simple(**leaf: Any) -> Case:
    top, ca = three()
    return Case(ca.issue("Marie", **leaf), [top], [ca], [top.crl(), ca.crl()])


def with_ca(**sub: Any) -> Case:
    top, ca = three(**sub)
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl()])


def revoked_leaf() -> Case:
    top, ca = three()
    leaf = ca.issue("Marie")
    ca.revoke(leaf)
    return Case(leaf, [top], [ca], [top.crl(), ca.crl()])


def revoked_ca() -> Case:
    top, ca = three()
    top.revoke(ca)
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl()])


def missing_crl() -> Case:
    top, ca = three()
    return Case(ca.issue("Marie"), [top], [ca], [ca.crl()])


def stale_crl() -> Case:
    top, ca = three()
    stale = ca.crl(start=NOW - 9 * DAY, end=NOW - timedelta(minutes=1))
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), stale])


def future_crl() -> Case:
    top, ca = three()
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl(start=NOW + DAY)])


def forged_crl() -> Case:
    top, ca = three()
    forged = ca.crl(crl_key=key("stranger"))
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), forged])


def crl_without_right() -> Case:
    top, ca = three(key_usage=usage("key_cert_sign"))
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl()])


def crl_for_cas_only() -> Case:
    top, ca = three()
    point = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl(extra=((point, True),))])


def crl_for_users_only() -> Case:
    top, ca = three()
    point = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl(extra=((point, True),))])


def missing_intermediate() -> Case:
    top, ca = three()
    return Case(ca.issue("Marie"), [top], [], [top.crl(), ca.crl()])


def wrong_key() -> Case:
    top, ca = three()
    forger = Authority(ca.cert, key("stranger"))
    return Case(forger.issue("Marie"), [top], [ca], [top.crl(), ca.crl()])


def other_root() -> Case:
    top, ca = three()
    return Case(ca.issue("Marie"), [root("Other Root")], [ca], [top.crl(), ca.crl()])


def deep(path_length: int | None) -> Case:
    top, ca = three(path_length=path_length)
    below = ca.sub("Deeper CA")
    crls = [top.crl(), ca.crl(), below.crl()]
    return Case(below.issue("Marie"), [top], [below, ca], crls)


def names(permitted: str, address: str) -> Case:
    constraints = x509.NameConstraints([x509.RFC822Name(permitted)], None)
    top, ca = three(extra=((constraints, True),))
    leaf = ca.issue("Marie", emails=(address,))
    return Case(leaf, [top], [ca], [top.crl(), ca.crl()])


def excluded_subject() -> Case:
    constraints = x509.NameConstraints(None, [x509.DirectoryName(dn("Marie"))])
    top, ca = three(extra=((constraints, True),))
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl()])


def expired_root() -> Case:
    top = root(end=NOW - DAY)
    ca = top.sub("Issuing CA")
    return Case(ca.issue("Marie"), [top], [ca], [top.crl(), ca.crl()])


def critical(oid: str) -> Case:
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), b"\x05\x00")
    return simple(extra=((odd, True),))


CASES: dict[str, tuple[Callable[[], Case], bool]] = {
    "good": (simple, True),
    "good elliptic": (lambda: simple(kind="ec"), True),
    "revoked": (revoked_leaf, False),
    "revoked CA": (revoked_ca, False),
    "no CRL of the root": (missing_crl, False),
    "stale CRL": (stale_crl, False),
    "CRL of tomorrow": (future_crl, False),
    "forged CRL": (forged_crl, False),
    "CA may not sign CRLs": (crl_without_right, False),
    "CRL for CAs only": (crl_for_cas_only, False),
    "CRL for users only": (crl_for_users_only, True),
    "expired": (lambda: simple(end=NOW - DAY), False),
    "not yet valid": (lambda: simple(start=NOW + DAY), False),
    "CA expired": (lambda: with_ca(end=NOW - DAY), False),
    "root expired": (expired_root, False),
    "CA is none": (lambda: with_ca(ca=False), False),
    "CA may not sign": (lambda: with_ca(key_usage=usage("crl_sign")), False),
    "intermediate missing": (missing_intermediate, False),
    "signature of another": (wrong_key, False),
    "untrusted root": (other_root, False),
    "path length 0": (lambda: deep(0), False),
    "path length 1": (lambda: deep(1), True),
    "path length open": (lambda: deep(None), True),
    "name inside": (lambda: names("a.example", "marie@a.example"), True),
    "name outside": (lambda: names("a.example", "marie@b.example"), False),
    "name below": (lambda: names(".a.example", "marie@x.a.example"), True),
    "subject excluded": (excluded_subject, False),
    "critical and unknown": (lambda: critical("1.2.3.4"), False),
}


def ours(case: Case) -> bool:
    material = Material(
        [one.anchor() for one in case.roots],
        [one.der for one in case.intermediates],
        [Crl(crl) for crl in case.crls],
    )
    try:
        find_path(ParsedCertificate(case.leaf.der), material, moment=case.moment)
    except (CertificateRefused, CannotJudge):
        return False
    return True


def openssl(case: Case, folder: Path) -> bool:
    (folder / "leaf.pem").write_bytes(case.leaf.pem)
    (folder / "roots.pem").write_bytes(b"".join(one.pem for one in case.roots))
    (folder / "others.pem").write_bytes(b"".join(one.pem for one in case.intermediates))
    crls = [x509.load_der_x509_crl(crl).public_bytes(Encoding.PEM) for crl in case.crls]
    (folder / "crls.pem").write_bytes(b"".join(crls))
    command = ["openssl", "verify", "-crl_check_all", "-extended_crl"]
    command += ["-attime", str(int(case.moment.timestamp())), "-CAfile", "roots.pem"]
    command += ["-CRLfile", "crls.pem", "-no-CApath", "-no-CAstore"]
    if case.intermediates:
        command += ["-untrusted", "others.pem"]
    return subprocess.run([*command, "leaf.pem"], cwd=folder, capture_output=True).returncode == 0


@pytest.mark.parametrize("name", CASES)
def test_openssl_agrees(name: str, tmp_path: Path) -> None:
    make, good = CASES[name]
    case = make()
    assert (ours(case), openssl(case, tmp_path)) == (good, good)
