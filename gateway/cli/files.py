"""Files that commands read and write: several at once, one report each, nothing overwritten."""

from __future__ import annotations

import errno
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.cli.border import explained
from gateway.cli.exits import CANNOT_TELL, DONE, NO, USAGE, worst
from gateway.cli.output import Output, output_of
from gateway.errors import SceauError
from pki.bounded_file import LARGEST_SECRET, read_bounded, read_stream
from pki.errors import Problem

STANDARD_INPUT = Path("-")


def expand(paths: Iterable[Path]) -> list[Path]:
    """The files meant: a folder stands for all files directly in it, in order of name.

    Raises SceauError for a folder without files: a command that has checked nothing must not end
    like one that found everything in order.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        within = sorted(item for item in path.iterdir() if item.is_file())
        if not within:
            raise SceauError("there is no file in {folder}", facts={"folder": str(path)})
        found += within
    return found


def read(path: Path) -> bytes:
    """A file, or standard input for "-", as large as files may be. Raises OSError."""
    if path != STANDARD_INPUT:
        return read_bounded(path)
    if sys.stdin is None:  # started with it closed
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdin")
    return read_stream(sys.stdin.buffer, "stdin")


def read_password(path: Path | None) -> bytes | None:
    """The password in a file, without the newline that editors put at its end. Raises OSError."""
    if path is None:
        return None
    return read_bounded(path, LARGEST_SECRET).removesuffix(b"\n").removesuffix(b"\r")


class Sink:
    """Where results go: standard output, a file, or a folder with the names of the inputs."""

    def __init__(self, out: Path | None, inputs: list[Path], *, as_json: bool) -> None:
        """Raises SceauError where a result would have no place."""
        self._out = out
        self._folder = out is not None and (len(inputs) > 1 or out.is_dir())
        if out is None and len(inputs) > 1:
            raise SceauError(
                "there are {count} files and one standard output",
                hint="name a folder with --out",
                facts={"count": str(len(inputs))},
            )
        if out is None and as_json:
            raise SceauError(
                "--json and the result cannot both go to standard output", hint="give --out, too"
            )
        if out is not None and self._folder:
            out.mkdir(parents=True, exist_ok=True)

    def write(self, source: Path, *pieces: bytes | bytearray) -> str:
        """Write one result, all of it or nothing; its name ("" is standard output).

        pieces: its octets, one after the other; a copy of a large mail is not made.

        Raises FileExistsError rather than overwrite, OSError.
        """
        if self._out is None:
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return ""
        name = "stdin" if source == STANDARD_INPUT else source.name
        target = self._out / name if self._folder else self._out
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    file.write(piece)
        except OSError:
            target.unlink(missing_ok=True)
            raise
        return str(target)


# Of files that cannot be done; what is not here is malformed.
_UNDONE: Mapping[str, int] = {"refused": NO, "indeterminate": CANNOT_TELL}


class FileProblem(Exception):
    """One file cannot be done.

    status: "refused" (exit code 1), "malformed" (2) or "indeterminate" (3).
    """

    def __init__(self, status: str, problem: Problem) -> None:
        super().__init__(problem.text)
        self.status = status
        self.problem = problem


_CODES: Mapping[str, int] = {"malformed": USAGE}
_NOTHING: Mapping[str, Any] = {}


def each_file(
    args: Namespace,
    inputs: list[Path],
    work: Callable[[Path], dict[str, Any]],
    *,
    codes: Mapping[str, int] = _CODES,
    empty: Mapping[str, Any] = _NOTHING,
) -> int:
    """Do `work` for every file; one error does not end the others. The worst exit code.

    work: gives what stands in the JSON line beside `file`; raises FileProblem or OSError for a
    file that cannot be done. codes: the exit code of each `status`, 0 for others. empty: what a
    JSON line holds, too, where `work` gave none.
    """
    output = output_of(args)
    return worst([_one(output, path, work, codes, empty) for path in inputs])


def _one(
    output: Output,
    path: Path,
    work: Callable[[Path], dict[str, Any]],
    codes: Mapping[str, int],
    empty: Mapping[str, Any],
) -> int:
    try:
        record = work(path)
        code = codes.get(record["status"], DONE)
    except FileProblem as error:
        code = _UNDONE.get(error.status, USAGE)
        _note(output, path, output.problem(error.problem))
        record = {
            **empty,
            "status": error.status,
            "problems": [{"code": error.problem.code, "text": error.problem.text}],
        }
    except OSError as error:
        lines, code = explained(error, output)
        if isinstance(error, BrokenPipeError) or not lines:
            raise
        _note(output, path, lines[0])
        record = {
            **empty,
            "status": "malformed",
            "problems": [
                {"code": "structure.file", "text": error.strerror or type(error).__name__}
            ],
        }
    if output.as_json:
        output.record({"file": str(path), **record})
    return code


def _note(output: Output, path: Path, reason: str) -> None:
    output.note("{file}: {reason}", file=str(path), reason=reason)
