"""The one place where parts are chosen and put together (design §3).

Each function makes one part from the configuration. Nothing here has logic of its own, and
nothing else in the product knows which concrete parts are in use.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from archive.appender import Appender
from archive.attempts import note_skipped
from archive.index import Extracted, Indexer
from archive.recipients import ArchiveRecipient, load_recipient
from archive.store import head
from archive.sweep import Sweeper
from archive.working import WorkingKeys, WorkingUnwrapper
from gateway import clock, failpoint
from gateway.accept import Intake
from gateway.ahead import Ahead
from gateway.alarm_mail import AlarmMails
from gateway.alarms import NEIGHBOUR, Alarms, judge, judge_absences
from gateway.blob_stores import greet
from gateway.clocklog import ClockNotes
from gateway.config import AuthDemand, Tls
from gateway.config.senders import OWN
from gateway.consents import log_old_consents
from gateway.database.patience import BRIEF, LONG, patience
from gateway.directories import make_client, make_groups
from gateway.diskprobe import refusing
from gateway.dsn import Languages
from gateway.errors import CannotTell, SceauError
from gateway.expiry_watch import ExpiryWatch
from gateway.floors import refuse_old_libraries
from gateway.foureyes.desk import house_of
from gateway.foureyes.trust import Decided
from gateway.held import HeldMail
from gateway.hopeless import Hopeless
from gateway.installation import Installation
from gateway.keeper import Keeper
from gateway.keks import new_tokens, open_keks
from gateway.key_changes import rule_of
from gateway.key_memory import KeyMemory
from gateway.known import KnownCertificate, known_certificates
from gateway.metrics.gauges import Gauges
from gateway.metrics.tally import Tally, all_sums, make_run_folder, timed
from gateway.mime.text import extract
from gateway.neighbours import Neighbours, absent
from gateway.node import node_name
from gateway.notices import Notices
from gateway.ocsp import OcspRounds, ocsp_rules
from gateway.outbound import Outbound
from gateway.outside import Outside
from gateway.overrun import limited
from gateway.passwords import secret
from gateway.policy import Policy
from gateway.policylog import record_policy
from gateway.queue.crowded import Backlog
from gateway.queue.jobs import Job
from gateway.queue.licence import Licence
from gateway.queue.note import Note
from gateway.queue.processes import report_index
from gateway.queue.takeover import Watch
from gateway.queue.worker import Worker
from gateway.recovery import Recovery
from gateway.routes import Route, Routes
from gateway.seal_check import SealCheck
from gateway.seal_keys import open_seal
from gateway.senders.clients import ClientEntry, Clients
from gateway.senders.directory import LoginClient, LoginDirectory
from gateway.senders.logins import Groups, Logins
from gateway.senders.proofs import SenderProofs
from gateway.senders.rights import Relay, Rights, SenderRule
from gateway.senders.throttle import Limits, Throttle
from gateway.senders.users import UsersFile
from gateway.signers import Signers
from gateway.signing_watch import ENDING, SigningWatch
from gateway.smtp.client import Deliverer
from gateway.smtp.nexthop import NextHop, TlsDemand
from gateway.smtp.settings import ListenSettings
from gateway.steady import SteadyClock
from gateway.storage_gate import StorageGate
from gateway.succession import Seals, succeeding
from gateway.unknown import Unknown
from pki.anchors import Anchor, load_anchor, load_certificates
from pki.certificate import ParsedCertificate
from pki.crl_folder import CrlFolder
from pki.errors import PkiError, Problem, TokenTrouble
from pki.evidence import Evidence
from pki.fetch import FetchRules
from pki.finder import CertificateFinder
from pki.groups import GroupSource
from pki.keeper import CrlSource
from pki.key_watch import KeyWatch
from pki.ldap import DirectoryClient
from pki.models import Signer
from pki.ocsp_asker import OcspAsker, StoredResponses
from pki.persons import KekRing, PersonSigners, prove
from pki.recipient_keys import Sighting
from pki.trust import StoredTrust

if TYPE_CHECKING:
    from pki.token_sessions import Tokens  # PKCS#11 is loaded where a token is configured

# Connections a worker keeps to one next hop.
_CONNECTIONS = 16
# So long mail is kept readable for a machine's full-text index that is away.
_INDEX_MISSED = timedelta(days=1)


@dataclass
class Wiring(Installation):
    """The parts of one process. Each is made once, when first asked for.

    tally: what this process counts, None where nobody looks. neighbours: what it sees of others.
    works: it seals and delivers; set by `work_as`.
    """

    tally: Tally | None = None
    neighbours: Neighbours = field(default_factory=lambda: Neighbours(None, clock.now))
    works: bool = False

    licence: Licence | None = None
    _note: Note | None = None

    def close(self) -> None:
        """Give back connections and threads of the parts that were made: for commands."""
        if "finder" in self.__dict__:
            self.finder.close()
        if "directories" in self.__dict__:
            for directory in self.directories:
                directory.close()
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
        origin, database = self.config.archive.origin, self.database
        if self.licence is not None:
            write, again = timed(self.licence.write, self.tally), patience(LONG, slow=5)
        else:
            write = timed(database.write_beside, self.tally)
            again = patience(BRIEF, for_room=self.works)
        write = failpoint.around(write)
        return Appender(
            write,
            origin=origin,
            now=clock.now,
            again=again,
            doubtful=database.doubtful,
            # Entries carry the wall clock as it is, and say so when it is not believed.
            marked=self.belief.marked,
        )

    def work_as(self, name: str, role: str) -> None:
        """Register this process where several machines share the database; before it works."""
        self.works = True
        if self.database.shared:
            self.database.patience = LONG
            self.licence = Licence(
                self.database,
                name,
                node=node_name(self.lock_file),
                role=role,
                now=clock.to_micros(clock.now()),
                takeover=self.config.database.takeover,
            )

    def stop_working(self) -> None:
        """Nothing is claimed any more: give back what `work_as` took."""
        if self.licence is not None:
            self.licence.close()
        if self._note is not None:
            self._note.close()

    def report_index(self) -> None:
        """Tell the keepers of other machines how far the full-text index of this one is."""
        if self.database.shared:
            with self.database.write() as conn:
                report_index(
                    conn,
                    node=node_name(self.lock_file),
                    indexed=self.keeper.indexed_here(),
                    now=clock.to_micros(clock.now()),
                    takeover=_INDEX_MISSED // timedelta(microseconds=1),
                )

    @cached_property
    def watch(self) -> Watch | None:
        """Looks after the processes of all machines, where several share the database."""
        if not self.database.shared:
            return None
        return Watch(
            self.database,
            origin=self.config.archive.origin,
            org=self.config.gateway.organisation,
            belief=self.belief,
        )

    @cached_property
    def indexer(self) -> Indexer:
        """Follows the log into the full-text index."""
        return Indexer(
            self.config.archive.index,
            extract=_extract,
            read=self.database.read,
            keys=self.unwrapper,
            blobs=self.blobs,
            skipped=self._index_skipped,
        )

    def _index_skipped(self, archive_id: str) -> None:
        structlog.get_logger().error("index_skipped", id=archive_id, code="limits.poison")
        note_skipped(self.config.archive.index, archive_id, clock.now())

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
            self.ocsp,
            self.rights,
            self.clients,
            self.login_groups,
        )
        for kek in (self.keks.current, *self.keks.former):
            prove(kek)  # a token is unlocked here, not by the first mail
        if self.blobs is not None:
            greet(self.blobs)

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
                sources=each.revocation_sources,
            )
            for each in self.config.pki.anchors
        )

    @cached_property
    def trust(self) -> StoredTrust:
        """Anchors, intermediates, and the CRLs of the database."""
        intermediates = [
            der for path in self.config.pki.intermediates for der in load_certificates(path)
        ]
        read = failpoint.ahead("find.crls-asked", self.database.read)
        return StoredTrust(
            read,
            anchors=self.anchors,
            intermediates=intermediates,
            folder=self.crl_folder,
            decided=self.decided,
            ocsp=self.stored_responses,
        )

    @cached_property
    def crl_folder(self) -> CrlFolder:
        """Where this machine keeps the indexes of large CRLs."""
        return CrlFolder(self.data_folder / "crls")

    @cached_property
    def decided(self) -> Decided:
        """The anchors that two persons approved."""
        return Decided(house_of(self.config))

    @cached_property
    def stored_responses(self) -> StoredResponses:
        """OCSP responses of the database."""
        return StoredResponses(self.database.read)

    @cached_property
    def ocsp(self) -> OcspAsker:
        """Asks OCSP responders."""
        rules = ocsp_rules(self.config.pki, self.fetch_rules)
        return OcspAsker(self.database.read, self.database.write, rules)

    @cached_property
    def ocsp_rounds(self) -> OcspRounds:
        """Asks them ahead of need."""
        return OcspRounds(self.ocsp, self.stored_responses, self.trust.current, self.neighbours)

    @cached_property
    def directories(self) -> tuple[DirectoryClient, ...]:
        """Clients of the configured directories; connected when first asked."""
        return tuple(make_client(each, self.neighbours) for each in self.config.pki.directories)

    @cached_property
    def groups(self) -> GroupSource:
        """Says which groups an address is in; its answers are kept for minutes."""
        return make_groups(self.directories)

    @cached_property
    def finder(self) -> CertificateFinder:
        """Finds and checks recipients' certificates."""
        return CertificateFinder(
            read=self.database.read,
            trust=self.trust,
            directories=self.directories,
            keys=KeyWatch(lambda address: rule_of(self.config, address), self._keys_noticed),
            domain_use=self.config.policy.policy().domain_certificate_of,
            found_ttl=self.config.pki.found_ttl,
            missing_ttl=self.config.pki.not_found_ttl,
            unknown=Unknown(self.database.write_beside, clock.now),
            ocsp=self.ocsp,
        )

    def _keys_noticed(self, sightings: Sequence[Sighting]) -> None:
        """Keys are remembered by processes that use them; a command that looks changes nothing."""
        if self.works:
            self._key_memory.note(sightings)

    @cached_property
    def _key_memory(self) -> KeyMemory:
        return KeyMemory(
            self.database.read,
            self.appender.submit,
            rule=lambda address: rule_of(self.config, address),
            now=self.belief.now,
            org=self.config.gateway.organisation,
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
    def tokens(self) -> Callable[[], Tokens]:
        """Gives the PKCS#11 tokens in use."""
        return new_tokens()

    @cached_property
    def keks(self) -> KekRing:
        """Unwrap persons' keys."""
        return open_keks(self.config.pki, self.tokens)

    @cached_property
    def seals(self) -> Seals:
        """The organisation's signers by domain."""
        seals: list[tuple[str, datetime | None, Signer]] = []
        for number, each in enumerate(self.config.seals, 1):
            try:
                signer = open_seal(each, self.tokens)
            except TokenTrouble as error:
                # Nothing in the configuration is wrong for sure: the token may be back tomorrow.
                raise CannotTell(error.problem.template, facts=error.problem.facts) from error
            except PkiError as error:
                raise SceauError(
                    "seals[{number}]: " + error.problem.template,
                    hint="see key, certificate and password_file there",
                    facts={**error.problem.facts, "number": str(number)},
                ) from error
            seals += ((domain, each.signs_from, signer) for domain in each.domains)
        return succeeding(seals)

    @cached_property
    def signers(self) -> Signers:
        """Who signs."""
        persons = PersonSigners(
            self.database.read,
            self.keks,
            self.trust.current,
            keep=self.config.pki.person_keys_kept,
            ttl=self.config.pki.person_keys_ttl,
        )
        return Signers(self.seals, persons, SealCheck(self.trust.current))

    # -- the way out ---------------------------------------------------------------------------

    @cached_property
    def policy(self) -> Policy:
        """The rules in force."""
        return self.config.policy.policy()

    def record_policy(self, by: str) -> bool:
        """Tell the log which rules are in force; whether they had changed. by: the account."""
        return record_policy(
            self.policy,
            org=self.config.gateway.organisation,
            by=by,
            read=self.database.read,
            append=self.append,
        )

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
            self.policy,
            tuple(d for each in self.config.pki.directories for d in each.domains),
            self.database.read,
        )

    @cached_property
    def intake(self) -> Intake:
        """Takes mail."""
        return Intake(
            org=self.config.gateway.organisation,
            relays=self.relays,
            rights=self.rights,
            strangers_may_prove=bool(
                self.config.clients or self.config.listen.auth is not AuthDemand.NONE
            ),
            recipients=self.archive_recipients,
            working_keys=self.working_keys,
            appender=self.appender,
            hopeless=self.hopeless,
            expire=self.config.queue.expire,
            data_folder=self.data_folder,
            max_size=self.config.listen.max_size,
            outside=None if self.blobs is None else Outside(self.blobs),
            gate=self.gate,
            backlog=self.backlog,
        )

    @cached_property
    def gate(self) -> StorageGate:
        """What clients are told while the database is in trouble."""
        return StorageGate()

    @cached_property
    def backlog(self) -> Backlog:
        """How much mail may wait."""
        return Backlog(self.database.glance, self.config.queue.max_messages)

    # -- who may send as whom --------------------------------------------------------------------

    @cached_property
    def relays(self) -> tuple[Relay, ...]:
        """Listed networks."""
        return tuple(
            Relay(each.name, each.networks, each.domains, each.xclient, each.from_is_envelope)
            for each in self.config.relays
        )

    @cached_property
    def rights(self) -> Rights:
        """From an identity to the addresses it may send as."""
        rules = [
            SenderRule(
                each.name,
                logins=each.login,
                groups=frozenset(each.group),
                clients=frozenset(each.client),
                own=OWN in each.addresses,
                patterns=tuple(pattern for pattern in each.addresses if pattern != OWN),
            )
            for each in self.config.senders
        ]
        required = self.config.listen.auth is AuthDemand.REQUIRED
        return Rights(self.relays, self.config.gateway.domains, rules, login_required=required)

    @cached_property
    def login_groups(self) -> Groups | None:
        """The same, where a sender rule asks for groups. Raises SceauError."""
        rule = next((each for each in self.config.senders if each.group), None)
        known = any(each.groups.base for each in self.config.pki.directories)
        if rule is not None and not known:
            raise SceauError(
                "the sender rule {name} names a group, and no directory tells who is in it",
                hint="name the addresses or logins, or configure a directory with groups",
                facts={"name": rule.name},
            )
        return self.groups if rule is not None else None

    @cached_property
    def clients(self) -> Clients:
        """Who may come with which certificate."""
        return Clients(
            [
                ClientEntry(
                    each.name,
                    tuple(ParsedCertificate(der) for der in load_certificates(each.ca)),
                    frozenset(each.certificates),
                    each.names,
                    each.unsafe_no_revocation,
                )
                for each in self.config.clients
            ]
        )

    @cached_property
    def login_directories(self) -> tuple[LoginClient, ...]:
        """LDAP servers that check passwords; connected when asked."""
        return tuple(
            LoginClient(
                LoginDirectory(
                    name=each.name,
                    urls=each.url,
                    base=each.base,
                    filter=each.filter,
                    login_attribute=each.login_attribute,
                    address_attributes=each.address_attributes,
                    starttls=each.starttls,
                    ca=each.ca,
                    bind_dn=each.bind_dn,
                    password=secret(each.password_file).decode() if each.password_file else "",
                    timeout=each.timeout,
                )
            )
            for each in self.config.auth.directories
        )

    @cached_property
    def proofs(self) -> SenderProofs | None:
        """Judges logins, certificates, and what front ends say; None where there are none."""
        auth = self.config.auth
        fronts = frozenset(relay.name for relay in self.relays if relay.xclient)
        if self.config.listen.auth is AuthDemand.NONE and not self.config.clients and not fronts:
            return None
        limits = Limits(auth.failures, auth.window, longest_wait=auth.longest_wait)
        logins = Logins(
            users=UsersFile(auth.users) if auth.users else None,
            directories=self.login_directories,
            throttle=Throttle(self.data_folder / "guessing", limits),
            groups=self.login_groups,
        )
        return SenderProofs(
            logins=logins,
            clients=self.clients,
            material=self.gate.around(lambda: self.trust.current().material),
            fronts=fronts,
            offers_auth=self.config.listen.auth is not AuthDemand.NONE
            and bool(auth.users or auth.directories),
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
            max_connections_per_address=listen.max_connections_per_address,
            max_idle_commands=listen.max_idle_commands,
            max_errors=listen.max_errors,
            timeout=listen.timeout.total_seconds(),
            transaction_timeout=listen.transaction_timeout.total_seconds(),
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
        if self.config.clients:
            # Asked for, not demanded: relays and those who log in have none. The CA named is the
            # one that issued, so a path may end there.
            context.verify_mode = ssl.CERT_OPTIONAL
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            for each in self.config.clients:
                for der in load_certificates(each.ca):
                    context.load_verify_locations(cadata=der)
        return context

    @cached_property
    def outbound(self) -> Outbound:
        """Policy, look-up and sealing."""
        return Outbound(
            hostname=self.config.gateway.hostname,
            policy=self.policy,
            routes=self.routes,
            signers=self.signers,
            groups=self.groups,
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
            doubted=lambda: self.belief.doubt() is not None,
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
            deliverer=Deliverer(
                max_connections_per_hop=_CONNECTIONS,
                before_dot=_nobody_asks if self.licence is None else self.licence.check,
            ),
            notices=self.notices,
            evidence=Evidence(),
            waits=self.config.queue.retry,
            now=self.belief.now,
            belief=self.belief,
            database=self.database,
            steady=SteadyClock.for_expiry(self.config.queue.expire),
            blobs=self.blobs,
            neighbours=self.neighbours,
            watched=self._watched(name),
        )

    def _watched(self, name: str) -> Callable[[Job], AbstractContextManager[None]]:
        """What a worker has in hand is noted, and may take so long."""
        note = self._note = Note(make_run_folder(self.run_folder), name)

        @contextmanager
        def watched(job: Job) -> Iterator[None]:
            with note.of(job.archive_id), limited(job.size, len(job.recipients)):
                yield

        return watched

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
            now=self.belief.now,
            doubted=lambda: self.belief.doubt() is not None,
            note_clock=self.clock_notes.write,
            tasks=(
                self.held_mail.once,
                self.signing_watch.once,
                self.expiry_watch.once,
                self.raise_alarms,
            ),
            log_consents=lambda: log_old_consents(self),
            sweeper=self._sweeper,
            ocsp=self.ocsp_rounds,
            neighbours=self.neighbours,
            crl_folder=self.crl_folder,
        )

    @cached_property
    def recovery(self) -> Recovery:
        """Looks after neighbours that are away."""
        return Recovery(
            database=self.database,
            neighbours=self.neighbours,
            run_folder=self.run_folder,
            routes=self.routes,
            directories=self.directories,
            now=clock.now,
            tell=lambda found, moment: self.alarms.tell(
                list(judge_absences(found, moment)), moment, codes=(NEIGHBOUR,), by_mail=False
            ),
        )

    @cached_property
    def clock_notes(self) -> ClockNotes:
        """Tells the log of a clock that is not believed."""
        return ClockNotes(
            self.database,
            self.belief,
            self.run_folder / "clock-doubted",
            origin=self.config.archive.origin,
            org=self.config.gateway.organisation,
            node=node_name(self.lock_file),
        )

    # -- seeing what happens -------------------------------------------------------------------

    @cached_property
    def certificates(self) -> tuple[KnownCertificate, ...]:
        """Certificates whose end stops mail."""
        listener = self.config.listen.tls_certificate
        return known_certificates(
            seals=self.seals,
            anchors=[anchor for anchor, _ in self.trust.current().material.anchors],
            intermediates=[
                der for path in self.config.pki.intermediates for der in load_certificates(path)
            ],
            listener=None if listener is None else (self.config.gateway.hostname, listener),
        )

    @cached_property
    def folders(self) -> tuple[Path, ...]:
        """Folders that the gateway writes to: each must have room."""
        blobs = self.config.archive.blobs
        return (
            self.data_folder,
            self.config.archive.index,
            self.config.archive.working_keys,
            *([blobs.folder] if blobs is not None and blobs.folder is not None else []),
        )

    @cached_property
    def gauges(self) -> Gauges:
        """How things stand, for metrics and alarms."""
        return Gauges(
            read=self.database.read,
            index=self.config.archive.index,
            certificates=self.certificates,
            folders=self.folders,
            run_folder=self.run_folder,
            now=self.belief.now,
            signing=self.signing_watch,
            crl_sources=tuple(source.location for source in self.crl_sources),
            expiry=self.expiry_watch,
            unbelieved=self._unbelieved,
            trust=self.trust.current,
        )

    def _unbelieved(self) -> tuple[Problem, ...]:
        self.trust.current()
        return self.decided.faults

    @cached_property
    def signing_watch(self) -> SigningWatch:
        """Sees which of our certificates must not sign any more."""
        return SigningWatch(
            self.database.read,
            self.trust.current,
            self.seals,
            self.signers.may_seal,
            ending=self.ahead.persons or ENDING,
        )

    @cached_property
    def ahead(self) -> Ahead:
        """How long before an end people are told."""
        return self.config.alarms.ahead

    @cached_property
    def expiry_watch(self) -> ExpiryWatch:
        """Sees what ends of what only the database knows."""
        return ExpiryWatch(self.database.read, self.trust.current, recipients=self.ahead.recipients)

    @cached_property
    def alarms(self) -> Alarms:
        """Tells people of trouble."""
        origin, marked = self.config.archive.origin, self.belief.marked
        mails = AlarmMails(self.database, origin, self.notices, marked)
        return Alarms(mails, self.run_folder / "alarms.json")

    def raise_alarms(self, moment: datetime) -> None:
        """One look at everything, told to whom it concerns."""
        # Asked now: what the rest was looked up for may be seconds old.
        standing = replace(
            self.gauges.look(),
            refusing=tuple(refusing(self.folders)),
            doubt=self.belief.doubt(),
        )
        found = judge(standing, max_size=self.config.listen.max_size, ahead=self.ahead)
        self.alarms.tell(list(found), moment)

    def metrics_page(self, accept: str) -> tuple[bytes, str]:
        """What Prometheus gets. A database that does not answer leaves the sums."""
        from gateway.metrics.page import page  # the library is for the keeper alone

        try:
            standing = self.gauges.look()
        except sa.exc.SQLAlchemyError:
            standing = None
        away = absent(self.run_folder)
        return page(all_sums(self.run_folder), standing, self.alarms.on, accept, away)

    @property
    def _sweeper(self) -> Sweeper | None:
        blobs, found = self.blobs, self.config.archive.blobs
        if blobs is None or found is None:
            return None
        database = self.database
        return Sweeper(blobs, database.read, database.write, after=found.sweep_after)

    @property
    def process_counts(self) -> dict[str, int]:
        """How many processes of each role this configuration asks for."""
        # Taking a mail costs less than half of sealing and delivering it, and a worker is bound
        # to one core but for its signatures: a worker for each core, an intake for two.
        cores = os.cpu_count() or 1
        intake, seal = self.config.workers.intake, self.config.workers.seal
        return {
            "intake": max(1, cores // 2) if intake == "auto" else intake,
            "worker": cores if seal == "auto" else seal,
            "keeper": 1,
            "index": 1,
        }


_TLS = {
    Tls.NONE: TlsDemand.NONE,
    Tls.OPPORTUNISTIC: TlsDemand.OPPORTUNISTIC,
    Tls.VERIFIED: TlsDemand.VERIFIED,
}


def _nobody_asks() -> None:
    """On one machine the supervisor kills who may not send."""


def _extract(raw: bytes) -> Extracted:
    with limited(len(raw)):
        found = extract(raw)
    return Extracted(
        subject=found.subject,
        senders=found.senders,
        recipients=found.recipients,
        body=found.body,
        attachment_names=found.attachment_names,
        date=found.date,
    )
