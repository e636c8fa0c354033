"""What a case consists of, still as descriptions that a twist can change before it is signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509

from pki.models import Purpose

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
MARIE = "marie@a.example"


@dataclass(eq=False)
class Cert:
    """One certificate to be made. issuer: None for a root, which signs itself.

    subject_rdns: OID and text, outermost first. made_by: another key than the issuer's signs.
    akid: a key identifier in place of the issuer's; "" for none; None for the right one.
    """

    subject_rdns: list[tuple[x509.ObjectIdentifier, str]]
    key: Any
    serial: int
    issuer: Cert | None = None
    start: datetime = NOW - 100 * DAY
    end: datetime = NOW + 100 * DAY
    ca: bool | None = True
    path_length: int | None = None
    usage: tuple[str, ...] | None = ("key_cert_sign", "crl_sign")
    extended: list[x509.ObjectIdentifier] | None = None
    permitted: list[x509.GeneralName] = field(default_factory=list)
    excluded: list[x509.GeneralName] = field(default_factory=list)
    names: list[x509.GeneralName] = field(default_factory=list)
    policies: list[str] | None = None
    mappings: list[tuple[str, str]] = field(default_factory=list)
    explicit: int | None = None
    inhibit_mapping: int | None = None
    inhibit_any: int | None = None
    skid: bool = True
    akid: bytes | None = None
    points: list[x509.DistributionPoint] = field(default_factory=list)
    freshest: list[x509.DistributionPoint] = field(default_factory=list)
    extra: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)
    made_by: Any = None
    digest: str = "sha256"
    pss: bool = False
    broken: bool = False
    crls: list[CrlSpec] = field(default_factory=list)
    issuer_rdns: list[tuple[x509.ObjectIdentifier, str]] | None = None

    @property
    def subject(self) -> x509.Name:
        return name(self.subject_rdns)

    @property
    def issuer_name(self) -> x509.Name:
        if self.issuer_rdns is not None:
            return name(self.issuer_rdns)
        return (self.issuer or self).subject


@dataclass(eq=False)
class CrlSpec:
    """One CRL to be made by a certificate's key, or by made_by.

    revoked: serial → when, reason, certificate issuer (of an indirect CRL). base: a delta's.
    issuers_critical: certificate issuers stand in critical extensions (RFC 5280 §5.3.3).
    """

    number: int | None = 10
    start: datetime = NOW - DAY
    end: datetime = NOW + 7 * DAY
    revoked: dict[int, tuple[datetime, str, x509.Name | None]] = field(default_factory=dict)
    point: x509.IssuingDistributionPoint | None = None
    base: int | None = None
    extra: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)
    entry_extra: list[tuple[x509.ExtensionType, bool]] = field(default_factory=list)
    issuers_critical: bool = True
    made_by: Any = None
    issuer: x509.Name | None = None
    digest: str = "sha256"
    broken: bool = False


@dataclass
class World:
    """A case while it is being made. chain: root first, leaf last. apart: what else is offered.

    traits: what was done, in words that the classes of disagreement ask for.
    """

    chain: list[Cert]
    apart: list[Cert] = field(default_factory=list)
    anchors: list[Cert] = field(default_factory=list)
    traits: set[str] = field(default_factory=set)
    acceptable: set[str] = field(default_factory=set)
    require_explicit: bool = False
    inhibit_mapping: bool = False
    inhibit_any: bool = False
    revocation: bool = True
    purpose: Purpose | None = None
    address: str = MARIE

    @property
    def leaf(self) -> Cert:
        return self.chain[-1]

    @property
    def authorities(self) -> list[Cert]:
        """The CAs of the chain, root first."""
        return self.chain[:-1]


Mend = Callable[[World], None]


@dataclass(frozen=True)
class Case:
    """What every judge gets: DER, and what is asked. seed, number and mends make it again.

    mends: what was put right in it before it was signed. taken: CRLs that were taken away from it.
    path_alone: what is offered is our path. leaf_only: openssl shall ask for a CRL of the leaf
    alone; others have no such question.
    """

    seed: int
    number: int
    leaf: bytes
    anchors: tuple[bytes, ...]
    others: tuple[bytes, ...]
    crls: tuple[bytes, ...]
    acceptable: frozenset[str]
    require_explicit: bool
    inhibit_mapping: bool
    inhibit_any: bool
    revocation: bool
    purpose: Purpose | None
    address: str
    traits: frozenset[str]
    moment: datetime = NOW
    mends: tuple[Mend, ...] = ()
    taken: frozenset[tuple[object, ...]] = frozenset()
    path_alone: bool = False
    leaf_only: bool = False


def name(rdns: list[tuple[x509.ObjectIdentifier, str]]) -> x509.Name:
    """A name of single-valued RDNs."""
    return x509.Name([x509.NameAttribute(oid, text, _validate=False) for oid, text in rdns])
