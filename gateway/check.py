"""`sceau check`: everything the gateway depends on, tried out, in plain words.

Each check is a function that yields findings; none of them changes anything, but for an object of
its own that goes through the blob store.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

import sqlalchemy as sa
from cryptography import x509

from archive.errors import ArchiveError
from archive.index import lag
from archive.store import head
from gateway.errors import SceauError
from gateway.floors import refuse_old_libraries
from gateway.senders.users import read as read_users
from gateway.wiring import Wiring
from pki.addresses import certificate_addresses, in_domain
from pki.anchors import load_certificates
from pki.certificate import ParsedCertificate
from pki.errors import DirectoryTrouble, PkiError
from pki.models import Signer
from pki.store import list_crls

_SOON = timedelta(days=30)

# Below these, `email` and `ssl` have holes that are fixed (threats L3): a warning, since the
# product never generates mail with `email`.
_PYTHON_FLOOR = {(3, 11): 15, (3, 12): 13, (3, 13): 12, (3, 14): 3}


class Grade(Enum):
    """How a finding is to be taken."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. advice: what to do, "" where nothing is."""

    subject: str
    grade: Grade
    template: str
    facts: dict[str, str] = field(default_factory=dict)
    advice: str = ""

    @property
    def text(self) -> str:
        """The English sentence."""
        return self.template.format(**self.facts)


def run_checks(wiring: Wiring, *, moment: datetime) -> Iterator[Finding]:
    """All checks in order; one that breaks is a finding, not the end of the others."""
    for subject, check in _CHECKS:
        try:
            yield from check(wiring, moment)
        except SceauError as error:
            yield Finding(
                subject, Grade.BAD, error.template, dict(error.facts), error.hint_template
            )
        except (PkiError, ArchiveError) as error:
            yield Finding(subject, Grade.BAD, error.problem.template, error.problem.facts)
        except sa.exc.OperationalError as error:
            facts = {"reason": " ".join(str(error.orig).split())}
            yield Finding(subject, Grade.UNKNOWN, "the database cannot be used: {reason}", facts)
        except OSError as error:
            facts = {"reason": str(error)}
            yield Finding(subject, Grade.BAD, "cannot be used: {reason}", facts)


def _python(_wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    version = sys.version_info
    text = f"{version.major}.{version.minor}.{version.micro}"
    floor = _PYTHON_FLOOR.get((version.major, version.minor))
    if floor is not None and version.micro < floor:
        yield Finding(
            "python",
            Grade.WARNING,
            "Python {version} has known faults in its mail package, which this product does not "
            "write mail with",
            {"version": text},
            "a newer Python of the same series",
        )
    else:
        yield Finding("python", Grade.GOOD, "Python {version}", {"version": text})


def _libraries(_wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    refuse_old_libraries()
    yield Finding("libraries", Grade.GOOD, "no library with a known hole that breaks a promise")


def _database(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    database = wiring.database
    with database.read() as conn:
        tip = head(conn)
    if tip.origin != wiring.config.archive.origin:
        yield Finding(
            "database",
            Grade.BAD,
            "archive.origin is {configured}, but the database holds the log {found}",
            {"configured": wiring.config.archive.origin, "found": tip.origin},
            "the origin never changes: write the one the log was begun with",
        )
        return
    yield Finding(
        "database",
        Grade.GOOD,
        "{path}: {entries} log entries; every commit is synced to disk before mail is acknowledged",
        {"path": database.name, "entries": str(tip.size)},
    )
    from gateway.check_database import check_server, check_working_keys

    yield from check_server(database)
    yield from check_working_keys(database, wiring.working_keys)
    free = shutil.disk_usage(wiring.data_folder).free
    need = wiring.config.listen.max_size * 3 // 2
    facts = {"free": f"{free // 1_000_000}", "need": f"{need // 1_000_000}"}
    if free < need:
        yield Finding(
            "disk",
            Grade.BAD,
            "{free} MB are free; below {need} MB mail is answered 452",
            facts,
            "make room, or lower listen.max_size",
        )
    else:
        yield Finding("disk", Grade.GOOD, "{free} MB are free ({need} MB are needed)", facts)


def _archive(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    names = [recipient.name for recipient in wiring.archive_recipients]
    yield Finding("archive", Grade.GOOD, "sealed to {names}", {"names": ", ".join(names)})
    folder = wiring.config.archive.working_keys
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding(
            "archive",
            Grade.BAD,
            "{folder} can be read by other users (mode {mode})",
            {"folder": str(folder), "mode": f"{mode:o}"},
            "take the rights of others away from it (chmod 700)",
        )
    left = _private_keys(wiring)
    if left:
        yield Finding(
            "archive",
            Grade.WARNING,
            "{files}: private keys that open the whole archive lie on this machine",
            {"files": ", ".join(map(str, left))},
            "move each to its own keeper, then delete it here",
        )
    try:
        with wiring.database.read() as conn:
            behind = lag(wiring.config.archive.index, conn, moment=moment)
    except ArchiveError as error:
        yield Finding(
            "index",
            Grade.WARNING,
            error.problem.template,
            error.problem.facts,
            "sceau serve makes it",
        )
        return
    late = behind.seconds > 60
    yield Finding(
        "index",
        Grade.WARNING if late else Grade.GOOD,
        "{entries} entries ({seconds} s) behind the log",
        {"entries": str(behind.entries), "seconds": f"{behind.seconds:.0f}"},
        "is sceau serve running?" if late else "",
    )


def _blobs(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    from gateway.check_blobs import check_blobs  # it needs this file's own words

    yield from check_blobs(wiring)


def _private_keys(wiring: Wiring) -> list[Path]:
    """Those that `sceau init` made and that were to go elsewhere."""
    folders = {path.parent.parent for path in wiring.config.archive.recipients}
    return sorted(file for folder in folders for file in folder.glob("authority/*.key"))


def _anchors(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    if not wiring.anchors:
        yield Finding(
            "anchors",
            Grade.WARNING,
            "no trust anchor: no recipient's certificate can be trusted",
            advice="name the partners' root certificates under [[pki.anchors]]",
        )
    for anchor in wiring.anchors:
        yield _validity(f"anchor {anchor.name}", anchor.certificate, moment)


def _seals(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    for domain in wiring.config.gateway.domains:
        signer = wiring.seals.get(domain)
        if signer is None:
            yield Finding(
                "seals",
                Grade.BAD,
                "no seal signs for {domain}: its mail would wait",
                {"domain": domain},
                "add [[seals]] with a key for it",
            )
            continue
        yield _validity(f"seal {domain}", signer.certificate, moment)
        yield from _seal_of(wiring, domain, signer)
        certificate = x509.load_der_x509_certificate(signer.certificate)
        if certificate.issuer == certificate.subject:
            yield Finding(
                f"seal {domain}",
                Grade.WARNING,
                "the seal is self-made: no reader trusts its signatures",
                advice="put the certificate of your PKI in its place",
            )


def _persons(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    from gateway.check_persons import findings  # it needs Finding from here

    yield from findings(wiring, moment)


def _seal_of(wiring: Wiring, domain: str, signer: Signer) -> Iterator[Finding]:
    """Whether the certificate speaks for the domain, and nobody else can take the key."""
    certificate = x509.load_der_x509_certificate(signer.certificate)
    addresses = certificate_addresses(certificate)
    if not any(in_domain(address, domain) for address in addresses):
        yield Finding(
            f"seal {domain}",
            Grade.WARNING,
            "the certificate is for {addresses}, not for an address of {domain}",
            {"addresses": ", ".join(addresses) or "-", "domain": domain},
            "readers see a signature that does not fit the sender",
        )
    for seal in wiring.config.seals:
        if domain in seal.domains and seal.key.stat().st_mode & 0o077:
            yield Finding(
                f"seal {domain}",
                Grade.BAD,
                "{file} can be read by other users",
                {"file": str(seal.key)},
                "take the rights of others away from it (chmod 600)",
            )


def _validity(subject: str, der: bytes, moment: datetime) -> Finding:
    certificate = x509.load_der_x509_certificate(der)
    ends = certificate.not_valid_after_utc
    facts = {
        "name": certificate.subject.rfc4514_string(),
        "date": ends.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S +00:00"),
    }
    if not certificate.not_valid_before_utc <= moment <= ends:
        return Finding(
            subject, Grade.BAD, "{name} is not valid now (until {date})", facts, "renew it"
        )
    if ends - moment < _SOON:
        return Finding(subject, Grade.WARNING, "{name} ends on {date}", facts, "renew it")
    return Finding(subject, Grade.GOOD, "{name}, until {date}", facts)


def _directories(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    for client in wiring.directories:
        subject = f"directory {client.directory.name}"
        for trial in client.try_servers():
            if trial.problem is None:
                yield Finding(subject, Grade.GOOD, "{url} answers", {"url": trial.url})
                continue
            yield Finding(
                subject,
                Grade.UNKNOWN,
                trial.problem.template,
                trial.problem.facts,
                "sceau pki directory test shows each server",
            )


def _users(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    path = wiring.config.auth.users
    if path is None:
        return
    found = read_users(path)  # raises for a mode or a line that is not right
    yield Finding(
        "users", Grade.GOOD, "{file}: {count} logins", {"file": str(path), "count": str(len(found))}
    )
    ours = wiring.config.gateway.domains
    for user in found.values():
        foreign = [one for one in user.addresses if one.rpartition("@")[2] not in ours]
        if foreign:
            yield Finding(
                "users",
                Grade.WARNING,
                "{login} has {addresses}, in no domain of ours: nobody may send as that",
                {"login": user.login, "addresses": ", ".join(foreign)},
            )


def _login_directories(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    for client in wiring.login_directories:
        subject = f"login directory {client.directory.name}"
        for url in client.directory.urls:
            try:
                client.probe(url)
            except DirectoryTrouble as error:
                facts = {**error.problem.facts, "url": url}
                yield Finding(subject, Grade.UNKNOWN, error.problem.template, facts)
                continue
            yield Finding(subject, Grade.GOOD, "{url} answers", {"url": url})


def _clients(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    known = set()
    for each in wiring.config.clients:
        for der in load_certificates(each.ca):
            yield _validity(f"client {each.name}", der, moment)
            issuer = ParsedCertificate(der).subject
            known.update([each.name] if issuer in wiring.trust.current().material.crls else [])
        if each.names and not each.unsafe_no_revocation and each.name not in known:
            yield Finding(
                f"client {each.name}",
                Grade.BAD,
                "no CRL of its CA is known: whether its certificates are revoked cannot be told, "
                "and they prove nothing",
                advice="name the CA under pki.intermediates and its CRL under [[pki.crls]], then "
                "sceau pki crl refresh",
            )


def _crl_issuers(wiring: Wiring) -> list[str]:
    """Who must have a CRL: anchors, and the authorities between them and people."""
    ders = [anchor.certificate for anchor in wiring.anchors]
    for path in wiring.config.pki.intermediates if wiring.anchors else ():
        ders += load_certificates(path)
    found = [ParsedCertificate(der) for der in ders]
    return list(dict.fromkeys(cert.subject_text for cert in found if cert.is_ca))


def _crls(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    with wiring.database.read() as conn:
        known = [crl for crl in list_crls(conn) if crl.newest]
    issuers = {crl.issuer for crl in known}
    for name in _crl_issuers(wiring):
        if name not in issuers:
            yield Finding(
                "crls",
                Grade.BAD,
                "no CRL of {issuer} is known: whether its certificates are revoked cannot be "
                "told, and mail waits",
                {"issuer": name},
                "name its source under [[pki.crls]], then sceau pki crl refresh",
            )
    for crl in known:
        facts = {
            "issuer": crl.issuer,
            "number": "-" if crl.number is None else str(crl.number),
            "date": crl.next_update.strftime("%Y-%m-%d %H:%M:%S +00:00"),
        }
        if crl.next_update < moment:
            yield Finding(
                "crls",
                Grade.BAD,
                "CRL no. {number} of {issuer} was to be replaced by {date}",
                facts,
                "sceau pki crl refresh; ask the CA if it has no newer one",
            )
        else:
            yield Finding("crls", Grade.GOOD, "CRL no. {number} of {issuer}, until {date}", facts)


def _routes(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    for route in wiring.config.routes:
        problem = asyncio.run(_reach(route.host, route.port))
        subject = f"route {route.name}"
        facts = {"host": route.host, "port": str(route.port), "reason": problem}
        if problem:
            yield Finding(
                subject, Grade.UNKNOWN, "{host}:{port} does not answer: {reason}", facts,
                "mail for it waits in the queue",
            )  # fmt: skip
        else:
            yield Finding(subject, Grade.GOOD, "{host}:{port} answers", facts)


async def _reach(host: str, port: int) -> str:
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port)
            greeting = await reader.readline()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        return str(error) or type(error).__name__
    return "" if greeting.startswith(b"220") else "it does not greet as a mail server"


def _listener(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    settings = wiring.listen_settings
    facts = {"address": settings.address, "port": str(settings.port)}
    problem = asyncio.run(_reach(settings.address, settings.port))
    if problem:
        yield Finding(
            "listen",
            Grade.WARNING,
            "nothing listens on {address}:{port}",
            facts,
            "start sceau serve",
        )
    else:
        yield Finding("listen", Grade.GOOD, "{address}:{port} takes mail", facts)
    if os.geteuid() == 0:
        yield Finding(
            "rights",
            Grade.WARNING,
            "this runs as root, which the gateway never needs",
            advice="run it as a user of its own",
        )


_Check = Callable[[Wiring, datetime], Iterator[Finding]]
_CHECKS: tuple[tuple[str, _Check], ...] = (
    ("python", _python),
    ("libraries", _libraries),
    ("database", _database),
    ("archive", _archive),
    ("blobs", _blobs),
    ("anchors", _anchors),
    ("seals", _seals),
    ("persons", _persons),
    ("directories", _directories),
    ("users", _users),
    ("login directories", _login_directories),
    ("clients", _clients),
    ("crls", _crls),
    ("routes", _routes),
    ("listen", _listener),
)
