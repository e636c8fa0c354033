"""Changes of recipients' keys, and what persons decide about them, as entries in the archive's log.

Each entry has a random id of its own: one made of the address would tell whoever reads the log with
whom mail is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable

from archive.entry import new_archive_id
from archive.store import Draft
from gateway.config import Config
from pki.addresses import in_domain
from pki.models import Harvest
from pki.recipient_keys import KeyChange, Sighting, key_pair
from pki.suggestions import Suggestion

CHANGED, DECIDED = "recipient-key-changed", "certificate-decided"


def rule_of(config: Config, address: str) -> KeyChange:
    """What the configuration says about a new key of an address: the first table that fits."""
    for each in config.pki.recipients:
        if each.key_change is not None and any(in_domain(address, d) for d in each.domains):
            return each.key_change
    return config.pki.key_change


def harvest_rule_of(config: Config, address: str) -> Harvest:
    """The same about certificates in signed mail."""
    for each in config.pki.recipients:
        if each.harvest is not None and any(in_domain(address, d) for d in each.domains):
            return each.harvest
    return config.pki.harvest


def change_drafts(sightings: Iterable[Sighting], *, by: str, held: bool, org: str) -> list[Draft]:
    """An entry for each. by: who put the certificate there, or the process that met it."""
    drafts = []
    for each in sightings:
        if each.change is None:
            continue
        fields = {
            "address": each.address,
            "certificate.sha256": each.certificate.sha256,
            "key.sha256": key_pair(each.certificate)[0],
            "issuer": each.certificate.issuer_text,
            "source": each.source,
            "code": each.change.code,
            "outcome": "held" if held else "used",
            "by": by,
        }
        drafts.append(_draft(CHANGED, fields, org))
    return drafts


def decision_draft(found: Suggestion, *, accepted: bool, by: str, reason: str, org: str) -> Draft:
    """The entry for what a person decided about a certificate that waited."""
    fields = {
        "address": found.address,
        "certificate.sha256": found.sha256,
        "source": found.source,
        "kind": found.kind.value,
        "code": found.code,
        "outcome": "accepted" if accepted else "dismissed",
        "by": by,
        "reason": reason,
    }
    return _draft(DECIDED, {name: value for name, value in fields.items() if value}, org)


def _draft(kind: str, fields: dict[str, str], org: str) -> Draft:
    return Draft(kind, org, new_archive_id(), {name: v.encode() for name, v in fields.items()})
