"""The one place where parts are chosen and put together (design §3).

Each function makes one part from the configuration. Nothing here has logic of its own, and
nothing else in the product knows which concrete parts are in use.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path

from archive.appender import Appender
from archive.index import Extracted, Indexer
from archive.recipients import ArchiveRecipient, load_recipient
from archive.store import head
from archive.working import WorkingKeys, WorkingUnwrapper
from gateway import clock
from gateway.accept import Intake, Relay
from gateway.config import Tls
from gateway.dsn import Languages
from gateway.errors import SceauError
from gateway.floors import refuse_old_libraries
from gateway.held import HeldMail
from gateway.hopeless import Hopeless
from gateway.installation import Installation
from gateway.keeper import Keeper
from gateway.mime.text import extract
from gateway.notices import Notices
from gateway.outbound import Outbound
from gateway.queue.worker import Worker
from gateway.routes import Route, Routes
from gateway.signers import Signers
from gateway.smtp.client import Deliverer
from gateway.smtp.nexthop import NextHop, TlsDemand
from gateway.smtp.settings import ListenSettings
from gateway.steady import SteadyClock
from pki.anchors import Anchor, load_anchor, load_certificates
from pki.errors import PkiError
from pki.evidence import Evidence
from pki.fetch import FetchRules
from pki.finder import CertificateFinder
from pki.keeper import CrlSource
from pki.keys import load_signer
from pki.ldap import Directory, DirectoryClient
from pki.models import Signer
from pki.persons import KeyEncryptionKey, PersonSigners, load_kek
from pki.trust import StoredTrust

# Connections a worker keeps to one next hop.
_CONNECTIONS = 16


@dataclass
class Wiring(Installation):
    """The parts of one process. Each is made once, when first asked for."""

    def close(self) -> None:
        """Give back connections and threads of the parts that were made: for commands."""
        if "finder" in self.__dict__:
            self.finder.close()
        super().close()

    # -- archive -------------------------------------------------------------------------------

    @cached_property
    def archive_recipients(self) -> tuple[ArchiveRecipient, ...]:
        """Who can open the archive (public keys)."""
        return tuple(load_recipient(path) for path in self.config.archive.recipients)

    @cached_property
    def working_keys(self) -> WorkingKeys:
        """The installation's own keys, one a day."""
        return WorkingKeys(self.config.archive.working_keys)

    @cached_property
    def unwrapper(self) -> WorkingUnwrapper:
        """Opens mail in flight with the working keys."""
        return WorkingUnwrapper(self.working_keys)

    @cached_property
    def appender(self) -> Appender:
        """The process's one way to the log."""
        return Appender(self.database.write, origin=self.config.archive.origin, now=clock.now)

    @cached_property
    def indexer(self) -> Indexer:
        """Follows the log into the full-text index."""
        return Indexer(
            self.config.archive.index,
            extract=_extract,
            read=self.database.read,
            keys=self.unwrapper,
        )

    def try_out(self) -> None:
        """Make every part that a wrong file or value could keep from working, before any mail.

        Raises ConfigFaults, SceauError, PkiError, ArchiveError.
        """
        refuse_old_libraries()
        with self.database.read() as conn:
            origin = head(conn).origin
        if origin != self.config.archive.origin:
            raise SceauError(
                "archive.origin is {configured}, but the database holds the log {found}",
                hint="the origin never changes: write the one the log was begun with",
                facts={"configured": self.config.archive.origin, "found": origin},
            )
        _ = (
            self.archive_recipients,
            self.trust,
            self.directories,
            self.signers,
            self.routes,
            self.listen_settings,
            self.fetch_rules,
        )

    # -- certificates --------------------------------------------------------------------------

    @cached_property
    def anchors(self) -> tuple[Anchor, ...]:
        """The trust anchors of the configuration, fingerprints checked."""
        return tuple(
            load_anchor(
                each.certificate,
                name=each.name,
                fingerprint=each.sha256,
                purposes=frozenset(each.purposes),
                domains=() if each.domains == ("*",) else each.domains,
                grace=each.revocation,
                comment=each.comment,
            )
            for each in self.config.pki.anchors
        )

    @cached_property
    def trust(self) -> StoredTrust:
        """Anchors, intermediates, and the CRLs of the database."""
        intermediates = [
            der for path in self.config.pki.intermediates for der in load_certificates(path)
        ]
        return StoredTrust(self.database.read, anchors=self.anchors, intermediates=intermediates)

    @cached_property
    def directories(self) -> tuple[DirectoryClient, ...]:
        """Clients of the configured directories; connected when first asked."""
        return tuple(
            DirectoryClient(
                Directory(
                    name=each.name,
                    url=each.url,
                    base=each.base,
                    domains=each.domains,
                    starttls=each.starttls,
                    ca_file=each.ca,
                    bind_dn=each.bind_dn,
                    password=secret(each.password_file).decode() if each.password_file else "",
                    network_timeout=each.network_timeout,
                    operation_timeout=each.operation_timeout,
                    unsafe_plain=each.unsafe_plain,
                    ignore_references=each.ignore_references,
                )
            )
            for each in self.config.pki.directories
        )

    @cached_property
    def finder(self) -> CertificateFinder:
        """Finds and checks recipients' certificates."""
        return CertificateFinder(
            read=self.database.read,
            trust=self.trust,
            directories=self.directories,
            found_ttl=self.config.pki.found_ttl,
            missing_ttl=self.config.pki.not_found_ttl,
        )

    @cached_property
    def crl_sources(self) -> tuple[CrlSource, ...]:
        """Where CRLs come from."""
        return tuple(
            CrlSource(each.url or str(each.file), each.url or str(each.file), each.every)
            for each in self.config.pki.crls
        )

    @cached_property
    def fetch_rules(self) -> FetchRules:
        """Where the keeper may go on the network."""
        fetch = self.config.pki.fetch
        return FetchRules(
            hosts=frozenset(fetch.allow),
            private=fetch.allow_private,
            max_bytes=fetch.max_size,
            time_limit=fetch.timeout,
        )

    @cached_property
    def kek(self) -> KeyEncryptionKey:
        """Unwraps persons' keys."""
        return load_kek(self.config.pki.key_encryption_key)

    @cached_property
    def seals(self) -> dict[str, Signer]:
        """The organisation's signers by domain."""
        seals: dict[str, Signer] = {}
        for number, each in enumerate(self.config.seals, 1):
            password = secret(each.password_file) if each.password_file else None
            try:
                signer = load_signer(each.key, each.certificate, password)
            except PkiError as error:
                raise SceauError(
                    "seals[{number}]: " + error.problem.template,
                    hint="see key, certificate and password_file there",
                    facts={**error.problem.facts, "number": str(number)},
                ) from error
            seals.update(dict.fromkeys(each.domains, signer))
        return seals

    @cached_property
    def signers(self) -> Signers:
        """Who signs."""
        return Signers(self.seals, PersonSigners(self.database.read, self.kek))

    # -- the way out ---------------------------------------------------------------------------

    @cached_property
    def routes(self) -> Routes:
        """Next hops."""
        return Routes(
            [
                Route(
                    each.name,
                    NextHop(
                        host=each.host,
                        port=each.port,
                        tls=_TLS[each.tls],
                        ca_file=str(each.ca) if each.ca else None,
                        ehlo_name=self.config.gateway.hostname,
                    ),
                    each.domains,
                    each.default,
                )
                for each in self.config.routes
            ]
        )

    @cached_property
    def hopeless(self) -> Hopeless:
        """Which recipients can be refused at RCPT by local tables alone."""
        return Hopeless(
            self.config.policy.policy(),
            tuple(d for each in self.config.pki.directories for d in each.domains),
            self.database.read,
        )

    @cached_property
    def intake(self) -> Intake:
        """Takes mail."""
        return Intake(
            org=self.config.gateway.organisation,
            relays=tuple(Relay(r.name, r.networks, r.domains) for r in self.config.relays),
            recipients=self.archive_recipients,
            working_keys=self.working_keys,
            appender=self.appender,
            hopeless=self.hopeless,
            expire=self.config.queue.expire,
            data_folder=self.data_folder,
            max_size=self.config.listen.max_size,
        )

    @cached_property
    def listen_settings(self) -> ListenSettings:
        """The listening port."""
        listen = self.config.listen
        return ListenSettings(
            hostname=self.config.gateway.hostname,
            address=str(listen.address),
            port=listen.port,
            tls=self._server_tls(),
            require_tls=listen.require_tls,
            max_size=listen.max_size,
            max_line=listen.max_line,
            max_recipients=listen.max_recipients,
            max_connections=listen.max_connections,
            timeout=listen.timeout.total_seconds(),
        )

    def _server_tls(self) -> ssl.SSLContext | None:
        listen = self.config.listen
        if listen.tls_certificate is None or listen.tls_key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(listen.tls_certificate, listen.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise SceauError(
                "listen.tls_certificate {certificate} and listen.tls_key {key} do not make a "
                "pair: {reason}",
                facts={
                    "certificate": str(listen.tls_certificate),
                    "key": str(listen.tls_key),
                    "reason": str(error),
                },
            ) from error
        return context

    @cached_property
    def outbound(self) -> Outbound:
        """Policy, look-up and sealing."""
        return Outbound(
            hostname=self.config.gateway.hostname,
            policy=self.config.policy.policy(),
            routes=self.routes,
            signers=self.signers,
        )

    @cached_property
    def notices(self) -> Notices:
        """Writes DSNs."""
        return Notices(
            org=self.config.gateway.organisation,
            hostname=self.config.gateway.hostname,
            postmaster=self.config.gateway.postmaster,
            languages=Languages(
                self.config.gateway.language.value,
                {
                    domain: each.language.value
                    for each in self.config.gateway.languages
                    for domain in each.domains
                },
            ),
            recipients=self.archive_recipients,
            working_keys=self.working_keys,
            expire=self.config.queue.expire,
            warn=self.config.queue.warn,
            held_expire=self.config.queue.held_expire,
        )

    @cached_property
    def held_mail(self) -> HeldMail:
        """Tells of held mail, and ends it."""
        return HeldMail(
            database=self.database,
            origin=self.config.archive.origin,
            notices=self.notices,
            unwrapper=self.unwrapper,
            steady=SteadyClock.for_expiry(self.config.queue.held_expire or timedelta()),
        )

    def worker(self, name: str) -> Worker:
        """A worker under the name by which its claims are known."""
        return Worker(
            name=name,
            read=self.database.read,
            appender=self.appender,
            unwrapper=self.unwrapper,
            finder=self.finder,
            outbound=self.outbound,
            routes=self.routes,
            deliverer=Deliverer(max_connections_per_hop=_CONNECTIONS),
            notices=self.notices,
            evidence=Evidence(),
            waits=self.config.queue.retry,
            now=clock.now,
            steady=SteadyClock.for_expiry(self.config.queue.expire),
        )

    @cached_property
    def keeper(self) -> Keeper:
        """Everything that must be done from time to time."""
        return Keeper(
            database=self.database,
            sources=self.crl_sources,
            trust=self.trust,
            rules=self.fetch_rules,
            working_keys=self.working_keys,
            index=self.config.archive.index,
            waits=self.config.queue.retry,
            now=clock.now,
            tasks=(self.held_mail.once,),
        )

    @property
    def process_counts(self) -> dict[str, int]:
        """How many processes of each role this configuration asks for."""
        # Taking a mail costs about half of sealing and delivering it; the index and what else
        # runs on the machine want something too. More processes than that get in each other's
        # way: measured on two cores, a second worker costs a third of the throughput.
        half = max(1, (os.cpu_count() or 1) // 2)
        intake, seal = self.config.workers.intake, self.config.workers.seal
        return {
            "intake": half if intake == "auto" else intake,
            "worker": half if seal == "auto" else seal,
            "keeper": 1,
            "index": 1,
        }


_TLS = {
    Tls.NONE: TlsDemand.NONE,
    Tls.OPPORTUNISTIC: TlsDemand.OPPORTUNISTIC,
    Tls.VERIFIED: TlsDemand.VERIFIED,
}


def secret(path: Path) -> bytes:
    """Content of a password file; one trailing newline is dropped (design §6)."""
    data = path.read_bytes()
    return data[:-1] if data.endswith(b"\n") else data


def _extract(raw: bytes) -> Extracted:
    found = extract(raw)
    return Extracted(
        subject=found.subject,
        senders=found.senders,
        recipients=found.recipients,
        body=found.body,
        attachment_names=found.attachment_names,
        date=found.date,
    )
