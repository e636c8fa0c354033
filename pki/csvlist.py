"""Lists of addresses and certificates as spreadsheets write them (RFC 4180). Pure but for files.

The header line names the columns: `address` (or `mail`, `email`), and `certificate`, with base64,
PEM, or the name of a file beside the list.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pki import bundle
from pki.certificate import MAX_OCTETS
from pki.errors import Problem, StructureRefused, problem
from pki.plain_file import read_plain

ADDRESS = ("address", "mail", "email", "e-mail")
CERTIFICATE = ("certificate", "cert", "certificat", "usercertificate", "file", "fichier")

_MAX_FIELD = 4 * MAX_OCTETS


@dataclass(frozen=True, slots=True)
class CsvRow:
    """number: of the row below the header, from 1. values: certificates, or PKCS#7."""

    number: int
    addresses: tuple[str, ...]
    values: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CsvFault:
    """A row that cannot be used, and why."""

    number: int
    problem: Problem


def looks_like_csv(beginning: bytes) -> bool:
    """Whether the first line names an address and a certificate."""
    line = beginning.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
    try:
        return _columns(_names(line.decode("utf-8"))) is not None
    except UnicodeDecodeError:
        return False


def read_csv(file: BinaryIO, folder: Path) -> Iterator[CsvRow | CsvFault]:
    """Every row of a file opened in binary mode; files that it names lie in `folder`.

    Raises StructureRefused if the header does not name both columns, OSError.
    """
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="")
    try:
        yield from _rows(text, folder)
    finally:
        text.detach()  # the file is the caller's


def _rows(text: io.TextIOWrapper, folder: Path) -> Iterator[CsvRow | CsvFault]:
    header = text.readline()
    columns = _columns(_names(header))
    if columns is None:
        raise _unread(
            "cannot be read: its first line does not name the columns address and certificate"
        )
    csv.field_size_limit(_MAX_FIELD)
    rows = csv.reader(text, delimiter=_delimiter(header))
    number = 0
    while True:
        number += 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            why = problem("structure.csv", "it cannot be read: {reason}", reason=str(error))
            yield CsvFault(number, why)
            continue
        if not any(field.strip() for field in row):
            number -= 1
            continue
        yield _row(number, row, columns, folder)


def _row(number: int, row: list[str], columns: tuple[int, int], folder: Path) -> CsvRow | CsvFault:
    address, certificate = columns
    if len(row) <= max(columns):
        return CsvFault(number, problem("structure.csv", "it has too few columns"))
    addresses = tuple(each for each in row[address].replace(",", " ").split() if each)
    if not addresses:
        return CsvFault(number, problem("structure.csv", "it has no address"))
    try:
        return CsvRow(number, addresses, _certificates(row[certificate].strip(), folder))
    except StructureRefused as error:
        return CsvFault(number, error.problem)
    except ValueError as error:
        return CsvFault(
            number, problem("structure.csv", "it cannot be read: {reason}", reason=str(error))
        )


def _certificates(text: str, folder: Path) -> tuple[bytes, ...]:
    """Raises ValueError."""
    if not text:
        raise _unread("it has no certificate")
    if "-----BEGIN " in text:
        return bundle.certificates(text.encode("ascii", "replace"))
    if len(text) <= 255 and "." in text:
        return _of_file(text, folder)
    try:
        return (base64.b64decode("".join(text.split()), validate=True),)
    except binascii.Error as error:
        raise _unread(
            "it cannot be read: the certificate is neither base64, nor PEM, nor a file"
        ) from error


def _of_file(name: str, folder: Path) -> tuple[bytes, ...]:
    # A list from elsewhere names files beside it, and no others of ours.
    if Path(name).name != name or name.startswith("."):
        raise _unread("it cannot be read: {file} is not a file beside the list", file=name)
    path = folder / name
    try:
        return bundle.certificates(read_plain(path, 16 * MAX_OCTETS))
    except OSError as error:
        raise _unread(
            "it cannot be read: {file}: {reason}",
            file=name,
            reason=error.strerror or type(error).__name__,
        ) from error


def _unread(template: str, **facts: str) -> StructureRefused:
    return StructureRefused("structure.csv", template, **facts)


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _names(header: str) -> list[str]:
    return [name.strip().strip('"').strip().lower() for name in header.split(_delimiter(header))]


def _columns(names: list[str]) -> tuple[int, int] | None:
    """Where addresses and certificates stand."""
    found = []
    for wanted in (ADDRESS, CERTIFICATE):
        place = next((names.index(name) for name in wanted if name in names), None)
        if place is None:
            return None
        found.append(place)
    return found[0], found[1]
