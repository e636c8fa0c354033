"""The worker's own side: takes one message after the other, until whoever asks is gone.

    python -P -m gateway.guard.inside PARENT

is how a pool starts one; its socket is file descriptor 3. The first frame names the factory, a
function that takes a JSON configuration and gives the guarded function.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.guard import walls
from gateway.guard.answer import Function
from gateway.guard.budget import Budget
from gateway.guard.frames import head, read_header

SOCKET = 3

_ROOT = Path(__file__).resolve().parents[2]


def serve(
    connection: socket.socket,
    stream: BufferedReader,
    function: Function,
    budget: Budget,
    *,
    files: bool,
) -> None:
    """Say that work can begin, then answer until the other end is closed.

    stream: reads from `connection`. files: as `walls.shut_in`.
    """
    meter = walls.Meter()
    walls.shut_in(files=files)
    connection.sendall(head({"ready": True}, 0))
    while (found := read_header(stream)) is not None:
        about, size = found
        meter.begin(budget.processor(size), budget.resident(size))
        beginning, octets = _work(stream.read(size), about, function, budget)
        if meter.end():  # between two looks of who watches; what was found without it is not true
            beginning, octets = _over("memory")
        connection.sendall(beginning)
        connection.sendall(octets)
        del found, about, beginning, octets  # a message must not lie here until the next one


def _work(
    data: bytes, about: Mapping[str, Any], function: Function, budget: Budget
) -> tuple[bytes, bytes | bytearray]:
    """One answer. `over` names a limit, `fault` a fault of ours."""
    try:
        answer = function(data, about)
        beginning = head({"answer": answer.value}, len(answer.octets))
    except MemoryError:
        return _over("memory")
    except RecursionError:
        return _over("depth")
    except BaseException as error:  # noqa: BLE001 - even SystemExit is an answer about this message
        return head({"fault": [type(error).__name__, _place(error.__traceback__)]}, 0), b""
    return (beginning, answer.octets) if len(beginning) <= budget.answer else _over("answer")


def _over(limit: str) -> tuple[bytes, bytes]:
    return head({"over": limit}, 0), b""


def _place(trace: TracebackType | None) -> str:
    """Innermost line of our own that an exception passed: "gateway/smime/cms.py:80"."""
    place = "?"
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(_ROOT):
            place = f"{file.relative_to(_ROOT)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def main() -> None:
    """A worker of a pool."""
    walls.be_alone(int(sys.argv[1]))
    connection = socket.socket(fileno=SOCKET)
    connection.set_inheritable(False)
    stream = connection.makefile("rb")
    found = read_header(stream)
    if found is None:
        return
    start, _ = found
    try:
        module, _, name = start["factory"].partition(":")
        function = getattr(import_module(module), name)(start["config"])
        _import_codecs()
    except Exception as error:  # noqa: BLE001 - it is told to whoever wants to start it
        connection.sendall(head({"failed": f"{type(error).__name__}: {error}"[:500]}, 0))
        return
    serve(connection, stream, function, Budget(**start["budget"]), files=False)


def _import_codecs() -> None:
    """All charsets: Python imports each when a mail first names it, and then it is too late."""
    import encodings
    from contextlib import suppress
    from pkgutil import iter_modules

    for module in iter_modules(encodings.__path__):
        with suppress(ImportError):  # of other systems
            import_module(f"encodings.{module.name}")


if __name__ == "__main__":
    main()
    os._exit(0)
