"""Consents and their entries in the archive's log, always in one transaction.

The id of a consent is that of its entries: `sceau archive history ID` shows when it was given,
by whom, on what ground, and when it ended; each decision to sign as a person names it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from archive.entry import format_time, new_archive_id
from archive.store import Draft
from gateway.installation import Installation
from pki.persons import (
    Consent,
    Ground,
    give_consent,
    set_entry,
    withdraw_consent,
    without_entry,
)

_AT_ONCE = 200


def give(
    conn: sa.Connection,
    *,
    address: str,
    certificate_sha256: str,
    person: str,
    by: str,
    moment: datetime,
    ground: Ground,
    org: str,
) -> tuple[Consent, Draft]:
    """Record a consent; the draft goes into the log in the caller's transaction.

    org: of the log entry. Raises PrivateKeyError (no such key), AddressError.
    """
    consent = give_consent(
        conn,
        address=address,
        certificate_sha256=certificate_sha256,
        person=person,
        by=by,
        moment=moment,
        entry_id=new_archive_id(),
        ground=ground,
    )
    return consent, _given(consent, org)


def withdraw(
    conn: sa.Connection,
    *,
    address: str,
    by: str,
    moment: datetime,
    ground: Ground,
    org: str,
    certificate_sha256: str = "",
) -> tuple[list[Consent], list[Draft]]:
    """End the live consents of an address; the drafts go into the log in the same transaction."""
    ended = withdraw_consent(
        conn,
        address=address,
        certificate_sha256=certificate_sha256,
        by=by,
        moment=moment,
        ground=ground,
    )
    return ended, [_withdrawn(one, org) for one in ended if one.entry_id is not None]


def log_old_consents(installation: Installation) -> None:
    """Give the consents of an older version their entries; until then nobody signs by them.

    One that was withdrawn gets both entries. All say `late`: their times are those of the table,
    which the log did not witness.
    """
    org = installation.config.gateway.organisation
    while True:
        with installation.database.read() as conn:
            if not list(without_entry(conn, 1)):
                return
        with installation.database.write() as conn:
            drafts: list[Draft] = []
            for row_id, found in without_entry(conn, _AT_ONCE):
                consent = replace(found, entry_id=new_archive_id())
                if not set_entry(conn, row_id, consent.entry_id or ""):
                    continue  # another machine's keeper was faster
                drafts.append(_given(consent, org, late=True))
                if not consent.live:
                    drafts.append(_withdrawn(consent, org, late=True))
            installation.append_with(conn, drafts)


def _given(consent: Consent, org: str, *, late: bool = False) -> Draft:
    fields = {
        **_whose(consent),
        "given.by": consent.given_by,
        **ground_fields(consent.ground),
    }
    return _draft("consent", consent, fields, org, late=late)


def _withdrawn(consent: Consent, org: str, *, late: bool = False) -> Draft:
    assert consent.withdrawn_at is not None
    fields = {
        **_whose(consent),
        "withdrawn.at": format_time(consent.withdrawn_at),
        "withdrawn.by": consent.withdrawn_by or "",
        **ground_fields(consent.withdrawn_ground),
    }
    return _draft("consent-withdrawn", consent, fields, org, late=late)


def _whose(consent: Consent) -> dict[str, str]:
    return {
        "address": consent.address,
        "certificate.sha256": consent.certificate_sha256,
        "person": consent.person,
        "given.at": format_time(consent.given_at),
    }


def ground_fields(ground: Ground) -> dict[str, str]:
    """What a ground is in an entry of the log; nothing for what was not said."""
    fields = {"basis": ground.basis, "form.sha256": ground.form_sha256}
    return {name: value for name, value in fields.items() if value}


def _draft(kind: str, consent: Consent, fields: dict[str, str], org: str, *, late: bool) -> Draft:
    assert consent.entry_id is not None
    if late:
        fields["late"] = "yes"
    return Draft(kind, org, consent.entry_id, {name: v.encode() for name, v in fields.items()})
