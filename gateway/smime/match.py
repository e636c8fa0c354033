"""Which of our keys a RecipientInfo means, and the ways that gives (RFC 5652 §6.2). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from gateway.smime import cms
from gateway.smime.algorithms import RSA_ENCRYPTION, RSAES_OAEP
from gateway.smime.cms import Identifier, KeyIdentifier
from gateway.smime.key_agreement import agreement_way, may_agree
from gateway.smime.key_encapsulation import KEMS, ML_KEM_512, encapsulation_way
from gateway.smime.key_transport import transport_way
from gateway.smime.recipients import (
    Encapsulated,
    KeyAgreement,
    KeyTransport,
    Password,
    RecipientInfo,
    SharedKey,
)
from gateway.smime.shared_keys import KnownKey, KnownPassword, password_way, shared_key_way
from gateway.smime.ways import Unsupported, Way
from pki.certificate import ParsedCertificate
from pki.decrypter import Decrypter
from pki.errors import CertificateRefused
from pki.names import NameKey, name_key_of

Known = Decrypter | KnownKey | KnownPassword


@dataclass(frozen=True, slots=True)
class Names:
    """The names under which senders know a key, from its certificate.

    issuer_octets: the issuer as the certificate writes it, which nearly all senders copy.
    """

    issuer: NameKey
    issuer_octets: bytes
    serial: int
    key_identifiers: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Owner:
    """A key of ours. names: None where no certificate is at hand; then every RecipientInfo may
    mean it that fits the kind of key.
    """

    key: Decrypter
    names: Names | None


def owner_of(key: Decrypter) -> Owner:
    """A key with its names."""
    return Owner(key, None if key.certificate is None else _names(key.certificate))


@lru_cache(maxsize=4096)  # reading a certificate takes longer than RSA does
def _names(certificate: bytes) -> Names | None:
    """None for a certificate that cannot be read.

    The key identifier is that of the extension (RFC 5652 §6.2.1); SHA-1 of the key (RFC 5280
    §4.2.1.2) is known, too, as some senders compute it where the extension is missing.
    """
    try:
        cert = ParsedCertificate(certificate)
    except CertificateRefused:
        return None
    identifiers = {cert.subject_key_id or b"", _computed(cert.x509)}
    return Names(
        cert.issuer,
        cert.x509.issuer.public_bytes(),
        cert.serial,
        frozenset(identifiers - {b""}),
    )


def _computed(certificate: x509.Certificate) -> bytes:
    try:
        return x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    except (ValueError, UnsupportedAlgorithm):
        return b""


def ways(info: RecipientInfo, owners: Sequence[Owner], shared: Sequence[Known]) -> Iterator[Way]:
    """The ways that one RecipientInfo gives to who holds these keys.

    Raises Unsupported or ValueError for one that is meant for us and cannot be tried.
    """
    match info:
        case KeyTransport():
            for owner in owners:
                if owner.key.kind[0] == "rsa" and _meant(info.recipient, owner, _fits(info, owner)):
                    yield transport_way(info, owner.key)
        case KeyAgreement():
            for one in info.keys:
                for owner in owners:
                    kind = owner.key.kind[0]
                    fits = kind.startswith(("ec-", "x")) and may_agree(info, kind)
                    if fits and _meant(one.recipient, owner, True):
                        yield agreement_way(info, one, owner.key)
        case Encapsulated():
            if info.kem.oid == ML_KEM_512:
                raise Unsupported("ml-kem-512")  # whoever it is meant for
            for owner in owners:
                fits = KEMS.get(info.kem.oid) == owner.key.kind[0]
                if fits and _meant(info.recipient, owner, True):
                    yield encapsulation_way(info, owner.key)
        case SharedKey():
            for known in shared:
                if isinstance(known, KnownKey) and known.identifier == info.identifier:
                    yield shared_key_way(info, known)
        case Password():
            for known in shared:
                if isinstance(known, KnownPassword):
                    yield password_way(info, known)


def _fits(info: KeyTransport, owner: Owner) -> bool:
    """Whether a ciphertext can be for this RSA key, as far as its length and padding tell."""
    size = (owner.key.kind[1] + 7) // 8
    return len(info.encrypted_key) == size and info.algorithm.oid in (RSA_ENCRYPTION, RSAES_OAEP)


def _meant(recipient: Identifier, owner: Owner, fits: bool) -> bool:
    """Whether the identifier names the owner; one without a certificate is meant if it `fits`.

    Issuers are compared as RFC 5280 §7.1 says: a sender may have written the name anew.
    """
    names = owner.names
    if names is None:
        return fits
    if isinstance(recipient, KeyIdentifier):
        return recipient.value in names.key_identifiers
    if recipient.serial != names.serial:
        return False
    if recipient.issuer == names.issuer_octets:
        return True
    return name_key_of(cms.read(recipient.issuer)) == names.issuer
