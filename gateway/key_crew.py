"""The processes that open and check persons' keys for `gateway.key_import`.

Nothing secret comes back from them: a key is wrapped where it was opened.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from gateway.errors import SceauError
from gateway.key_path import PathJudge
from gateway.wiring import Wiring
from pki.errors import KekTrouble, PkiError, Problem, problem
from pki.persons import CheckedKey, Use, check_p12

_WINDOW = 64  # files that are under way at most


@dataclass(frozen=True, slots=True)
class Job:
    """One file. address: None for all addresses of ours in the certificate.

    consent_of: who agrees to be signed for, "" for nobody; basis: on what ground.
    """

    file: Path
    password: bytes | None = field(repr=False)
    address: str | None = None
    consent_of: str = ""
    basis: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all files of one run. strict_path: refuse without a path to an anchor.

    use: what the keys are brought in for.
    """

    domains: tuple[str, ...]
    moment: datetime
    strict_path: bool
    use: Use = Use.SIGN


@dataclass(frozen=True, slots=True)
class Known:
    """A file whose key is stored already."""

    addresses: tuple[str, ...]
    certificate_sha256: str


Found = CheckedKey | Known | Problem


class Checker:
    """Opens and checks one file after the other, in this process."""

    def __init__(self, config: Path, rules: Rules) -> None:
        self._wiring = Wiring.from_file(config)
        self._rules = rules
        self._keks = self._wiring.keks
        self._path = PathJudge(self._wiring.trust.current().material, strict=rules.strict_path)

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_error: object) -> None:
        self._wiring.close()

    def __call__(self, job: Job, data: bytes) -> CheckedKey | Problem:
        """Raises KekTrouble: no other file would fare better."""
        try:
            return check_p12(
                data,
                job.password,
                name=job.file.name,
                address=job.address,
                domains=self._rules.domains,
                keks=self._keks,
                moment=self._rules.moment,
                path=self._path,
                use=self._rules.use,
            )
        except KekTrouble:
            raise
        except PkiError as error:
            return error.problem
        except Exception as error:  # noqa: BLE001 - one odd file must not keep out all others
            # Its kind alone: what it says may quote the file, and the file holds a key.
            return problem(
                "limits.internal",
                "{file} led to an internal fault ({kind})",
                file=job.file.name,
                kind=type(error).__name__,
            )


class Crew:
    """Processes that check; each has a pipe, and one file at a time in its hands."""

    def __init__(self, count: int, config: Path, rules: Rules) -> None:
        self._count = count
        self._of_each = (config, rules)
        self._members: list[tuple[BaseProcess, Connection]] = []

    def _start(self) -> deque[Connection]:
        """They are started for the first file that has to be opened: it takes them a second."""
        # Not forked: a child of fork would share the parent's database and token sessions.
        context = multiprocessing.get_context("spawn")
        for _ in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, *self._of_each), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))
        return deque(pipe for _, pipe in self._members)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_error: object) -> None:
        for _, pipe in self._members:
            pipe.close()  # its end is the sign to go
        for process, _ in self._members:
            process.join(10)
            if process.exitcode is None:
                process.terminate()
                process.join()

    def check_all(
        self, jobs: Iterator[tuple[Job, bytes | Known | Problem]]
    ) -> Iterator[tuple[Job, Found]]:
        """In the order of `jobs`. Raises KekTrouble, SceauError (a process died)."""
        idle: deque[Connection] = deque()
        busy: dict[Connection, int] = {}
        under_way: dict[int, Job] = {}
        done: dict[int, Found] = {}
        taken = given = 0
        more = True

        def room() -> bool:
            return more and len(busy) < self._count and taken - given < _WINDOW

        while more or under_way:
            while room():
                following = next(jobs, None)
                if following is None:
                    more = False
                    break
                job, data = following
                under_way[taken] = job
                if isinstance(data, bytes):
                    idle = idle if self._members else self._start()
                    # Only to one that waits for it: two that both write would wait for ever.
                    _send(idle[0], job, data)
                    busy[idle.popleft()] = taken
                else:
                    done[taken] = data
                taken += 1
            while given in done:
                yield under_way.pop(given), done.pop(given)
                given += 1
            if busy and not room():
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    done[busy.pop(ready)] = _receive(ready)
                    idle.append(ready)


@dataclass(frozen=True, slots=True)
class _Fatal:
    """What a process says when no file can be done. problem: of the key-encryption key."""

    problem: Problem | None


def _send(pipe: Connection, job: Job, data: bytes) -> None:
    try:
        pipe.send((job, data))
    except OSError:
        raise _died() from None


def _receive(pipe: Connection) -> Found:
    """Raises KekTrouble, SceauError."""
    try:
        answer: Found | _Fatal = pipe.recv()
    except (EOFError, OSError):
        raise _died() from None
    if not isinstance(answer, _Fatal):
        return answer
    if answer.problem is None:
        raise _died()
    raise KekTrouble(answer.problem)


def _died() -> SceauError:
    return SceauError(
        "a process that checks keys has died",
        hint="start the import again: what is stored is skipped",
    )


def _serve(pipe: Connection, config: Path, rules: Rules) -> None:
    """A process of the crew, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends the pipe
    try:
        with Checker(config, rules) as check:
            while True:
                job, data = pipe.recv()
                pipe.send(check(job, data))
    except (EOFError, BrokenPipeError):
        return
    except KekTrouble as error:
        pipe.send(_Fatal(error.problem))
    except Exception:  # noqa: BLE001 - a stack trace here would tell nobody anything
        pipe.send(_Fatal(None))
