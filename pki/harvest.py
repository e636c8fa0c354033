"""Certificates that came in verified signed mail: suggestions, or by policy into the local store.

The caller has verified the mail: it is `valid`, the signer is bound to its one From address. What
is taken must hold again here, for encryption and for that address. A stranger with a certificate
of a trusted CA can send a thousand mails: what waits is bounded (`pki.suggestions`), and nothing is
used that policy or a person has not accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

import sqlalchemy as sa

from pki import store
from pki.addresses import canonical
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused, Problem
from pki.models import Harvest, Purpose
from pki.path import Material
from pki.recipient_keys import POLICY, Familiar, KeyChange, Sighting, familiar, remember
from pki.suggestions import Kind, Suggested, suggest
from pki.usage import address_problem
from pki.verdict import judge

_MAX_CERTIFICATES = 16  # of one mail that are looked at
NEW = "identity.harvested"


@dataclass(frozen=True, slots=True)
class SignedMail:
    """What a verified mail brings. address: its From. signer: DER of the certificate that signed.

    others: DER of what came along: the chain, and perhaps a certificate of the same person for
    encryption (RFC 8551 §2.5.3). capabilities: OIDs of the signed SMIMECapabilities, in order.
    source: in words for the record.
    """

    address: str
    signer: bytes
    others: tuple[bytes, ...]
    capabilities: tuple[str, ...]
    source: str


class Gathered(Enum):
    """What became of a certificate."""

    SUGGESTED = "suggested"
    ACCEPTED = "accepted"
    KNOWN = "known"  # in use, or waiting, or its key is known of this address
    DISMISSED = "dismissed"
    UNUSABLE = "unusable"  # not for encryption to this address
    FULL = "full"  # too many wait


@dataclass(frozen=True, slots=True)
class Result:
    """One certificate. reason: why it is of no use."""

    certificate: ParsedCertificate
    outcome: Gathered
    reason: Problem | None = None


@dataclass(frozen=True, slots=True)
class Gathering:
    """How it is done. changed: called with accepted certificates whose key is another than before,
    and with those that wait for that reason (held), in the caller's transaction."""

    material: Material
    rule: Callable[[str], Harvest]
    key_change: Callable[[str], KeyChange]
    changed: Callable[[sa.Connection, Sequence[Sighting], bool], None]
    moment: datetime
    org: str = ""


def harvest(conn: sa.Connection, mail: SignedMail, how: Gathering) -> list[Result]:
    """Gather from one mail, in the caller's transaction. Raises AddressError for its address."""
    address = canonical(mail.address)
    if how.rule(address) is Harvest.OFF:
        return []
    certificates = list(_readable((mail.signer, *mail.others[:_MAX_CERTIFICATES])))
    chain = tuple(cert.der for cert in certificates if cert.is_ca)
    known = {cert.der for certs in how.material.intermediates.values() for cert in certs} | {
        cert.der for _, cert in how.material.anchors
    }
    results = []
    for cert in certificates:
        if cert.is_ca or address_problem(cert, address) is not None:
            continue
        results.append(
            _one(conn, mail, address, cert, chain, tuple(d for d in chain if d not in known), how)
        )
    return results


def _readable(ders: Iterable[bytes]) -> Iterable[ParsedCertificate]:
    for der in dict.fromkeys(ders):
        try:
            yield ParsedCertificate(der)
        except CertificateRefused:
            continue


def _one(
    conn: sa.Connection,
    mail: SignedMail,
    address: str,
    cert: ParsedCertificate,
    chain: tuple[bytes, ...],
    to_keep: tuple[bytes, ...],
    how: Gathering,
) -> Result:
    try:
        judge(
            cert,
            address=address,
            purpose=Purpose.ENCRYPT,
            moment=how.moment,
            material=how.material.with_chain(chain),
            source=mail.source,
        )
    except (CertificateRefused, CannotJudge) as error:
        return Result(cert, Gathered.UNUSABLE, error.problem)
    before = familiar(conn, [address], org=how.org).get(address, Familiar())
    if before.knows(cert) or (cert.sha256, address) in store.in_use(
        conn, [cert.sha256], org=how.org
    ):
        return Result(cert, Gathered.KNOWN)
    change = before.change(cert, address)
    sighting = Sighting(address, cert, mail.source, change)
    held = change is not None and how.key_change(address) is KeyChange.HOLD
    if how.rule(address) is Harvest.ACCEPT and not held:
        new = store.NewCertificate(cert, address, mail.source, to_keep, mail.capabilities)
        store.add_certificates(conn, [new], by=POLICY, moment=how.moment, org=how.org)
        remember(conn, [sighting], by=POLICY, moment=how.moment, org=how.org)
        if change is not None:
            how.changed(conn, [sighting], False)
        return Result(cert, Gathered.ACCEPTED)
    said = suggest(
        conn,
        Kind.HARVEST,
        sighting,
        code=NEW if change is None else change.code,
        moment=how.moment,
        chain=to_keep,
        capabilities=mail.capabilities,
        org=how.org,
    )
    if said is Suggested.NEW and held:
        how.changed(conn, [sighting], True)
    return Result(cert, _OUTCOMES[said])


_OUTCOMES = {
    Suggested.NEW: Gathered.SUGGESTED,
    Suggested.OPEN: Gathered.KNOWN,
    Suggested.DISMISSED: Gathered.DISMISSED,
    Suggested.FULL: Gathered.FULL,
}
