"""Sessions of a PKCS#11 token: pooled for threads, opened anew after a loss, careful with the PIN.

A PIN that the token refused is never sent again: three wrong ones lock many tokens for good. It is
not kept either; its file is read when the process has to log in. One login is enough for all
sessions of a process (PKCS#11 v2.40 §2.6), so whoever uses a token shares the `TokenSessions` of it
(`Tokens`): otherwise each user of the token would send the wrong PIN once.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pkcs11 import Attribute, TokenFlag
from pkcs11 import exceptions as errors

from pki.errors import PrivateKeyError, TokenTrouble, problem
from pki.kek import read_private
from pki.token_access import TokenAccess
from pki.token_library import Library, library_of

T = TypeVar("T")

_PAUSE = 2.0  # seconds between attempts to find a token that is not there: it may take long
_MOST = 16  # sessions that lie ready; tokens in a network have few hundred for all their clients


@dataclass(slots=True, eq=False)
class OpenSession:
    """A session, for one thread at a time. keys: found in it, by what finds them.

    generation, login: of the module and of the token, when it was opened.
    """

    raw: Any
    generation: int
    login: int
    keys: dict[object, Any] = field(default_factory=dict)
    dead: bool = False

    @property
    def answers(self) -> bool:
        """Whether session and login still stand: a private object can be read only then."""
        try:
            for key in self.keys.values():
                _ = key[Attribute.KEY_TYPE]
                return True
        except errors.PKCS11Error:
            return False
        return False


class _State:
    """What one process has of a token; a child of fork begins with nothing."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.free: list[OpenSession] = []
        self.owner: Any = None  # the session that logged in: closing it logs out all others
        self.login = 0
        self.generation = -1
        self.failed: tuple[bytes, float, TokenTrouble] | None = None


class TokenSessions:
    """The sessions of one token. Thread-safe; logs in when first used, anew after a loss."""

    def __init__(self, access: TokenAccess) -> None:
        self.access = access
        self._states: dict[int, _State] = {}

    def __repr__(self) -> str:
        return f"<TokenSessions {self.access.token}>"

    def __reduce__(self) -> str:
        raise TypeError("an open token is not pickled")

    def run(self, act: Callable[[OpenSession], T]) -> T:
        """Do it in a session that nobody else uses meanwhile; once more if that one was dead.

        Raises TokenTrouble: the token cannot be reached. PKCS11Error: it can, and refuses this.
        """
        try:
            with self._session() as session:
                return self._try(act, session)
        except _DeadError as dead:
            self._enter_again(dead)
        try:
            with self._session() as session:
                try:
                    return act(session)
                except errors.PKCS11Error:
                    session.dead = not session.answers
                    raise
        except _DeadError as dead:
            raise _trouble(dead.error, self.access) from None

    def close(self) -> None:
        """Log out and close all; the next use begins anew."""
        state = self._state()
        with suppress(errors.PKCS11Error), library_of(self.access.module).inside(), state.lock:
            self._forget(state, library_of(self.access.module))

    # -- sessions ------------------------------------------------------------------------------

    def _try(self, act: Callable[[OpenSession], T], session: OpenSession) -> T:
        try:
            return act(session)
        except errors.PKCS11Error as error:
            # Tokens have no common word for a dead session, and none for data that they refuse:
            # what still answers is in order. (Else bad mail would make us log in for each.)
            if session.answers:
                raise
            session.dead = True
            raise _DeadError(error, session.generation, session.login) from None

    @contextmanager
    def _session(self) -> Iterator[OpenSession]:
        try:
            library = library_of(self.access.module)
        except errors.PKCS11Error as error:
            raise _trouble(error, self.access) from None
        state = self._state()
        with library.inside() as module:
            session = self._take(state, library, module)
            try:
                yield session
            finally:
                self._give(state, session, library)

    def _take(self, state: _State, library: Library, module: Any) -> OpenSession:
        with state.lock:
            if state.generation != library.generation or state.owner is None:
                self._enter(state, library, module)
            if state.free:
                return state.free.pop()
            login = state.login
        try:
            raw = self._token(module).open()
        except errors.PKCS11Error as error:
            raise _DeadError(error, library.generation, login) from None
        return OpenSession(raw, library.generation, login)

    def _give(self, state: _State, session: OpenSession, library: Library) -> None:
        if session.generation != library.generation:
            return  # the module was started anew: its number may be that of another session now
        with state.lock:
            if not session.dead and session.login == state.login and len(state.free) < _MOST:
                state.free.append(session)
                return
        with suppress(errors.PKCS11Error):
            session.raw.close()

    # -- logging in ----------------------------------------------------------------------------

    def _enter(self, state: _State, library: Library, module: Any) -> None:
        """Log in. Raises TokenTrouble; _DeadError if the module has to be started anew first."""
        pin, digest = self._pin()
        if state.failed is not None:
            tried, when, trouble = state.failed
            if tried == digest and time.monotonic() < when:
                raise TokenTrouble(trouble.problem)
        self._forget(state, library)
        try:
            token = self._token(module)
            if token.flags & TokenFlag.USER_PIN_FINAL_TRY:
                raise _LastTryError
            try:
                owner = token.open(user_pin=pin.decode())
            except errors.UserAlreadyLoggedIn:  # by somebody else in this process
                owner = token.open()
            except UnicodeDecodeError:
                raise errors.PinInvalid from None
        except _PIN_FAULTS as error:
            trouble = _trouble(error, self.access)
            state.failed = (digest, math.inf, trouble)
            raise trouble from None
        except errors.PKCS11Error as error:
            raise _DeadError(error, library.generation, state.login) from None
        state.failed = None
        state.owner, state.generation = owner, library.generation
        state.login += 1

    def _enter_again(self, dead: _DeadError) -> None:
        """Log in anew; start the module anew if that is not enough. Raises TokenTrouble."""
        library, state = library_of(self.access.module), self._state()
        for fresh in (False, True):
            if fresh:
                try:
                    library.restart(dead.generation)
                except errors.PKCS11Error as error:
                    raise self._missing(state, error) from None
            with library.inside() as module, state.lock:
                if state.login != dead.login and state.generation == library.generation:
                    return  # somebody else was quicker
                try:
                    self._enter(state, library, module)
                except _DeadError as error:
                    if fresh:
                        raise self._missing(state, error.error) from None
                else:
                    return

    def _missing(self, state: _State, error: errors.PKCS11Error) -> TokenTrouble:
        """The token cannot be reached: it is not looked for again at once."""
        with state.lock:
            trouble = _trouble(error, self.access)
            state.failed = (self._pin()[1], time.monotonic() + _PAUSE, trouble)
        return trouble

    def _pin(self) -> tuple[bytes, bytes]:
        """The PIN, and what it is known by. Raises TokenTrouble."""
        try:
            pin = read_private(self.access.pin_file, 1024).removesuffix(b"\n").removesuffix(b"\r")
        except PrivateKeyError as error:
            raise TokenTrouble(error.problem) from None
        return pin, hashlib.sha256(pin).digest()

    def _token(self, module: Any) -> Any:
        serial = self.access.serial.encode() or None
        return module.get_token(token_label=self.access.token, token_serial=serial)

    def _forget(self, state: _State, library: Library) -> None:
        free, state.free = state.free, []
        owner, state.owner = state.owner, None
        if state.generation != library.generation:
            return  # they ended with the module
        for raw in (*(session.raw for session in free), owner):
            if raw is not None:
                with suppress(errors.PKCS11Error):
                    raw.close()

    def _state(self) -> _State:
        return self._states.setdefault(os.getpid(), _State())


class Tokens:
    """The tokens that a process uses, each with one `TokenSessions`."""

    def __init__(self) -> None:
        self._known: dict[TokenAccess, TokenSessions] = {}

    def at(self, access: TokenAccess) -> TokenSessions:
        """The sessions of that token."""
        return self._known.setdefault(access, TokenSessions(access))


class _DeadError(Exception):
    """Session, login or module do not stand any more."""

    def __init__(self, error: errors.PKCS11Error, generation: int, login: int) -> None:
        super().__init__()
        self.error, self.generation, self.login = error, generation, login


class _LastTryError(errors.PKCS11Error):
    """One more wrong PIN would lock the token."""


_PIN_REFUSED = (
    "the token {token} refuses the PIN in {file}; it is not sent again until that file changes"
)
_WHY = {
    errors.NoSuchToken: "there is no token {token}: is it connected, and known to {module}?",
    errors.TokenNotPresent: "there is no token {token}: is it connected, and known to {module}?",
    errors.MultipleTokensReturned: "there are several tokens with the label {token}",
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
    errors.PKCS11Error: "the token {token} ({module}) cannot be used: {reason}",
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


def fault_kind(
    error: errors.PKCS11Error, known: Mapping[type[errors.PKCS11Error], str]
) -> type[errors.PKCS11Error]:
    """The closest kind that `known` has a word for; it has one for PKCS11Error."""
    return next(kind for kind in type(error).__mro__ if kind in known)


def token_trouble(
    error: errors.PKCS11Error, access: TokenAccess, template: str, **facts: str
) -> TokenTrouble:
    """What a token answered, in words. template: with the places of `facts`, and {token}, {file},
    {module}, {reason}.
    """
    reason = " ".join(str(error).split())[:200]
    return TokenTrouble(
        problem(
            "token.unusable",
            template,
            token=access.token,
            file=str(access.pin_file),
            module=str(access.module),
            reason=f"{type(error).__name__} {reason}".rstrip(),
            **facts,
        )
    )


def _trouble(error: errors.PKCS11Error, access: TokenAccess) -> TokenTrouble:
    return token_trouble(error, access, _WHY[fault_kind(error, _WHY)])
