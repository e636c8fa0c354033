"""What sees the gateway at work: numbers, alarms, what will end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa

from gateway.ahead import Ahead
from gateway.alarm_mail import AlarmMails
from gateway.alarms import Alarms, judge
from gateway.diskprobe import refusing
from gateway.expiry_watch import ExpiryWatch
from gateway.known import KnownCertificate, anchor_certificates, own_certificates
from gateway.metrics.gauges import Gauges
from gateway.metrics.tally import all_sums
from gateway.neighbours import absent
from gateway.signing_watch import ENDING, SigningWatch
from gateway.wiring.way_out import WayOutParts
from pki.anchors import load_certificates
from pki.errors import Problem


@dataclass
class SeeingParts(WayOutParts):
    """And those that watch the others."""

    @property
    def certificates(self) -> tuple[KnownCertificate, ...]:
        """Certificates whose end stops mail; people decide about anchors while a process runs."""
        anchors = (anchor for anchor, _ in self.trust.current().material.anchors)
        return (*self._own_certificates, *anchor_certificates(anchors))

    @cached_property
    def _own_certificates(self) -> tuple[KnownCertificate, ...]:
        """Of the configuration that this process runs with, whatever becomes of its files."""
        listener = self.config.listen.tls_certificate
        return own_certificates(
            seals=self.seals,
            intermediates=[
                der for path in self.config.pki.intermediates for der in load_certificates(path)
            ],
            listener=None if listener is None else (self.config.gateway.hostname, listener),
            directories=[
                (each.name, each.client_certificate)
                for each in self.config.pki.directories
                if each.client_certificate is not None
            ],
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
            certificates=lambda: self.certificates,
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
        return ExpiryWatch(
            self.database.read, self.trust.current,
            recipients=self.ahead.recipients, persons=self.ahead.persons,
        )  # fmt: skip

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
        found = judge(standing, room=self.mail_room, ahead=self.ahead)
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
