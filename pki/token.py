"""A key-encryption key in a PKCS#11 token (HSM): it wraps and unwraps there and never comes out.

AES-GCM by C_Encrypt and C_Decrypt is what tokens offer in common that binds a row to its address:
the AES key wraps (RFC 3394, RFC 5649) take no associated data, tokens disagree on the number of
the padded one, and C_UnwrapKey would make an object in the token that has to be read out again.
A token that chooses nonces itself (FIPS mode) appends its own behind the tag; that one is kept.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pkcs11
from cryptography.exceptions import InvalidTag
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, TokenFlag
from pkcs11 import exceptions as errors
from pkcs11.mechanisms import GCMParams

from pki.errors import KekTrouble, PrivateKeyError, problem
from pki.kek import CONTEXT, read_private

T = TypeVar("T")

_NONCE = 12
_TAG = 16
_PAUSE = 2.0  # seconds between attempts to find a token that is not there: it may take long


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a token key is. module: library; token, key: labels; pin_file: 0600, the user PIN."""

    module: Path
    token: str
    key: str
    pin_file: Path


class TokenKek:
    """`pki.kek.Kek` in a token. Thread-safe; opened when first used, opened anew after a loss.

    A PIN that the token refused is never sent again: three wrong ones lock many tokens for good.
    The PIN is not kept; the file is read again when a session has to be opened again.
    """

    def __init__(self, place: TokenPlace) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._session: Any = None
        self._key: Any = None
        self._pid = os.getpid()
        self._failed: tuple[bytes, float, KekTrouble] | None = None
        # Labels, not the serial number: the copy of the key in a second token is the same key.
        parts = (place.token.encode(), place.key.encode())
        named = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        self.name = hashlib.sha256(b"sceau/kek-token/1\0" + named).hexdigest()[:32]

    def __repr__(self) -> str:
        return f"<TokenKek {self.name}>"

    def __reduce__(self) -> str:
        raise TypeError("an open token is not pickled")

    def wrap(self, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        """Nonce and ciphertext. Raises KekTrouble."""
        with self._lock:
            return self._attempt(lambda: self._encrypt(plain, bound_to))

    def unwrap(self, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        """The plaintext. Raises InvalidTag, KekTrouble."""
        if len(wrapped) < _TAG:
            raise InvalidTag
        with self._lock:
            return self._attempt(lambda: self._decrypt(nonce, wrapped, bound_to))

    def close(self) -> None:
        """End the session; the next use opens another."""
        with self._lock:
            self._forget()

    def _attempt(self, act: Callable[[], T]) -> T:
        """Do it; after a fault once more with a new session."""
        if self._key is None or self._pid != os.getpid():
            self._open()
        try:
            return act()
        except errors.PKCS11Error:
            self._open()
        try:
            return act()
        except errors.PKCS11Error as error:
            # Tokens have no common word for a wrong tag (SoftHSM: CKR_GENERAL_ERROR). What wraps
            # and unwraps something else just now is in order: then it is the row that is not.
            self._prove(error)
            raise InvalidTag from None

    def _prove(self, error: errors.PKCS11Error) -> None:
        try:
            plain = os.urandom(32)
            nonce, wrapped = self._encrypt(plain, b"")
            if self._decrypt(nonce, wrapped, b"") == plain:
                return
        except errors.PKCS11Error as other:
            error = other
        raise self._trouble(error) from None

    def _encrypt(self, plain: bytes, bound_to: bytes) -> tuple[bytes, bytes]:
        # `param` must live until the call is over: the token reads the nonce where it lies.
        param = GCMParams(os.urandom(_NONCE), CONTEXT + bound_to, _TAG * 8)
        made = self._key.encrypt(
            plain, mechanism=Mechanism.AES_GCM, mechanism_param=param, buffer_size=len(plain) + 64
        )
        end = len(plain) + _TAG
        return (made[end:] or param.nonce), made[:end]

    def _decrypt(self, nonce: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
        param = GCMParams(b"", CONTEXT + bound_to, _TAG * 8)
        param.nonce = nonce  # the class refuses the 16 octets that some tokens choose
        return bytes(
            self._key.decrypt(
                wrapped,
                mechanism=Mechanism.AES_GCM,
                mechanism_param=param,
                buffer_size=len(wrapped) + _TAG,
            )
        )

    # -- opening -------------------------------------------------------------------------------

    def _open(self) -> None:
        """A session with the key in it. Raises KekTrouble."""
        try:
            pin = read_private(self._place.pin_file, 1024).removesuffix(b"\n").removesuffix(b"\r")
        except PrivateKeyError as error:
            raise KekTrouble(error.problem) from error
        digest = hashlib.sha256(pin).digest()
        if self._failed is not None:
            tried, when, trouble = self._failed
            if tried == digest and time.monotonic() < when:
                raise KekTrouble(trouble.problem)
        self._forget()
        try:
            try:
                self._enter(pin)
            except _PIN_FAULTS:
                raise
            except errors.PKCS11Error:
                # A module that was cut off from its token finds it again when it starts anew.
                self._forget()
                self._library().reinitialize()
                self._enter(pin)
        except errors.PKCS11Error as error:
            self._forget()
            trouble = self._trouble(error)
            never = isinstance(error, _PIN_FAULTS)
            self._failed = (digest, math.inf if never else time.monotonic() + _PAUSE, trouble)
            raise trouble from None
        self._failed = None

    def _enter(self, pin: bytes) -> None:
        try:
            text = pin.decode()
        except UnicodeDecodeError:
            raise errors.PinInvalid from None
        token = self._library().get_token(token_label=self._place.token)
        if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
            raise _LastTryError
        try:
            session = token.open(user_pin=text)
        except errors.UserAlreadyLoggedIn:  # by another key of ours in this process
            session = token.open()
        self._session = session
        key = session.get_key(
            object_class=ObjectClass.SECRET_KEY, key_type=KeyType.AES, label=self._place.key
        )
        if key[Attribute.VALUE_LEN] != 32:
            raise errors.KeySizeRange
        self._key = key

    def _library(self) -> Any:
        library = pkcs11.lib(str(self._place.module))
        if self._pid != os.getpid():
            # A child of fork has to start the library itself (PKCS#11 v2.40, C_Initialize).
            self._pid = os.getpid()
            with suppress(errors.PKCS11Error):
                library.finalize()
            library.initialize()
        return library

    def _forget(self) -> None:
        session, self._session, self._key = self._session, None, None
        if session is not None and self._pid == os.getpid():
            with suppress(errors.PKCS11Error):
                session.close()

    def _trouble(self, error: errors.PKCS11Error) -> KekTrouble:
        kind = next(kind for kind in type(error).__mro__ if kind in _WHY)
        reason = " ".join(str(error).split())[:200]
        return KekTrouble(
            problem(
                "kek.token",
                _WHY[kind],
                key=self._place.key,
                token=self._place.token,
                file=str(self._place.pin_file),
                module=str(self._place.module),
                reason=f"{type(error).__name__} {reason}".rstrip(),
            )
        )


class _LastTryError(errors.PKCS11Error):
    """One more wrong PIN would lock the token."""


_PIN_REFUSED = (
    "the token {token} refuses the PIN in {file}; it is not sent again until that file changes"
)
_NO_GCM = "the token {token} does not do AES-GCM with the key {key}: {reason}"
_WHY = {
    errors.NoSuchToken: "there is no token {token}: is it connected, and known to {module}?",
    errors.TokenNotPresent: "there is no token {token}: is it connected, and known to {module}?",
    errors.MultipleTokensReturned: "there are several tokens with the label {token}",
    errors.NoSuchKey: "the token {token} holds no AES key with the label {key}",
    errors.MultipleObjectsReturned: "the token {token} holds several AES keys labelled {key}",
    errors.KeySizeRange: "the key {key} in the token {token} is not one of 256 bits",
    errors.PinIncorrect: _PIN_REFUSED,
    errors.PinInvalid: _PIN_REFUSED,
    errors.PinLenRange: _PIN_REFUSED,
    errors.PinExpired: "the PIN of the token {token} has expired: set a new one",
    errors.PinLocked: "the PIN of the token {token} is locked: its security officer can unlock it",
    errors.UserPinNotInitialized: "the token {token} has no user PIN yet",
    _LastTryError: (
        "one more wrong PIN would lock the token {token}: log in to it once by other means, "
        "then try again"
    ),
    errors.MechanismInvalid: _NO_GCM,
    errors.MechanismParamInvalid: _NO_GCM,
    errors.FunctionNotSupported: _NO_GCM,
    errors.KeyTypeInconsistent: _NO_GCM,
    errors.PKCS11Error: (
        "the key-encryption key {key} in the token {token} ({module}) cannot be used: {reason}"
    ),
}
_PIN_FAULTS = (
    errors.PinIncorrect,
    errors.PinInvalid,
    errors.PinLenRange,
    errors.PinExpired,
    errors.PinLocked,
    errors.UserPinNotInitialized,
    _LastTryError,
)
