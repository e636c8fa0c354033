"""On the path of a gateway's processes, in tests only: mails that say so break what works on them.

The product has no such door: this changes a process from outside, before it runs.
"""

from __future__ import annotations

import sys


def _break_by(raw: bytes, where: bytes) -> None:
    """`X-Poison: seal segv` and the like, in the header."""
    head = raw[:2000]
    if b"\r\nX-Poison: " + where not in head:
        return
    how = head.partition(b"\r\nX-Poison: " + where)[2].split()[0]
    if how == b"segv":
        import ctypes

        ctypes.string_at(0)
    elif how == b"loop":
        # In one opcode, with the interpreter's lock held: no thread could end it.
        import re

        re.match(rb"(a*)*b", b"a" * 60)
    elif how == b"memory":
        raise MemoryError
    elif how == b"recursion":
        raise RecursionError


if "gateway.roles" in sys.orig_argv:
    import gateway.mime.text
    import gateway.outbound.steps

    _split, _extract = gateway.outbound.steps.split, gateway.mime.text.extract

    def _poisoned_split(raw):  # type: ignore[no-untyped-def]
        _break_by(raw, b"seal")
        return _split(raw)

    def _poisoned_extract(raw):  # type: ignore[no-untyped-def]
        _break_by(raw, b"index")
        return _extract(raw)

    gateway.outbound.steps.split = _poisoned_split
    gateway.mime.text.extract = _poisoned_extract
