"""Runs the cases over the corpora, through the command as a shell would call it."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from gateway.cli import main
from gateway.smime.layers import verify
from gateway.smime.verdicts import Status
from tests.interop.cases import CASES, FOLDERS, NO_MESSAGES, Case


@dataclass(frozen=True, slots=True)
class Row:
    """What was said of one file under one case. wrong: empty, or how it is not as expected."""

    file: str
    case: Case
    said: str
    wrong: str


def sceau(*arguments: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, the JSON of `sceau smime …` and what stood on standard error."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(["smime", *map(str, arguments)])
    records = [json.loads(line) for line in out.getvalue().splitlines() if line[:1] == "{"]
    return code, records, err.getvalue()


def files(base: Path, case: Case) -> list[str]:
    """The files of a case, relative to the corpora."""
    return [
        path.relative_to(base).as_posix()
        for pattern in case.files
        for path in sorted(base.glob(pattern))
    ]


def rows(base: Path) -> list[Row]:
    """Every case over every file of it. base: where the corpora lie."""
    with tempfile.TemporaryDirectory(prefix="sceau-interop-") as folder:
        return [
            row
            for number, case in enumerate(CASES)
            for row in judge(base, case, Path(folder) / str(number))
        ]


def forgotten(base: Path) -> list[str]:
    """Files of the S/MIME folders that stand in no case and are messages."""
    named = {name for case in CASES for name in files(base, case)}
    every = (
        path.relative_to(base).as_posix()
        for folder in FOLDERS
        for path in sorted((base / folder).rglob("*"))
        if path.is_file()
    )
    return [
        name
        for name in every
        if name not in named and not any(fnmatch(name, pattern) for pattern in NO_MESSAGES)
    ]


def absent(base: Path) -> list[str]:
    """Names and globs of the cases that no file answers to."""
    return [name for case in CASES for name in case.files if not any(base.glob(name))]


def judge(base: Path, case: Case, folder: Path) -> Iterator[Row]:
    """One case over its files. folder: to be made, for what is written on the way."""
    names = files(base, case)
    folder.mkdir()
    sources = list(_sources(base, case, names, folder))
    options = [str(base / one[1:]) if one[:1] == "@" else one for one in case.options]
    if case.password is not None:
        (folder / "password").write_text(case.password)
        options += ["--password-file", str(folder / "password")]
    if case.own:
        options += ["--anchor", str(_certificates(sources[0], folder / "own.pem"))]
    target = folder / "out"
    if case.verb == "decrypt":
        target.mkdir()
        # One of a kind: --out is a file then, unless the folder is named as one.
        options += ["--out", str(target if len(sources) > 1 else target / "content")]
    _, records, error = sceau(case.verb, "--json", *options, *sources)
    found = {record["file"]: record for record in records}
    for name, source in zip(names, sources, strict=True):
        record = found.get(str(source))
        if record is None:
            yield Row(name, case, "nothing", f"no verdict: {error.strip()[:200]}")
            continue
        said = [record["status"], *sorted({one["code"] for one in record["problems"]})]
        wrong = "" if set(said) == set(case.expected.split()) else f"expected {case.expected}"
        if not wrong and case.content is not None and record.get("out"):
            wrong = _compare(base, case.content, name, Path(record["out"]))
        yield Row(name, case, " ".join(said), wrong)


def _sources(base: Path, case: Case, names: Sequence[str], folder: Path) -> Iterator[Path]:
    for name in names:
        source = base / name
        if case.armour:
            data = source.read_bytes()
            source = folder / source.name
            source.write_bytes(data[data.index(b"-----BEGIN") :])
        yield source


def _certificates(mail: Path, target: Path) -> Path:
    """The certificates that the message carries, taken out by OpenSSL."""
    pkcs7 = subprocess.run(["openssl", "smime", "-pk7out", "-in", mail], capture_output=True)
    listed = subprocess.run(
        ["openssl", "pkcs7", "-print_certs"], input=pkcs7.stdout, capture_output=True
    )
    target.write_bytes(listed.stdout)
    return target


def _compare(base: Path, content: str, name: str, out: Path) -> str:
    if content[:1] == "@":
        wanted = (base / content[1:].format(stem=Path(name).stem)).read_bytes()
    else:
        wanted = content.encode()
    if out.read_bytes().replace(b"\r\n", b"\n") == wanted.replace(b"\r\n", b"\n"):
        return ""
    return "other content than published"


@dataclass(frozen=True, slots=True)
class Fuzz:
    """OpenSSL's fuzz corpus of CMS. slowest: seconds for one input. wrong: empty, or what was."""

    inputs: int
    statuses: dict[str, int]
    slowest: float
    wrong: str


def fuzz(base: Path) -> Fuzz:
    """Every input verified as a mail's body, in this process: a crash would end the run."""
    from datetime import UTC, datetime

    from gateway.smime.verify import Rules
    from pki.path import Material, Revocation

    rules = Rules(Material((), (), ()), datetime(2020, 1, 1, tzinfo=UTC), Revocation.OFF, True)
    statuses: dict[str, int] = {}
    slowest = 0.0
    with tarfile.open(base / "openssl-fuzz-cms" / "cms.tar.xz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            data = (
                b"Content-Type: application/pkcs7-mime\r\n"
                b"Content-Transfer-Encoding: binary\r\n\r\n" + file.read()
            )
            start = time.perf_counter()
            status = verify(data, rules).status
            slowest = max(slowest, time.perf_counter() - start)
            statuses[status.value] = statuses.get(status.value, 0) + 1
    wrong = "slower than a second" if slowest > 1 else ""
    if Status.VALID.value in statuses:
        wrong = "something is valid"
    return Fuzz(sum(statuses.values()), statuses, slowest, wrong)
