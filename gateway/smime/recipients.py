"""RecipientInfos: by which ways the key of the content is sent (RFC 5652 §6.2, RFC 9629). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.smime.cms import (
    CONSTRUCTED,
    Algorithm,
    Identifier,
    KeyIdentifier,
    algorithm,
    identifier,
    integer,
    issuer_and_serial,
    octets,
    refused,
)
from pki import ber
from pki.ber import Element

KEM_RECIPIENT = "1.2.840.113549.1.9.16.13.3"  # RFC 9629 §3

_BIT_STRING = 0x03


@dataclass(frozen=True, slots=True)
class KeyTransport:
    """KeyTransRecipientInfo (RFC 5652 §6.2.1)."""

    recipient: Identifier
    algorithm: Algorithm
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class OriginatorKey:
    """originatorKey (RFC 5652 §6.2.2). public: the octets of its BIT STRING."""

    algorithm: Algorithm
    public: bytes


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """RecipientEncryptedKey: one of those who share an originator's key."""

    recipient: Identifier
    value: bytes


@dataclass(frozen=True, slots=True)
class KeyAgreement:
    """KeyAgreeRecipientInfo (RFC 5652 §6.2.2). originator: by name where its key is static."""

    originator: OriginatorKey | Identifier
    ukm: bytes | None
    algorithm: Algorithm
    keys: tuple[EncryptedKey, ...]


@dataclass(frozen=True, slots=True)
class SharedKey:
    """KEKRecipientInfo (RFC 5652 §6.2.3). identifier: what the owners call their key."""

    identifier: bytes
    algorithm: Algorithm
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class Password:
    """PasswordRecipientInfo (RFC 5652 §6.2.4). derivation: None where a key was agreed."""

    derivation: Algorithm | None
    algorithm: Algorithm
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """KEMRecipientInfo (RFC 9629 §3). kek_length: octets of the key that wraps."""

    recipient: Identifier
    kem: Algorithm
    ciphertext: bytes
    kdf: Algorithm
    kek_length: int
    ukm: bytes | None
    wrap: Algorithm
    wrap_raw: bytes
    encrypted_key: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A way that this engine does not know; others beside it may still be good."""

    type: str


RecipientInfo = KeyTransport | KeyAgreement | SharedKey | Password | Encapsulated | Unknown


def recipient_info(element: Element) -> RecipientInfo:
    """One RecipientInfo. Raises ValueError where a known kind is not as it must be."""
    match element.tag:
        case ber.SEQUENCE:
            return _key_transport(element)
        case 0xA1:
            return _key_agreement(element)
        case 0xA2:
            return _shared_key(element)
        case 0xA3:
            return _password(element)
        case 0xA4:
            return _other(element)
    return Unknown(f"[{element.tag & 0x1F}]")


def _parts(element: Element, count: int) -> Sequence[Element]:
    """The parts behind the version, whose number is not believed: the parts say what they are."""
    integer(element[0])
    parts = element.children[1:]
    if len(parts) != count:
        raise refused("a RecipientInfo has more or fewer parts than it may have")
    return parts


def _key_transport(info: Element) -> KeyTransport:
    recipient, encryption, key = _parts(info, 3)
    return KeyTransport(identifier(recipient), algorithm(encryption), octets(key))


def _key_agreement(info: Element) -> KeyAgreement:
    ukm = None
    if len(info.children) == 5:
        ukm = _explicit_octets(info[2], CONSTRUCTED | 1)
    originator, *_, encryption, keys = _parts(info, 3 + (ukm is not None))
    explicit = originator.expect(CONSTRUCTED)
    if len(explicit.children) != 1:
        raise refused("an originator is one thing")
    return KeyAgreement(
        _originator(explicit[0]),
        ukm,
        algorithm(encryption),
        tuple(map(_encrypted_key, keys.expect(ber.SEQUENCE))),
    )


def _originator(choice: Element) -> OriginatorKey | Identifier:
    if choice.tag != CONSTRUCTED | 1:
        return identifier(choice)
    if len(choice.children) != 2:
        raise refused("an originator's key has two parts")
    bits = choice[1].expect(_BIT_STRING).content
    if not bits or bits[0]:
        raise refused("an originator's key is not of whole octets")
    return OriginatorKey(algorithm(choice[0]), bits[1:])


def _encrypted_key(element: Element) -> EncryptedKey:
    if len(element.expect(ber.SEQUENCE).children) != 2:
        raise refused("a RecipientEncryptedKey has two parts")
    recipient, value = element.children
    if recipient.tag == CONSTRUCTED:  # rKeyId: date and other attributes may follow the identifier
        return EncryptedKey(KeyIdentifier(octets(recipient[0])), octets(value))
    return EncryptedKey(issuer_and_serial(recipient), octets(value))


def _shared_key(info: Element) -> SharedKey:
    name, encryption, key = _parts(info, 3)
    return SharedKey(octets(name.expect(ber.SEQUENCE)[0]), algorithm(encryption), octets(key))


def _password(info: Element) -> Password:
    if len(info.children) == 4:
        derivation, encryption, key = _parts(info, 3)
        return Password(algorithm(derivation, CONSTRUCTED), algorithm(encryption), octets(key))
    encryption, key = _parts(info, 2)
    return Password(None, algorithm(encryption), octets(key))


def _other(info: Element) -> RecipientInfo:
    """OtherRecipientInfo (RFC 5652 §6.2.5)."""
    if len(info.children) != 2:
        raise refused("an OtherRecipientInfo has two parts")
    kind = ber.dotted(info[0])
    if kind != KEM_RECIPIENT:
        return Unknown(kind)
    inner = info[1].expect(ber.SEQUENCE)
    if integer(inner[0]) != 0:
        return Unknown(kind)  # of a standard to come
    ukm = None
    if len(inner.children) == 9:
        ukm = _explicit_octets(inner[6], CONSTRUCTED)
    recipient, kem, ciphertext, kdf, length, *_, wrap, key = _parts(inner, 7 + (ukm is not None))
    return Encapsulated(
        identifier(recipient),
        algorithm(kem),
        octets(ciphertext),
        algorithm(kdf),
        integer(length),
        ukm,
        algorithm(wrap),
        wrap.raw,
        octets(key),
    )


def _explicit_octets(element: Element, tag: int) -> bytes:
    if len(element.expect(tag).children) != 1:
        raise refused("user keying material is one string")
    return octets(element[0])
