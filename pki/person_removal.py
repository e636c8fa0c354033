"""Taking a person's key out of the database. The row goes; what was signed with it stays valid."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from pki.errors import PrivateKeyError, problem
from pki.person_keys import PersonKey, list_keys
from pki.tables import person_keys


@dataclass(frozen=True, slots=True)
class Removal:
    """What is meant by a removal. others: further addresses for which the same key is stored.

    remaining: the keys that the address keeps.
    """

    key: PersonKey
    others: tuple[str, ...]
    remaining: tuple[PersonKey, ...]


def plan_removal(conn: sa.Connection, key: PersonKey, *, org: str = "") -> Removal:
    """What a removal of this key leaves."""
    same = list_keys(conn, certificate_sha256=key.certificate_sha256, org=org)
    mine = list_keys(conn, key.address, org=org)
    return Removal(
        key,
        tuple(one.address for one in same if one.address != key.address),
        tuple(one for one in mine if one.certificate_sha256 != key.certificate_sha256),
    )


def remove_key(conn: sa.Connection, key: PersonKey, *, org: str = "") -> None:
    """Delete the wrapped key of an address. Raises PrivateKeyError if it is gone by now."""
    table = person_keys.c
    done = conn.execute(
        person_keys.delete().where(
            table.org == org,
            table.address == key.address,
            table.certificate_sha256 == key.certificate_sha256,
        )
    )
    if not done.rowcount:
        raise PrivateKeyError(
            problem(
                "structure.key-unknown",
                "no key for the certificate {sha256} of {address} is stored",
                sha256=key.certificate_sha256,
                address=key.address,
            )
        )
