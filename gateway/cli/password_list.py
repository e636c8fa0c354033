"""The list that goes with a folder of PKCS#12 files: CSV with a heading line.

    file;password;address;consent_of;basis
    moreau.p12;…;jeanne.moreau@interior.example;Jeanne Moreau;form of 2026-03-02

`file` is needed, the others may be missing or empty. Separated by commas, semicolons or tabs, as
spreadsheets write it; UTF-8, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.output import Output
from gateway.errors import SceauError
from gateway.i18n import message
from gateway.key_import import Job
from pki.addresses import canonical
from pki.bounded_file import read_bounded
from pki.errors import AddressError, Problem, problem

_COLUMNS = ("file", "password", "address", "consent_of", "basis")


class ListFaults(SceauError):
    """All that is wrong with the list; nothing was imported."""

    def __init__(self, file: Path, problems: list[Problem]) -> None:
        super().__init__(
            message("{file} cannot be used: {count} faults, nothing was imported"),
            facts={"file": str(file), "count": str(len(problems))},
        )
        self.problems = problems


def read_list(file: Path, folder: Path) -> dict[Path, Job]:
    """The jobs of a list, by file. Names are taken within `folder`.

    Raises SceauError (not such a list), ListFaults (all lines that are wrong), OSError.
    """
    text = _text(file)
    lines = csv.reader(text.splitlines(keepends=True), delimiter=_separator(text), strict=True)
    jobs: dict[Path, Job] = {}
    faults: list[Problem] = []
    try:
        heading = [name.strip().lower() for name in next(lines, [])]
        _check_heading(file, heading)
        for row in lines:
            if any(cell.strip() for cell in row):
                found = _job(row, heading, lines.line_num, folder, jobs)
                if isinstance(found, Problem):
                    faults.append(found)
                else:
                    jobs[found.file] = found
    except csv.Error as error:
        raise SceauError(
            "{file}, line {line}: this is not CSV: {reason}",
            hint="a password with quotes in it is written in quotes, with each of them twice",
            facts={"file": str(file), "line": str(lines.line_num), "reason": str(error)},
        ) from None
    if faults:
        raise ListFaults(file, faults)
    if not jobs:
        raise SceauError("{file} names no file", facts={"file": str(file)})
    return jobs


def warn_if_open(file: Path, output: Output) -> None:
    """Say so when others can read the passwords."""
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        output.note(
            "{file} can be read by others: whoever has the PKCS#12 files too has the keys",
            file=str(file),
        )


def _text(file: Path) -> str:
    try:
        return read_bounded(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise SceauError(
            "{file}, line {line}: this is not UTF-8",
            hint="save it as CSV UTF-8",
            facts={"file": str(file), "line": str(line)},
        ) from None


def _separator(text: str) -> str:
    """The one that stands in the heading, which holds no other sign."""
    heading = text.partition("\n")[0]
    return max(",;\t", key=heading.count)


def _check_heading(file: Path, heading: list[str]) -> None:
    unknown = [name for name in heading if name not in _COLUMNS]
    if "file" not in heading or unknown or len(set(heading)) != len(heading):
        raise SceauError(
            "{file}: the first line must name the columns, it says: {found}",
            hint="file,password,address,consent_of,basis; only file is needed",
            facts={"file": str(file), "found": ", ".join(heading)[:100]},
        )


def _job(
    row: list[str], heading: list[str], line: int, folder: Path, before: dict[Path, Job]
) -> Job | Problem:
    if len(row) != len(heading):
        # Not the cells: one of them is a password.
        return problem(
            "structure.list",
            "line {line}: {count} cells, where the first line has {wanted}",
            line=str(line),
            count=str(len(row)),
            wanted=str(len(heading)),
        )
    cells = dict(zip(heading, row, strict=True))
    name = cells["file"].strip()
    if not name:
        return problem("structure.list", "line {line}: there is no file", line=str(line))
    file = folder / name
    if file in before:
        return problem(
            "structure.list", "line {line}: {file} stands there twice", line=str(line), file=name
        )
    address = cells.get("address", "").strip()
    try:
        wanted = canonical(address) if address else None
    except AddressError as error:
        return problem(
            "structure.list", "line {line}: {reason}", line=str(line), reason=error.problem.text
        )
    password = cells.get("password", "")
    return Job(
        file=file,
        password=password.encode() or None,
        address=wanted,
        consent_of=" ".join(cells.get("consent_of", "").split()),
        basis=cells.get("basis", "").strip(),
    )


def jobs_of(folder: Path, listed: dict[Path, Job], password: bytes | None) -> Iterator[Job]:
    """The files of a folder (.p12, .pfx) and of its list, by name; `password` where none is listed.

    Raises SceauError if there is none.
    """
    found = {
        file
        for file in folder.iterdir()
        if file.suffix.lower() in (".p12", ".pfx") and file.is_file()
    }
    files = sorted(found | listed.keys())
    if not files:
        raise SceauError(
            "there is no PKCS#12 file in {folder}",
            hint="their names end in .p12 or .pfx",
            facts={"folder": str(folder)},
        )
    for file in files:
        yield listed.get(file) or Job(file, password)
