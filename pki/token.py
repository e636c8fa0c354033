"""A key-encryption key in a PKCS#11 token (HSM): it wraps and unwraps there and never comes out.

AES-GCM by C_Encrypt and C_Decrypt is what tokens offer in common that binds a row to its address:
the AES key wraps (RFC 3394, RFC 5649) take no associated data, tokens disagree on the number of
the padded one, and C_UnwrapKey would make an object in the token that has to be read out again.
A token that chooses nonces itself (FIPS mode) appends its own behind the tag; that one is kept.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from cryptography.exceptions import InvalidTag
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass
from pkcs11 import exceptions as errors
from pkcs11.mechanisms import GCMParams

from pki.errors import KekTrouble, Problem, TokenTrouble
from pki.kek import CONTEXT
from pki.token_sessions import OpenSession, TokenSessions, fault_kind, token_trouble

_NONCE = 12
_TAG = 16


class TokenKek:
    """`pki.kek.Kek` in a token. Thread-safe. sessions: of the token; key: the AES key's label."""

    def __init__(self, sessions: TokenSessions, key: str) -> None:
        self._sessions = sessions
        self._label = key
        # Labels, not the serial number: the copy of the key in a second token is the same key.
        parts = (sessions.access.token.encode(), key.encode())
        named = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        self.name = hashlib.sha256(b"sceau/kek-token/1\0" + named).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"<TokenKek {self.name}>"

    def __reduce__(self) -> str:
        raise TypeError("an open token is not pickled")

    def wrap(self, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        """Nonce and ciphertext. Raises KekTrouble."""
        try:
            return self._sessions.run(lambda session: self._encrypt(session, plain, bound_to))
        except errors.PKCS11Error as error:
            raise self._trouble(error) from None
        except TokenTrouble as error:
            raise _of_kek(error.problem) from None

    def unwrap(self, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The plaintext. Raises InvalidTag, KekTrouble."""
        if len(wrapped) < _TAG:
            raise InvalidTag
        try:
            return self._sessions.run(
                lambda session: self._decrypt(session, nonce, wrapped, bound_to)
            )
        except errors.PKCS11Error as error:
            # Tokens have no common word for a wrong tag (SoftHSM: CKR_GENERAL_ERROR). What wraps
            # and unwraps something else just now is in order: then it is the row that is not.
            self._prove(error)
            raise InvalidTag from None
        except TokenTrouble as error:
            raise _of_kek(error.problem) from None

    def close(self) -> None:
        """End the sessions; the next use opens others."""
        self._sessions.close()

    def _prove(self, error: errors.PKCS11Error) -> None:
        plain = os.urandom(32)

        def there_and_back(session: OpenSession) -> bool:
            nonce, wrapped = self._encrypt(session, plain, b"")
            return self._decrypt(session, nonce, wrapped, b"") == plain

        try:
            if self._sessions.run(there_and_back):
                return
        except errors.PKCS11Error as other:
            error = other
        except TokenTrouble as trouble:
            raise _of_kek(trouble.problem) from None
        raise self._trouble(error) from None

    def _encrypt(self, session: OpenSession, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        # `param` must live until the call is over: the token reads the nonce where it lies.
        param = GCMParams(os.urandom(_NONCE), CONTEXT + bound_to, _TAG * 8)
        made = self._key(session).encrypt(
            plain, mechanism=Mechanism.AES_GCM, mechanism_param=param, buffer_size=len(plain) + 64
        )
        end = len(plain) + _TAG
        return (made[end:] or param.nonce), made[:end]

    def _decrypt(
        self, session: OpenSession, nonce: bytes, wrapped: bytes, bound_to: bytes
    ) -> bytes:
        param = GCMParams(b"", CONTEXT + bound_to, _TAG * 8)
        param.nonce = nonce  # the class refuses the 16 octets that some tokens choose
        return bytes(
            self._key(session).decrypt(
                wrapped,
                mechanism=Mechanism.AES_GCM,
                mechanism_param=param,
                buffer_size=len(wrapped) + _TAG,
            )
        )

    def _key(self, session: OpenSession) -> Any:
        """The key in this session. Raises PKCS11Error."""
        name = ("kek", self._label)
        if name not in session.keys:
            key = session.raw.get_key(
                object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=self._label
            )
            if key[Attribute.VALUE_LEN] != 32:
                raise errors.KeySizeRange
            session.keys[name] = key
        return session.keys[name]

    def _trouble(self, error: errors.PKCS11Error) -> KekTrouble:
        return _of_kek(
            token_trouble(
                error, self._sessions.access, _WHY[fault_kind(error, _WHY)], key=self._label
            ).problem
        )


def _of_kek(found: Problem) -> KekTrouble:
    return KekTrouble(Problem("kek.token", found.template, found.facts))


_NO_GCM = "the token {token} does not do AES-GCM with the key {key}: {reason}"
_WHY = {
    errors.NoSuchKey: "the token {token} holds no AES key with the label {key}",
    errors.MultipleObjectsReturned: "the token {token} holds several AES keys labelled {key}",
    errors.KeySizeRange: "the key {key} in the token {token} is not one of 256 bits",
    errors.MechanismInvalid: _NO_GCM,
    errors.MechanismParamInvalid: _NO_GCM,
    errors.FunctionNotSupported: _NO_GCM,
    errors.KeyTypeInconsistent: _NO_GCM,
    errors.PKCS11Error: (
        "the key-encryption key {key} in the token {token} ({module}) cannot be used: {reason}"
    ),
}
