"""A person's key is removed: the row, its consents, and the entries in the log, at once.

A consent to the use of a key that is gone must not stand: were the same PKCS#12 imported again, it
would sign again without anybody's having been asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from archive.entry import new_archive_id
from archive.store import Draft
from gateway import consents
from gateway.queue.models import messages, recipients
from gateway.queue.states import OPEN
from pki.persons import Consent, Ground, PersonKey, remove_key


@dataclass(frozen=True, slots=True)
class Removed:
    """entry_id: archive id of the entry `key-removed`. ended: the consents that ended with it.

    drafts: for the log, in the same transaction.
    """

    entry_id: str
    ended: tuple[Consent, ...]
    drafts: list[Draft]


def remove(
    conn: sa.Connection, key: PersonKey, *, by: str, moment: datetime, ground: Ground, org: str
) -> Removed:
    """Remove the key and end its consents, in the caller's transaction. org: of the log entries.

    Raises PrivateKeyError if the key is gone by now.
    """
    remove_key(conn, key)
    ended, drafts = consents.withdraw(
        conn,
        address=key.address,
        certificate_sha256=key.certificate_sha256,
        by=by,
        moment=moment,
        ground=ground,
        org=org,
    )
    entry_id = new_archive_id()
    fields = {
        "address": key.address,
        "certificate.sha256": key.certificate_sha256,
        "removed.by": by,
        **consents.ground_fields(ground),
    }
    draft = Draft("key-removed", org, entry_id, {name: v.encode() for name, v in fields.items()})
    return Removed(entry_id, tuple(ended), [*drafts, draft])


def unsigned_mail(conn: sa.Connection, address: str) -> int:
    """Open recipients of mail From this canonical address for whom nothing is sealed yet."""
    return int(
        conn.execute(
            sa.select(sa.func.count())
            .select_from(
                messages.join(recipients, recipients.c.archive_id == messages.c.archive_id)
            )
            .where(
                messages.c.author == address,
                recipients.c.state.in_([str(state) for state in OPEN]),
                recipients.c.group_id.is_(None),
            )
        ).scalar_one()
    )
