"""Files of strangers, judged in a guarded worker: one for the command, a budget for each file.

A file that takes too much, or ends the worker, is one that nothing can be told of: `status`
"indeterminate", a problem `limits.…`, exit code 3. It is not called malformed, for nobody has read
it to its end, and other files of the command are judged as if it were not there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.cli.files import FileProblem, read
from gateway.cli.output import Output, printable
from gateway.guard.answer import Answer, Parcel
from gateway.guard.budget import Budget
from gateway.guard.single import Single
from pki.errors import Problem

# Octets, the file's name, where to show what people read. Gives the JSON record, and what came out
# beside it; raises FileProblem. Runs in a copy of the process: what it changes is lost.
Judge = Callable[[bytes, Path, Output], Answer]


@contextmanager
def judging(
    judge: Judge, output: Output, budget: Budget | None = None
) -> Iterator[Callable[[Path], Answer]]:
    """Inside the block, what is given reads a file and judges it in a worker.

    It shows what the judge has shown, and raises FileProblem, OSError as `each_file` knows them.
    Keys and certificates that the judge uses are loaded beforehand, once: the worker is a copy of
    this process, made for the first file. (A PKCS#11 session does not survive that.)
    """

    def function(data: bytes, about: Mapping[str, Any]) -> Answer:
        shown = replace(output, out=io.StringIO(), err=io.StringIO())
        value: dict[str, Any] = {}
        octets: bytes | bytearray = b""
        try:
            answer = judge(data, Path(about["file"]), shown)
            value["record"], octets = answer.value, answer.octets
        except FileProblem as error:
            found = error.problem
            value["problem"] = [error.status, found.code, found.template, found.facts]
        value |= {"out": shown.out.getvalue(), "err": shown.err.getvalue()}  # type: ignore[attr-defined]
        return Answer(value, octets)

    with Single(function, budget) as worker:
        yield lambda path: _ask(worker, path, output)


def _ask(worker: Single, path: Path, output: Output) -> Answer:
    worker.start()  # before a large file is read, which its copy of this process would hold, too
    found = worker.run(Parcel(read(path)), {"file": str(path)})
    if isinstance(found, Problem):
        raise FileProblem("indeterminate", found)
    value = found.value
    output.out.write(printable(value["out"], lines=True))
    output.err.write(printable(value["err"], lines=True))
    if "problem" in value:
        status, code, template, facts = value["problem"]
        raise FileProblem(status, Problem(code, template, facts))
    return Answer(value["record"], found.octets)
