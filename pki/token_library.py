"""A PKCS#11 module as this process has it loaded: one, whoever uses it.

It is told at its start that several threads will call it (C_Initialize with CKF_OS_LOCKING_OK,
PKCS#11 v2.40 §5.4): without, SoftHSM crashes under two threads, and python-pkcs11 does not say it.
C_Finalize under a call of another thread is undefined (ibidem): whoever starts the module anew
waits until nobody is inside it. A child of fork has to start it for itself, and has no session of
its parent's.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pkcs11 import _pkcs11 as native
from pkcs11 import exceptions as errors

_OK, _CANNOT_LOCK, _ALREADY = 0, 0x0A, 0x191  # CKR_OK, CKR_CANT_LOCK, …_ALREADY_INITIALIZED
_OS_LOCKING = 2  # CKF_OS_LOCKING_OK
_Call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)


class _FunctionList(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST, which is the same in all versions."""

    _fields_ = (("version", ctypes.c_ubyte * 2), ("initialize", _Call), ("finalize", _Call))


class _InitializeArgs(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = (("mutexes", ctypes.c_void_p * 4), ("flags", ctypes.c_ulong), ("r", ctypes.c_void_p))


class _Module(native.lib):
    """python-pkcs11's object for the module, started with leave to use threads. threads: whether
    it knows how to.
    """

    threads = True

    def initialize(self) -> None:
        """C_Initialize. Raises PKCS11Error."""
        args = _InitializeArgs(flags=_OS_LOCKING)
        answer = self._functions.initialize(ctypes.addressof(args))
        if answer == _CANNOT_LOCK:
            self.threads = False
            answer = self._functions.initialize(None)
        if answer not in (_OK, _ALREADY):
            raise errors.GeneralError(f"C_Initialize: {answer:#x}")

    def finalize(self) -> None:
        """C_Finalize; what it answers changes nothing."""
        self._functions.finalize(None)

    @property
    def _functions(self) -> Any:
        found = ctypes.POINTER(_FunctionList)()
        if ctypes.CDLL(self.so).C_GetFunctionList(ctypes.byref(found)) != _OK:
            raise errors.GeneralError("C_GetFunctionList")
        return found.contents


class Library:
    """generation: grows when the module is started anew; sessions of an older one are dead."""

    def __init__(self, module: Path, *, forked: bool) -> None:
        """forked: the module was started by the process that this one is a copy of.

        Raises PKCS11Error: the file is no PKCS#11 module, or it does not start.
        """
        self._quiet = threading.Condition()
        self._inside = 0
        self._restarting = False
        self.generation = 0
        self._module = _Module(str(module))
        if forked:
            self._module.finalize()
            self._module.initialize()

    @contextmanager
    def inside(self) -> Iterator[Any]:
        """The module, which nobody starts anew until the block ends."""
        with self._quiet:
            self._quiet.wait_for(self._has_room)
            self._inside += 1
        try:
            yield self._module
        finally:
            with self._quiet:
                self._inside -= 1
                self._quiet.notify_all()

    def _has_room(self) -> bool:
        return not self._restarting and (self._module.threads or self._inside == 0)

    def restart(self, generation: int) -> None:
        """Start it anew, unless somebody has since `generation`. Not from `inside`.

        A module that was cut off from its token finds it again only so. Raises PKCS11Error.
        """
        with self._quiet:
            self._quiet.wait_for(lambda: not self._restarting)
            if self.generation != generation:
                return
            self._restarting = True
            try:
                self._quiet.wait_for(lambda: self._inside == 0)
                self.generation += 1
                self._module.finalize()
                self._module.initialize()
            finally:
                self._restarting = False
                self._quiet.notify_all()


_MADE: dict[tuple[str, int], Library] = {}
_lock = threading.Lock()


def _unlock_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # the parent's may be held, by a thread that the child does not have


os.register_at_fork(after_in_child=_unlock_in_child)


def library_of(module: Path) -> Library:
    """The one of this process. Raises PKCS11Error."""
    name, pid = str(module), os.getpid()
    with _lock:
        found = _MADE.get((name, pid))
        if found is None:
            forked = any(other == name for other, _ in _MADE)
            found = _MADE[name, pid] = Library(module, forked=forked)
        return found
