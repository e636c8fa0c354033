"""Certificates of others by the hundred thousand: read, checked, stored in batches.

For LDIF of 200,000 people (`pki.ldif`), lists (`pki.csvlist`) and single files alike. What is bad
is named and passed over, the rest goes on. From a program (`bench/pki.py` does so):

    with open("users.ldif", "rb") as file:
        for outcome in import_entries(entries_of_ldif(file), Import(
            write=database.write, material=trust.current().material,
            by="bench", source="users.ldif", moment=now,
        )): ...

Parsing and judging happen outside of transactions, which are short: while one runs, mail waits for
its turn to write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import sqlalchemy as sa

from pki import store
from pki.addresses import canonical
from pki.announced import with_capabilities
from pki.certificate import ParsedCertificate
from pki.csvlist import CsvFault, read_csv
from pki.errors import AddressError, CannotJudge, CertificateRefused, Problem, problem
from pki.ldif import LdifEntry, LdifFault, read_ldif
from pki.models import Candidate, Purpose, SignedCapabilities
from pki.path import Material
from pki.recipient_keys import Familiar, KeyChange, Sighting, familiar, remember
from pki.smimevalue import is_signed_data, read_value
from pki.suggestions import Kind, Suggested, suggest
from pki.trust import Connect
from pki.usage import address_problem
from pki.verdict import judge

CERTIFICATES = ("userCertificate", "userSMIMECertificate")
ADDRESSES = ("mail", "rfc822Mailbox", "mailAlternateAddress", "proxyAddresses")
_PROXY = "proxyaddresses"
_MAX_VALUES = 50  # certificates in one entry

# Certificates stored in one transaction.
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """What one entry, row or file says. number: in its file, from 1.

    addresses: as written there; empty where it says nothing but certificates. attribute: what they
    are called there. values: certificates, or PKCS#7. problem: why there is nothing to import.
    """

    number: int
    values: tuple[bytes, ...] = ()
    addresses: tuple[str, ...] = ()
    attribute: str = ""
    problem: Problem | None = None


class Fate(Enum):
    """What became of one certificate."""

    STORED = "stored"
    KNOWN = "known"  # it was in use for all these addresses
    HELD = "held"  # its key is another one than before: a person decides
    REFUSED = "refused"
    PASSED_OVER = "passed-over"  # a CA's, which came along
    WITHOUT = "without"  # somebody with an address, and no certificate at all


@dataclass(slots=True)
class Outcome:
    """One certificate of one entry; for an entry that has none or cannot be read, the entry.

    problem: why it is refused. unusable: why it is stored and could not be used now. changes: what
    is different from the keys known so far.
    """

    number: int
    fate: Fate
    certificate: ParsedCertificate | None = None
    addresses: tuple[str, ...] = ()
    problem: Problem | None = None
    unusable: Problem | None = None
    changes: tuple[Problem, ...] = ()


def _record(_address: str) -> KeyChange:
    return KeyChange.RECORD


def _nobody(_conn: sa.Connection, _sightings: Sequence[Sighting], _held: bool) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Import:
    """How it is done.

    write: opens a transaction. key_change: what happens with a new key of an address. changed:
    called in the transaction with the changes that are to stand in the archive's log, and whether
    they are held.
    """

    write: Connect
    material: Material
    by: str
    source: str
    moment: datetime
    key_change: Callable[[str], KeyChange] = _record
    changed: Callable[[sa.Connection, Sequence[Sighting], bool], None] = _nobody
    dry_run: bool = False
    org: str = ""


def entries_of_ldif(file: BinaryIO) -> Iterator[Entry]:
    """Entries with certificates or addresses, and those that cannot be read. Raises OSError."""
    for found in read_ldif(file):
        if isinstance(found, LdifFault):
            yield Entry(found.number, problem=found.problem)
            continue
        values = found.values(*CERTIFICATES)
        addresses = tuple(_addresses(found))
        if not values and not addresses:
            continue  # an organisational unit, a role
        if len(values) > _MAX_VALUES:
            yield Entry(
                found.number,
                problem=problem(
                    "limits.entry",
                    "it has {count} certificates; {limit} are looked at",
                    count=str(len(values)),
                    limit=str(_MAX_VALUES),
                ),
            )
            continue
        yield Entry(found.number, tuple(dict.fromkeys(values)), addresses, "mail")


def entries_of_csv(file: BinaryIO, folder: Path) -> Iterator[Entry]:
    """Every row. folder: where files lie that it names. Raises ValueError for a wrong header."""
    for found in read_csv(file, folder):
        if isinstance(found, CsvFault):
            yield Entry(found.number, problem=found.problem)
        else:
            yield Entry(found.number, found.values, found.addresses, "address")


def _addresses(entry: LdifEntry) -> Iterator[str]:
    for name in ADDRESSES:
        for value in entry.values(name):
            text = value.decode("utf-8", "replace")
            if name.lower() == _PROXY:
                if text[:5].lower() != "smtp:":
                    continue  # X400:, SIP:, …
                text = text[5:]
            yield text.strip()


@dataclass(slots=True)
class _Prepared:
    """A certificate that is fit to be stored."""

    outcome: Outcome
    certificate: ParsedCertificate
    chain: tuple[bytes, ...] = ()
    capabilities: tuple[str, ...] = ()
    sightings: list[Sighting] = field(default_factory=list)


def import_entries(entries: Iterable[Entry], how: Import) -> Iterator[Outcome]:
    """What became of each certificate, in order; committed when it is yielded."""
    found = (one for entry in entries for one in _prepare(entry, how))
    while batch := list(islice(found, _AT_ONCE)):
        fit = [one for one in batch if isinstance(one, _Prepared)]
        if fit:
            _store(fit, how)
        for one in batch:
            yield one.outcome if isinstance(one, _Prepared) else one


def _prepare(entry: Entry, how: Import) -> Iterator[_Prepared | Outcome]:
    if entry.problem is not None:
        yield Outcome(entry.number, Fate.REFUSED, problem=entry.problem)
        return
    wanted: list[str] = []
    for address in entry.addresses:
        try:
            wanted.append(canonical(address))
        except AddressError as error:
            if entry.attribute == "":
                yield Outcome(entry.number, Fate.REFUSED, problem=error.problem)
                return
    if not entry.values:
        yield Outcome(entry.number, Fate.WITHOUT, addresses=tuple(dict.fromkeys(wanted)))
    for value in entry.values:
        yield from _value(entry, value, tuple(dict.fromkeys(wanted)), how)


def _value(
    entry: Entry, value: bytes, wanted: tuple[str, ...], how: Import
) -> Iterator[_Prepared | Outcome]:
    chain: tuple[bytes, ...] = ()
    claims: tuple[SignedCapabilities, ...] = ()
    people: tuple[bytes, ...] = (value,)
    if is_signed_data(value):
        try:
            inside = read_value(value)
        except ValueError as error:
            yield Outcome(entry.number, Fate.REFUSED, problem=_unreadable(str(error)))
            return
        chain, claims = inside.chain, inside.capabilities
        people = inside.people + inside.unreadable
    for der in people:
        try:
            cert = ParsedCertificate(der)
        except CertificateRefused as error:
            yield Outcome(entry.number, Fate.REFUSED, problem=error.problem)
            continue
        if cert.is_ca and not cert.addresses.usable:
            yield Outcome(entry.number, Fate.PASSED_OVER, cert)
            continue
        reason, addresses = _whose(entry, cert, wanted)
        if reason is not None:
            yield Outcome(entry.number, Fate.REFUSED, cert, problem=reason)
            continue
        yield _judged(entry, cert, addresses, Candidate(der, how.source, chain, claims), how)


def _whose(
    entry: Entry, cert: ParsedCertificate, wanted: tuple[str, ...]
) -> tuple[Problem | None, tuple[str, ...]]:
    """For which addresses it is stored, or why for none."""
    if not entry.attribute:  # a person named them, or nobody did
        addresses = wanted or cert.addresses.usable
        for address in addresses or ("nobody@invalid",):
            reason = address_problem(cert, address)
            if reason is not None:
                return reason, ()
        return None, addresses
    addresses = tuple(address for address in wanted if address in cert.addresses.usable)
    if addresses:
        return None, addresses
    if not cert.addresses.usable:
        return address_problem(cert, "nobody@invalid"), ()
    if not entry.addresses:
        return None, cert.addresses.usable
    return (
        problem(
            "identity.address",
            "certificate for {found} does not contain {attribute} attribute {address}",
            found=", ".join(cert.addresses.usable[:5]),
            attribute=entry.attribute,
            address=ascii(entry.addresses[0])[1:-1],
        ),
        (),
    )


def _judged(
    entry: Entry,
    cert: ParsedCertificate,
    addresses: tuple[str, ...],
    candidate: Candidate,
    how: Import,
) -> _Prepared | Outcome:
    """Checked as at each use, for the first address; what is weak for good is not stored."""
    material = how.material.with_chain(candidate.chain)
    unusable: Problem | None = None
    capabilities: tuple[str, ...] = ()
    try:
        verdict = judge(
            cert,
            address=addresses[0],
            purpose=Purpose.ENCRYPT,
            moment=how.moment,
            material=material,
            source=how.source,
        )
    except (CertificateRefused, CannotJudge) as error:
        unusable = error.problem
        if unusable.code.startswith("algorithm."):
            return Outcome(entry.number, Fate.REFUSED, cert, problem=unusable)
    else:
        if candidate.capabilities:
            verdict, _ = with_capabilities(verdict, candidate, material, how.moment)
            capabilities = verdict.certificate.capabilities
    outcome = Outcome(entry.number, Fate.STORED, cert, addresses, unusable=unusable)
    return _Prepared(outcome, cert, _not_known(candidate.chain, how.material), capabilities)


def _not_known(chain: tuple[bytes, ...], material: Material) -> tuple[bytes, ...]:
    """What need not be stored with each of a thousand people is left out."""
    known = {cert.der for certs in material.intermediates.values() for cert in certs}
    return tuple(der for der in chain if der not in known)


def _store(fit: list[_Prepared], how: Import) -> None:
    with how.write() as conn:
        known = store.in_use(conn, [one.certificate.sha256 for one in fit], org=how.org)
        keys = dict(familiar(conn, {a for one in fit for a in one.outcome.addresses}, org=how.org))
        rows: list[store.NewCertificate] = []
        seen: list[Sighting] = []
        for one in fit:
            _place(conn, one, known, keys, rows, how)
            seen += one.sightings
        if how.dry_run:
            return
        store.add_certificates(conn, rows, by=how.by, moment=how.moment, org=how.org)
        remember(conn, seen, by=how.by, moment=how.moment, org=how.org)
        changed = [each for each in seen if each.change is not None]
        if changed:
            how.changed(conn, changed, False)


def _place(
    conn: sa.Connection,
    one: _Prepared,
    known: set[tuple[str, str]],
    keys: dict[str, Familiar],
    rows: list[store.NewCertificate],
    how: Import,
) -> None:
    """For each address: known, new, or another key than before."""
    cert, outcome = one.certificate, one.outcome
    changes = []
    held = []
    refused = []
    fresh = []
    for address in outcome.addresses:
        if (cert.sha256, address) in known:
            continue
        before = keys.get(address, Familiar())
        change = before.change(cert, address)
        sighting = Sighting(address, cert, how.source, change)
        rule = how.key_change(address)
        if change is not None:
            changes.append(change)
            if rule is KeyChange.HOLD:
                said = _suggest(conn, one, sighting, how)
                if said is Suggested.NEW and not how.dry_run:
                    how.changed(conn, [sighting], True)
                if said in (Suggested.NEW, Suggested.OPEN):
                    held.append(address)
                else:
                    refused.append(_not_asked(said, address))
                continue
        fresh.append(address)
        known.add((cert.sha256, address))
        keys[address] = before.with_key(cert)
        # By "accept" nothing is to be said of it: the key is known, and that is all.
        silent = rule is KeyChange.ACCEPT
        one.sightings.append(Sighting(address, cert, how.source, None if silent else change))
        rows.append(store.NewCertificate(cert, address, how.source, one.chain, one.capabilities))
    outcome.changes = tuple(changes)
    if refused and not held and not fresh:
        outcome.fate, outcome.problem = Fate.REFUSED, refused[0]
    elif held:
        outcome.fate = Fate.HELD if not fresh else Fate.STORED
    elif not fresh:
        outcome.fate = Fate.KNOWN


def _suggest(conn: sa.Connection, one: _Prepared, sighting: Sighting, how: Import) -> Suggested:
    assert sighting.change is not None
    return suggest(
        conn,
        Kind.IMPORT,
        sighting,
        code=sighting.change.code,
        moment=how.moment,
        chain=one.chain,
        capabilities=one.capabilities,
        org=how.org,
        dry_run=how.dry_run,
    )


def _not_asked(said: Suggested, address: str) -> Problem:
    """Why it does not wait for a person."""
    if said is Suggested.FULL:
        return problem(
            "limits.suggestions",
            "too many certificates of {address} wait for a person already",
            address=address,
        )
    return problem(
        "identity.dismissed",
        "a person has said that it is never used for {address}; --accept-changes takes that back",
        address=address,
    )


def _unreadable(why: str) -> Problem:
    return problem("structure.certificate", "a PKCS#7 in it cannot be read: {reason}", reason=why)
