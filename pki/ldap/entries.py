"""What entries say: whose they are, and which certificates they hold. Pure.

The server's word that an entry fits is never taken: its rules for what is equal are not ours, and
it may lie (threats L12, S19).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pki.addresses import canonical
from pki.anchors import parse_certificates
from pki.certificate import MAX_OCTETS
from pki.directory import Directory
from pki.errors import AddressError, DirectoryTrouble, problem
from pki.ldap.wire import Entry, either, equal
from pki.models import Candidate, Refusal
from pki.smimevalue import is_signed_data, read_value

_Item = TypeVar("_Item")

MAX_ENTRIES = 20  # with one mail address
MAX_VALUES = 50  # of certificate attributes in one entry
MAX_CANDIDATES = 100  # certificates for one address: each may cost a path search

_PROXY_ADDRESSES = "proxyaddresses"
_SMTP = "smtp:"
# Two names of one attribute (RFC 4524 §2.16): servers answer with the other one.
_SAME = {"rfc822mailbox": "mail"}


@dataclass(frozen=True, slots=True)
class DirectoryAnswer:
    """What one look-up gave: candidates, and what was in their place and is none.

    server: URL of the server that answered.
    """

    candidates: tuple[Candidate, ...]
    refused: tuple[Refusal, ...]
    server: str = ""


def address_filter(attributes: Iterable[str], addresses: Iterable[str]) -> bytes:
    """For entries with one of these canonical addresses in one of these attributes."""
    terms = []
    for address in addresses:
        for attribute in attributes:
            if attribute.lower() == _PROXY_ADDRESSES:
                # "SMTP:" marks the primary address; not every server's rule ignores case.
                terms += [equal(attribute, p + address) for p in (_SMTP, _SMTP.upper())]
            else:
                terms.append(equal(attribute, address))
    return either(*terms)


def addresses_of(entry: Entry, attributes: Iterable[str]) -> frozenset[str]:
    """Canonical addresses that the entry really holds."""
    found = set()
    for attribute in attributes:
        name = attribute.lower()
        for value in _texts(entry, name):
            try:
                text = value.decode("utf-8")
                if name == _PROXY_ADDRESSES:
                    if text[: len(_SMTP)].lower() != _SMTP:
                        continue  # X400:, SIP:, …
                    text = text[len(_SMTP) :]
                found.add(canonical(text))
            except (UnicodeDecodeError, AddressError):
                continue  # it equals no address
    return frozenset(found)


def _texts(entry: Entry, attribute: str) -> list[bytes]:
    other = _SAME.get(attribute.lower())
    return entry.values(attribute) + (entry.values(other) if other else [])


def answers(
    directory: Directory, server: str, entries: Iterable[Entry], wanted: Collection[str]
) -> dict[str, DirectoryAnswer | DirectoryTrouble]:
    """The answer for each canonical address of `wanted`."""
    of_address: dict[str, list[Entry]] = {address: [] for address in wanted}
    strangers: list[Refusal] = []
    for entry in entries:
        if not any(_texts(entry, name) for name in directory.mail_attributes):
            # Whose it is cannot be told, and so not that there is no certificate either (I3).
            return dict.fromkeys(wanted, _hidden(directory, server, entry))
        mine = addresses_of(entry, directory.mail_attributes) & of_address.keys()
        for address in mine:
            of_address[address].append(entry)
        if not mine:
            strangers.append(_stranger(_source(directory, server, entry), wanted))
    found: dict[str, DirectoryAnswer | DirectoryTrouble] = {}
    for address, own in of_address.items():
        try:
            found[address] = _answer(directory, server, own, strangers)
        except DirectoryTrouble as error:
            found[address] = error
    return found


def _answer(
    directory: Directory, server: str, entries: list[Entry], strangers: list[Refusal]
) -> DirectoryAnswer:
    candidates: dict[bytes, Candidate] = {}
    refused = list(strangers)
    if len(entries) > MAX_ENTRIES:
        raise DirectoryTrouble(
            problem(
                "directory.answer",
                "the directory {directory} has more than {limit} entries with this address",
                directory=directory.name,
                limit=str(MAX_ENTRIES),
            )
        )
    for entry in entries:
        source = _source(directory, server, entry)
        names = dict.fromkeys(name.partition(";")[0].lower() for name in directory.attributes)
        values = list(dict.fromkeys(value for name in names for value in entry.values(name)))
        if len(values) > MAX_VALUES:
            raise _too_many(source, len(values), MAX_VALUES)
        for value in values:
            _read(value, source, candidates, refused)
        if len(candidates) > MAX_CANDIDATES:
            raise _too_many(source, len(candidates), MAX_CANDIDATES)
    return DirectoryAnswer(tuple(candidates.values()), tuple(refused), server)


def _read(
    value: bytes, source: str, candidates: dict[bytes, Candidate], refused: list[Refusal]
) -> None:
    """One value: a certificate, or a PKCS#7 with several, whatever attribute it stands in."""
    if not is_signed_data(value):
        if _is_certificate(value):
            candidates.setdefault(value, Candidate(value, source))
        else:
            refused.append(_garbage(value, source))
        return
    try:
        inside = read_value(value)
    except ValueError:
        refused.append(_garbage(value, source))
        return
    refused += [_garbage(octets, source) for octets in inside.unreadable]
    for der in inside.people:
        known = candidates.get(der, Candidate(der, source))
        candidates[der] = Candidate(
            der,
            known.source,
            _joined(known.chain, inside.chain),
            _joined(known.capabilities, inside.capabilities),
        )


def _joined(one: tuple[_Item, ...], other: tuple[_Item, ...]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _is_certificate(value: bytes) -> bool:
    if len(value) > MAX_OCTETS:
        return False
    try:
        return parse_certificates(value) == (value,)
    except ValueError:
        return False


def _source(directory: Directory, server: str, entry: Entry) -> str:
    """Directory, server and entry: what a decision names as the place of a certificate."""
    return f"{directory.name} ({server}): {ascii(entry.dn)[1:-1][:300]}"


def _garbage(value: bytes, source: str) -> Refusal:
    return Refusal(
        sha256=hashlib.sha256(value).hexdigest(),
        subject="",
        source=source,
        problem=problem(
            "structure.certificate",
            "{source}: a value of {size} octets is not a certificate",
            source=source,
            size=str(len(value)),
        ),
    )


def _stranger(source: str, wanted: Collection[str]) -> Refusal:
    return Refusal(
        sha256="",
        subject="",
        source=source,
        problem=problem(
            "directory.stranger",
            "{source}: the server gave this entry, but it does not hold the address {address}",
            source=source,
            address=next(iter(wanted), ""),
        ),
    )


def _hidden(directory: Directory, server: str, entry: Entry) -> DirectoryTrouble:
    return DirectoryTrouble(
        problem(
            "directory.answer",
            "{source}: the server does not let us read whose entry this is ({attributes})",
            source=_source(directory, server, entry),
            attributes=", ".join(directory.mail_attributes),
        )
    )


def _too_many(source: str, count: int, limit: int) -> DirectoryTrouble:
    return DirectoryTrouble(
        problem(
            "limits.directory",
            "the entry {entry} has {count} certificates; {limit} are looked at",
            entry=source,
            count=str(count),
            limit=str(limit),
        )
    )
