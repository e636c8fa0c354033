"""Keys and certificates in a PKCS#11 token: found by label and id, their public halves read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from asn1crypto import core
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pkcs11 import Attribute, CertificateType, KeyType, ObjectClass
from pkcs11 import exceptions as errors

from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, PrivateKeyError, TokenTrouble, problem
from pki.token_sessions import OpenSession, TokenSessions, fault_kind, token_trouble
from pki.token_uri import TokenKeyName

T = TypeVar("T")

TokenPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "1.2.840.10045.3.1.7": ec.SECP256R1,
    "1.3.132.0.34": ec.SECP384R1,
    "1.3.132.0.35": ec.SECP521R1,
}


class TokenKey:
    """One private key in a token. Thread-safe. What it does is asked of the token each time."""

    def __init__(self, sessions: TokenSessions, name: TokenKeyName) -> None:
        self.sessions = sessions
        self.name = name

    def __repr__(self) -> str:
        return f"<TokenKey {self.name}>"

    def run(self, act: Callable[[Any], T]) -> T:
        """Do something with the key, in a session of its own.

        Raises TokenTrouble: the token cannot be reached, or does not hold the key. PKCS11Error: it
        holds it, and refuses this.
        """

        def inside(session: OpenSession) -> T:
            return act(self._in(session))

        try:
            return self.sessions.run(inside)
        except (errors.NoSuchKey, errors.MultipleObjectsReturned) as error:
            raise self.trouble(error) from None

    def trouble(self, error: errors.PKCS11Error) -> TokenTrouble:
        """What the token answered, in words."""
        return token_trouble(
            error, self.sessions.access, _WHY[fault_kind(error, _WHY)], key=str(self.name)
        )

    def _in(self, session: OpenSession) -> Any:
        """The key in this session. Raises PKCS11Error."""
        name = (self.name.label, self.name.id)
        if name not in session.keys:
            session.keys[name] = session.raw.get_key(
                object_class=ObjectClass.PRIVATE_KEY,
                label=self.name.label or None,
                id=self.name.id or None,
            )
        return session.keys[name]

    # -- what stands beside it -----------------------------------------------------------------

    def public_key(self) -> TokenPublicKey:
        """The public half. Raises TokenTrouble, PrivateKeyError (a kind that we do not know)."""
        try:
            found = self.run(_public)
        except errors.PKCS11Error as error:
            raise self.trouble(error) from None
        if found is None:
            raise PrivateKeyError(
                problem(
                    "structure.token-key",
                    "the public half of {key} is not in the token, or of an unknown kind",
                    key=str(self.name),
                )
            )
        return found

    def certificates(self) -> tuple[bytes, ...]:
        """DER of the certificates that lie in the token under the id of the key. Raises
        TokenTrouble.
        """

        def find(key: Any) -> tuple[bytes, ...]:
            wanted = {
                Attribute.CLASS: ObjectClass.CERTIFICATE,
                Attribute.CERTIFICATE_TYPE: CertificateType.X_509,
                Attribute.ID: key[Attribute.ID],
            }
            if not wanted[Attribute.ID]:
                return ()
            return tuple(bytes(one[Attribute.VALUE]) for one in key.session.get_objects(wanted))

        try:
            return tuple(filter(_readable, self.run(find)))
        except errors.PKCS11Error as error:
            raise self.trouble(error) from None


def _public(key: Any) -> TokenPublicKey | None:
    kind = key[Attribute.KEY_TYPE]
    if kind == KeyType.RSA:
        modulus = int.from_bytes(key[Attribute.MODULUS], "big")
        exponent = int.from_bytes(_beside(key)[Attribute.PUBLIC_EXPONENT], "big")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    if kind not in (KeyType.EC, KeyType.EC_EDWARDS):
        return None
    point = bytes(_beside(key)[Attribute.EC_POINT])
    if kind == KeyType.EC_EDWARDS:
        octets = point if len(point) == 32 else bytes(core.OctetString.load(point, strict=True))
        return ed25519.Ed25519PublicKey.from_public_bytes(octets) if len(octets) == 32 else None
    try:
        named = core.ObjectIdentifier.load(bytes(key[Attribute.EC_PARAMS]), strict=True)
        curve = _CURVES[named.dotted]()
        if point[:1] != b"\x04" or len(point) != 1 + 2 * ((curve.key_size + 7) // 8):
            point = bytes(core.OctetString.load(point, strict=True))
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except (KeyError, ValueError):
        return None


def _beside(key: Any) -> Any:
    """The public key object of a pair: it has the same id (PKCS#11 v2.40 §4.9)."""
    return key.session.get_key(
        object_class=ObjectClass.PUBLIC_KEY, key_type=key[Attribute.KEY_TYPE], id=key[Attribute.ID]
    )


def _readable(der: bytes) -> bool:
    try:
        ParsedCertificate(der)
    except CertificateRefused:
        return False
    return True


_WHY = {
    errors.NoSuchKey: "there is no such private key: {key}",
    errors.MultipleObjectsReturned: "there are several private keys of this name: {key}",
    errors.PKCS11Error: "the key cannot be used ({key}, {module}): {reason}",
}
