"""The way of a mail: taken, decided on, sealed, delivered."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from gateway.accept import Intake
from gateway.clocklog import ClockNotes
from gateway.config import AuthDemand, Tls
from gateway.dsn import Languages
from gateway.errors import SceauError
from gateway.growth import room_for
from gateway.held import HeldMail
from gateway.hopeless import Hopeless
from gateway.metrics.tally import make_run_folder
from gateway.node import node_name
from gateway.notices import Notices
from gateway.outbound.steps import Outbound
from gateway.outside import Outside
from gateway.overrun import Limit
from gateway.policy import Policy
from gateway.policylog import record_policy
from gateway.queue.crowded import Backlog
from gateway.queue.jobs import Job
from gateway.queue.note import Note
from gateway.queue.worker import Worker
from gateway.routes import Route, Routes
from gateway.smtp.client import Deliverer
from gateway.smtp.nexthop import NextHop, TlsDemand
from gateway.smtp.settings import ListenSettings
from gateway.steady import SteadyClock
from gateway.wiring.senders import SenderParts
from pki.anchors import load_certificates
from pki.evidence import Evidence

# Connections a worker keeps to one next hop.
_CONNECTIONS = 16

_TLS = {
    Tls.NONE: TlsDemand.NONE,
    Tls.OPPORTUNISTIC: TlsDemand.OPPORTUNISTIC,
    Tls.VERIFIED: TlsDemand.VERIFIED,
}


@dataclass
class WayOutParts(SenderParts):
    """And those that a mail passes."""

    @cached_property
    def policy(self) -> Policy:
        """The rules in force."""
        return self.config.policy.policy()

    @cached_property
    def mail_room(self) -> int:
        """Octets that must be free on a disk before mail is taken."""
        return room_for(
            self.config.listen.max_size, two_envelopes=self.policy.two_envelopes_anywhere
        )

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
            room=self.mail_room,
            outside=None if self.blobs is None else Outside(self.blobs),
            gate=self.gate,
            backlog=self.backlog,
        )

    @cached_property
    def backlog(self) -> Backlog:
        """How much mail may wait."""
        return Backlog(self.database.glance, self.config.queue.max_messages)

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

        def watched(job: Job) -> AbstractContextManager[None]:
            return _InHand(note, job)

        return watched

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


class _InHand:
    """Around each step of sealing a mail: noted as in hand, and within its processor time."""

    def __init__(self, note: Note, job: Job) -> None:
        self._note = note
        self._id = job.archive_id
        self._limit = Limit(job.size, len(job.recipients))

    def __enter__(self) -> None:
        self._note.take(self._id)
        self._limit.__enter__()

    def __exit__(self, *_raised: object) -> None:
        self._limit.__exit__()
        self._note.put()


def _nobody_asks() -> None:
    """On one machine the supervisor kills who may not send."""
