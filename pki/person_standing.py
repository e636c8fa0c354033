"""Who of those who agreed may sign now, in pieces: 200,000 people in little memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused
from pki.may_sign import MaySign, Unfit, judge_signer
from pki.person_keys import split_chain
from pki.tables import consents, person_keys
from pki.trust import Trust

_ROWS = 500


@dataclass(frozen=True, slots=True)
class PersonStanding:
    """A person with a consent in force. ends: of the last certificate that may sign; None if none
    may, and then `answer` says why.
    """

    address: str
    answer: MaySign | Unfit
    ends: datetime | None


def some_people(
    conn: sa.Connection, trust: Trust, moment: datetime, *, after: str = "", org: str = ""
) -> list[PersonStanding]:
    """The next people by address, a few hundred; empty at the end. after: the last one seen."""
    key, consent = person_keys.c, consents.c
    agreed = sa.exists().where(
        consent.org == key.org,
        consent.address == key.address,
        consent.certificate_sha256 == key.certificate_sha256,
        consent.withdrawn_at.is_(None),
    )
    rows: list[Any] = list(
        conn.execute(
            sa.select(key.address, key.certificate, key.chain, key.not_after)
            .where(key.org == org, key.address > after, agreed)
            .order_by(key.address, key.id.desc())
            .limit(_ROWS)
        )
    )
    found = [
        _standing(address, list(keys), trust, moment)
        for address, keys in groupby(rows, key=lambda row: str(row.address))
    ]
    # The last one may have more keys than were read: he comes first the next time.
    return found[:-1] if len(rows) == _ROWS and len(found) > 1 else found


def _standing(address: str, keys: list[Any], trust: Trust, moment: datetime) -> PersonStanding:
    good: MaySign | None = None
    ends: datetime | None = None
    bad: list[Unfit] = []
    for row in keys:
        try:
            cert = ParsedCertificate(row.certificate)
        except CertificateRefused as error:
            bad.append(Unfit(error.problem, certain=True))
            continue
        chain = split_chain(row.chain)
        answer = judge_signer(cert, chain, address=address, moment=moment, trust=trust).answer
        if isinstance(answer, Unfit):
            bad.append(answer)
        else:
            good = good or answer
            ends = cert.not_after if ends is None else max(ends, cert.not_after)
    if good is not None:
        return PersonStanding(address, good, ends)
    return PersonStanding(address, next((one for one in bad if not one.certain), bad[0]), None)
