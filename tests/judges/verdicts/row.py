"""One line of the table of verdicts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from cryptography import x509

from pki.anchors import Anchor, read_certificates
from pki.certificate import UNREADABLE, ParsedCertificate
from pki.crl import read_crl
from pki.errors import CannotJudge, CertificateRefused, PkiError
from pki.models import Purpose
from pki.path import Material, Revocation, find_path
from pki.policies import PolicyInputs

MOMENT = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """A question and its published answer. Written by hand, never from what we say.

    published: whether the source accepts it. ours: our code ("valid", "path.expired" …).
    why: where ours is another verdict, the rule. crls: empty for no revocation.
    """

    leaf: str
    trusted: tuple[str, ...]
    others: tuple[str, ...]
    published: bool
    ours: str
    about: str
    why: str = ""
    crls: tuple[str, ...] = ()
    moment: datetime = MOMENT
    legacy: bool = False
    policies: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether ours is another verdict than the published one."""
        return self.published != (self.ours == "valid")


@cache
def say(row: Row, folder: Path) -> str:
    """Our verdict: "valid" or the code of the reason."""
    try:
        anchors = [_anchor(_read(folder, name)) for name in row.trusted]
        path = find_path(
            ParsedCertificate(_read(folder, row.leaf)),
            Material(
                anchors,
                [_read(folder, name) for name in row.others],
                [read_crl((folder / name).read_bytes()) for name in row.crls],
            ),
            moment=row.moment,
            revocation=Revocation.REQUIRE if row.crls else Revocation.OFF,
            policies=PolicyInputs(frozenset(row.policies), require_explicit=bool(row.policies)),
            allow_legacy=row.legacy,
        )
    except (CertificateRefused, CannotJudge) as error:
        return error.problem.code
    except PkiError as error:  # the file itself
        return error.problem.code
    assert path.certificates
    return "valid"


def is_trusted_certificate(file: Path) -> bool:
    """openssl's own format: a certificate and for what it is trusted."""
    return b"BEGIN TRUSTED CERTIFICATE" in file.read_bytes()


def _read(folder: Path, name: str) -> bytes:
    file = folder / name
    if not file.exists():
        file = folder / f"{name}.pem"
    return read_certificates(file)[0]


def _anchor(der: bytes) -> Anchor:
    return Anchor("given", der, hashlib.sha256(der).hexdigest(), frozenset(Purpose))


def readable(file: Path) -> bool:
    """Whether there is a certificate in it that `cryptography` reads."""
    try:
        return bool(x509.load_pem_x509_certificates(file.read_bytes()))
    except UNREADABLE:
        return False
