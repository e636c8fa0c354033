"""The stored keys of our people that a CMS structure was encrypted to."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa

from gateway.smime import cms
from gateway.smime.cms import ContentInfo, Identifier, KeyIdentifier
from gateway.smime.enveloped import read_enveloped
from gateway.smime.recipients import Encapsulated, KeyAgreement, KeyTransport
from pki.decrypter import KeyDecrypter
from pki.decryption_keys import find_decrypters
from pki.kek import KekRing
from pki.names import name_key_of
from pki.recipient_names import by_issuer, by_key_identifier


def decrypters_for(
    conn: sa.Connection, keks: KekRing, content: ContentInfo, *, org: str = ""
) -> list[KeyDecrypter]:
    """The keys of ours that its RecipientInfos name, newest first; however many people we have, by
    index. Raises StructureRefused, PrivateKeyError, KekTrouble.
    """
    return find_decrypters(conn, keks, recipient_names(content), org=org)


def recipient_names(content: ContentInfo) -> list[str]:
    """By what the RecipientInfos call their keys (`pki.recipient_names`). Raises
    StructureRefused.
    """
    return [name for one in _identifiers(content) if (name := _name(one)) is not None]


def _identifiers(content: ContentInfo) -> Iterator[Identifier]:
    for info in read_enveloped(content).recipients:
        match info:
            case KeyTransport() | Encapsulated():
                yield info.recipient
            case KeyAgreement():
                yield from (key.recipient for key in info.keys)


def _name(identifier: Identifier) -> str | None:
    if isinstance(identifier, KeyIdentifier):
        return by_key_identifier(identifier.value)
    try:
        return by_issuer(name_key_of(cms.read(identifier.issuer)), identifier.serial)
    except ValueError:
        return None  # no Name: nobody is meant
