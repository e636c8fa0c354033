"""What the guarded workers of the tests are asked to do: mostly what no message may do."""

from __future__ import annotations

import ctypes
import email
import hashlib
import os
import re
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gateway.guard.answer import Answer, Function

MEGABYTE = 1 << 20
LEAKED: list[bytes] = []


def factory(config: Mapping[str, Any]) -> Function:
    """A function that does what `about["do"]` says."""

    def run(data: bytes, about: Mapping[str, Any]) -> Answer:
        return ACTS[about.get("do", "digest")](data, {**config, **about})

    return run


def broken(config: Mapping[str, Any]) -> Function:
    """Cannot be set up."""
    raise ValueError(f"no such thing as {config['thing']}")


def _digest(data: bytes, about: Mapping[str, Any]) -> Answer:
    return Answer({"sha256": hashlib.sha256(data).hexdigest(), "pid": os.getpid(), **about})


def _spin(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    while True:
        pass


def _spin_in_c(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    re.match(r"(a+)+$", "a" * 200 + "b")  # one call, which holds the interpreter to itself
    raise AssertionError


def _allocate(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    """Objects, a little at a time."""
    kept: list[Any] = []
    while True:
        kept.append([str(len(kept))] * 10)


def _allocate_at_once(_data: bytes, about: Mapping[str, Any]) -> Answer:
    kept = b"x" * (about["megabytes"] * MEGABYTE)
    return Answer({"size": len(kept)})


def _leak(data: bytes, _about: Mapping[str, Any]) -> Answer:
    LEAKED.append(b"x" * (4 * MEGABYTE) + data)
    return Answer({"pid": os.getpid()})


def _hide_memory_error(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    """What a parser does that takes every exception for damage."""
    kept: list[Any] = []
    while True:
        try:
            kept.append(b"x" * MEGABYTE)
        except Exception:  # noqa: BLE001
            return Answer({"hidden": True})


def _recurse(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    return _recurse(_data, _about)


def _parse_and_write(data: bytes, _about: Mapping[str, Any]) -> Answer:
    """The library everybody uses, on nested parts (threats F12)."""
    return Answer({}, email.message_from_bytes(data).as_bytes())


def _segfault(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    ctypes.string_at(0)
    raise AssertionError


def _abort(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    os.abort()


def _exit(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    os._exit(3)


def _system_exit(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    sys.exit(0)


def _stop(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    os.kill(os.getpid(), signal.SIGSTOP)
    return Answer({})


def _sleep(_data: bytes, about: Mapping[str, Any]) -> Answer:
    time.sleep(about.get("seconds", 1000))
    return Answer({"pid": os.getpid()})


def _chatter(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    """On standard output, as a library might."""
    print("hello", flush=True)
    os.write(1, b"\x00\x00\x00\x05hello")
    os.write(2, b"hello")
    return Answer({"said": True})


def _too_much(_data: bytes, about: Mapping[str, Any]) -> Answer:
    return Answer({"text": "x" * (about["megabytes"] * MEGABYTE)})


def _echo(data: bytes, _about: Mapping[str, Any]) -> Answer:
    return Answer({}, data)


def _no_json(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    return Answer({"what": object()})


def _fault(data: bytes, _about: Mapping[str, Any]) -> Answer:
    raise KeyError(f"the message says {data!r}")


def _leave_child(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    """A child that holds all that its parent holds, and a parent that dies."""
    if not os.fork():
        time.sleep(1000)
    os._exit(3)


def _fork(_data: bytes, about: Mapping[str, Any]) -> Answer:
    pid = os.fork()
    if not pid:
        time.sleep(1000)
    return Answer({"child": pid})


def _open_socket(_data: bytes, _about: Mapping[str, Any]) -> Answer:
    socket.socket()
    return Answer({})


def _open_file(_data: bytes, about: Mapping[str, Any]) -> Answer:
    Path(about["file"]).write_bytes(b"x")
    return Answer({})


def _lie(_data: bytes, about: Mapping[str, Any]) -> Answer:
    """What a worker might say that somebody has taken over. say: JSON of an answer, or octets."""
    if "octets" in about:
        said = bytes.fromhex(about["octets"])
    else:
        text = about["say"].encode("utf-8", "surrogatepass")
        said = len(text).to_bytes(4, "big") + bytes(8) + text
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(link.name)).st_mode):
                os.write(int(link.name), said)
    time.sleep(1000)
    raise AssertionError


def _charset(data: bytes, about: Mapping[str, Any]) -> Answer:
    return Answer({"text": data.decode(about["charset"])})


ACTS: dict[str, Callable[[bytes, Mapping[str, Any]], Answer]] = {
    name[1:]: act for name, act in list(globals().items()) if name[0] == "_" and callable(act)
}
