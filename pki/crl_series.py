"""Complete and delta CRLs of one issuer, key and scope, taken together (RFC 5280 §5.2.4). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pki.anchors import usable_until
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_entries import REMOVED, Entry
from pki.crl_scope import Reasons


@dataclass(frozen=True, slots=True)
class Condemned:
    """An entry that revokes a certificate, and the CRL in which it stands."""

    crl: Crl
    entry: Entry


@dataclass(slots=True, eq=False)
class Series:
    """CRLs that `signer` has signed, for the same reasons of the same certificates.

    base: the newest complete one of those issued by the moment. deltas: newer than it, newest
    first. later: issued after the moment.
    """

    signer: ParsedCertificate
    reasons: Reasons
    base: Crl | None = None
    deltas: list[Crl] = field(default_factory=list)
    later: list[Crl] = field(default_factory=list)

    def add(self, crl: Crl, moment: datetime) -> None:
        """Take in one more; the newest comes first."""
        if crl.this_update > moment:
            self.later.append(crl)
        elif crl.base_number is not None:
            self.deltas.append(crl)
        elif self.base is None:
            self.base = crl

    def newer(self, delta: Crl) -> bool:
        """§5.2.4: "the CRL number of the complete CRL is less than the CRL number of the delta"."""
        if self.base is None or self.base.number is None or delta.number is None:
            return self.base is None or delta.this_update > self.base.this_update
        return delta.number > self.base.number

    def combined(self, delta: Crl) -> bool:
        """(c): whether `delta` completes the base: nothing that happened between the two is left
        out. Issuer, scope and key are the same in a series.
        """
        assert delta.base_number is not None
        return (
            self.base is not None
            and self.base.number is not None
            and delta.number is not None
            and delta.base_number <= self.base.number < delta.number
        )

    @property
    def until(self) -> datetime:
        """Until when it is current: a delta makes an older base current again (§6.3.3 (a))."""
        crls = [delta for delta in self.deltas if self.combined(delta)]
        crls += [self.base] if self.base is not None else []
        return max(crl.next_update for crl in crls or self.deltas or self.later)

    def current(self, moment: datetime, grace: timedelta) -> tuple[Crl, ...]:
        """The complete CRL and the newest delta that completes it and is current, if any."""
        delta = self._current_delta(moment, grace)
        assert self.base is not None
        return (self.base,) if delta is None else (self.base, delta)

    def _current_delta(self, moment: datetime, grace: timedelta) -> Crl | None:
        for delta in self.deltas:
            if self.combined(delta) and moment <= usable_until(delta.next_update, grace):
                return delta
        return None

    def condemned(
        self, cert: ParsedCertificate, moment: datetime, grace: timedelta
    ) -> Condemned | None:
        """The entry that revokes `cert`, or None.

        An entry in a CRL that was out at the moment condemns whatever date it bears: the CA says
        so. Of later CRLs those entries do whose revocationDate, or invalidityDate (§5.3.2: the
        key was in wrong hands already), is not after the moment.
        """
        lifted = False
        for delta in self.deltas:  # (i)
            entry = delta.find(cert) if self.newer(delta) else None
            if entry is not None and entry.reason != REMOVED:
                return Condemned(delta, entry)
            if entry is not None:
                # What lifts a hold must be current: a new one may have followed.
                lifted = delta is self._current_delta(moment, grace)
            if self.combined(delta):
                break  # it says all that has changed since the base: older ones are replaced
        entry = self.base.find(cert) if self.base is not None and not lifted else None  # (j), (k)
        if entry is not None and self.base is not None:
            return Condemned(self.base, entry)
        for crl in self.later:
            entry = crl.find(cert)
            if entry is None or entry.reason == REMOVED:
                continue
            if min(entry.date, entry.invalid_from or entry.date) <= moment:
                return Condemned(crl, entry)
        return None
