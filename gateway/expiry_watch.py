"""Looks at ends that only the database knows: certificates of recipients and of our people, OCSP,
grace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from pki import ocsp_store
from pki.decryption_keys import opening_ends
from pki.errors import PkiError
from pki.expiring import RecipientsEnding, recipients_ending
from pki.ocsp_store import OcspStanding
from pki.path import Material, Revocation, find_path
from pki.trust import Trust

# A look at 200,000 recipients takes a second; ends are days.
_RECIPIENTS = timedelta(hours=1)
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Ends:
    """What was seen. grace: by issuer of CRLs, how long one may be used past its nextUpdate.

    ocsp: what is asked about by OCSP. opening: how many of our people are soon not to be written to
    any more, as their last certificate for it ends; the first of them.
    """

    recipients: RecipientsEnding = field(default_factory=RecipientsEnding)
    ocsp: OcspStanding = field(default_factory=OcspStanding)
    grace: Mapping[str, timedelta] = field(default_factory=dict)
    opening: tuple[int, tuple[str, ...]] = (0, ())


class ExpiryWatch:
    """Looks now and then, beside other work. recipients, persons: how long ahead theirs count as
    ending.
    """

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[sa.Connection]],
        trust: Callable[[], Trust],
        *,
        recipients: timedelta | None,
        persons: timedelta | None,
    ) -> None:
        self._read = read
        self._trust = trust
        self._ahead = recipients or timedelta()
        self._persons = persons or timedelta()
        self._looked: datetime | None = None
        self._material: Material | None = None
        self.ends = Ends()

    def once(self, moment: datetime) -> None:
        """Look again at what may have changed."""
        material = self._trust().material
        grace, recipients, opening = self.ends.grace, self.ends.recipients, self.ends.opening
        if material is not self._material:
            self._material, grace = material, grace_by_issuer(material, moment)
        looked = self._looked
        with self._read() as conn:
            ocsp = ocsp_store.standing(conn, moment=moment)
            if looked is None or not looked <= moment < looked + _RECIPIENTS:
                recipients = recipients_ending(conn, moment=moment, until=moment + self._ahead)
                number, first = opening_ends(conn, moment, moment + self._persons, _NAMED)
                opening = number, tuple(address for address, _ in first)
                self._looked = moment
        self.ends = Ends(recipients, ocsp, grace, opening)


def grace_by_issuer(material: Material, moment: datetime) -> dict[str, timedelta]:
    """For each CA whose anchor grants one: how long its CRL may be used past nextUpdate.

    A CA below several anchors has the shortest: that is when the first mail waits.
    """
    found: dict[str, timedelta] = {}
    for anchor, cert in material.anchors:
        found[cert.subject_text] = min(anchor.grace, found.get(cert.subject_text, anchor.grace))
    for certs in material.intermediates.values():
        for cert in certs:
            try:
                path = find_path(cert, material, moment=moment, revocation=Revocation.OFF)
            except PkiError:
                continue
            grace = path.anchor.grace
            found[cert.subject_text] = min(grace, found.get(cert.subject_text, grace))
    return {issuer: grace for issuer, grace in found.items() if grace}
