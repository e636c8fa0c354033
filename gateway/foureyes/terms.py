"""The terms of a trust anchor as a request states them: read strictly, written one way. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from archive.entry import format_time, parse_time
from archive.errors import EntryMalformed
from gateway.foureyes.request import Value, malformed
from pki.addresses import canonical_domain
from pki.anchors import HARD_FAIL, Anchor, RevocationSources
from pki.errors import AddressError
from pki.models import Purpose

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_OID = re.compile(r"[0-2](\.(0|[1-9][0-9]{0,19})){1,30}")
_KEYS = {
    "comment", "domains", "from", "name", "policies", "purposes", "revocation", "supersedes",
    "until",
}  # fmt: skip
MAX_GRACE = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Terms:
    """What an anchor is trusted for. supersedes: id of the record that ends with it, or "".

    domains: as `pki.addresses.in_domain` takes them, empty = all. The rest as `pki.anchors.Anchor`.
    """

    name: str
    purposes: frozenset[Purpose] = frozenset(Purpose)
    domains: tuple[str, ...] = ()
    policies: frozenset[str] = frozenset()
    grace: timedelta = HARD_FAIL
    start: datetime | None = None
    until: datetime | None = None
    comment: str = ""
    sources: RevocationSources = RevocationSources.CRL
    supersedes: str = ""

    def changes(self) -> dict[str, Value]:
        """As they stand in a request."""
        return {
            "comment": self.comment,
            "domains": list(self.domains),
            "from": _written(self.start),
            "name": self.name,
            "policies": [*sorted(self.policies)],
            "purposes": [*sorted(one.value for one in self.purposes)],
            "revocation": {
                "grace": int(self.grace.total_seconds()),
                "sources": self.sources.value,
            },
            "supersedes": self.supersedes,
            "until": _written(self.until),
        }

    def anchor(self, der: bytes, sha256: str) -> Anchor:
        """What `pki` trusts by them."""
        return Anchor(
            name=self.name,
            certificate=der,
            sha256=sha256,
            purposes=self.purposes,
            domains=self.domains,
            grace=self.grace,
            comment=self.comment,
            sources=self.sources,
            policies=self.policies,
            trusted_from=self.start,
            trusted_until=self.until,
        )


def read_terms(changes: Mapping[str, Value]) -> Terms:
    """The terms in a request. Raises ActRefused for anything that is not as `changes` writes it."""
    if changes.keys() != _KEYS:
        raise malformed("changes")
    revocation = changes["revocation"]
    if not isinstance(revocation, dict) or revocation.keys() != {"grace", "sources"}:
        raise malformed("revocation")
    grace = revocation["grace"]
    if not isinstance(grace, int) or not 0 <= grace <= MAX_GRACE.total_seconds():
        raise malformed("revocation")
    try:
        sources = RevocationSources(revocation["sources"])
    except ValueError:
        raise malformed("revocation") from None
    try:
        purposes = frozenset(Purpose(one) for one in _texts(changes["purposes"], "purposes"))
    except ValueError:
        raise malformed("purposes") from None
    terms = Terms(
        name=_text(changes["name"], "name"),
        purposes=purposes,
        domains=tuple(_texts(changes["domains"], "domains")),
        policies=frozenset(_texts(changes["policies"], "policies")),
        grace=timedelta(seconds=grace),
        start=_time(changes["from"], "from"),
        until=_time(changes["until"], "until"),
        comment=_text(changes["comment"], "comment"),
        sources=sources,
        supersedes=_text(changes["supersedes"], "supersedes"),
    )
    if not purposes:
        raise malformed("purposes")
    if not is_name(terms.name):
        raise malformed("name")
    if not all(map(_is_canonical, terms.domains)):
        raise malformed("domains")
    if not all(map(is_policy, terms.policies)):
        raise malformed("policies")
    if terms.start is not None and terms.until is not None and terms.start >= terms.until:
        raise malformed("until")
    if terms.changes() != changes:
        raise malformed("changes")
    return terms


def is_name(text: str) -> bool:
    """Whether an anchor may be called so."""
    return _NAME.fullmatch(text) is not None


def is_policy(text: str) -> bool:
    """Whether it is an OID as a request writes it."""
    return _OID.fullmatch(text) is not None


def _is_canonical(domain: str) -> bool:
    bare = domain.removeprefix(".")
    try:
        return canonical_domain(bare) == bare
    except AddressError:
        return False


def _text(value: Value, name: str) -> str:
    if not isinstance(value, str) or len(value) > 2000:
        raise malformed(name)
    return value


def _texts(value: Value, name: str) -> list[str]:
    if not isinstance(value, list) or len(value) > 1000:
        raise malformed(name)
    return [_text(one, name) for one in value]


def _time(value: Value, name: str) -> datetime | None:
    text = _text(value, name)
    try:
        return parse_time(text) if text else None
    except EntryMalformed:
        raise malformed(name) from None


def _written(moment: datetime | None) -> str:
    return "" if moment is None else format_time(moment.astimezone(UTC))
