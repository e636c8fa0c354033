"""docs/interop.md and the JSON of a run."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from string import ascii_uppercase
from typing import Any

from tests.interop.corpora import Fuzz, Row
from tests.interop.matrix import DIRECTIONS, Cell

_HEAD = """\
# Who reads whom

Made by `./dev interop`, never by hand. Files and programs of others: what we say of each published
S/MIME file and why that is right, and what each peer makes of our messages and we of theirs.

## Published files

`sceau smime verify` and `decrypt` on every S/MIME file of the corpora. The expectations are written
by hand in `tests/interop/cases.py`; the run fails where a verdict differs, or a file of these
folders stands in no case. What was asked is below each table; `@` is the folder of the corpora. A
file is named twice where it is judged under two sets of options. "own" trusts the certificates in
the message, taken out by OpenSSL.

Bare CMS is no mail: without a From it is never "valid" (RFC 8550 §3), so there
`identity.from-missing` alone says that signature, attributes and path are good.
"""

_MATRIX = """
## Programs

Each side through its command, ours is `sceau smime`. Asked were {peers}.
Keys and certificates are made anew for each run: a root, an intermediate, people with keys of all
kinds. "→" is: we write, they read; "←" is: they write, we read. A signature is ok when it is so
detached and opaque, the content comes out with the same bytes and changed content is refused; a
message to somebody when it opens to the same bytes. Bouncy Castle checks signatures, not paths.
"no" is what the peer is known to lack (`tests/interop/limits.py`), with its own words below the
table; anything else that fails is "wrong" and fails the run. "–": that side does not write it, or
cannot be asked to. Our digest follows the key: SHA-256 for RSA, on curves one as strong as the
curve, SHA-512 for Ed25519; every other one was asked for by `--digest`.
"""


def page(rows: Sequence[Row], fuzz: Fuzz, cells: Sequence[Cell], peers: dict[str, str]) -> str:
    """The whole page. peers: name and version, or why it was not asked."""
    return "".join(_lines(rows, fuzz, cells, peers))


def records(rows: Sequence[Row], fuzz: Fuzz, cells: Sequence[Cell]) -> Iterator[dict[str, Any]]:
    """One object for each verdict and cell."""
    for row in rows:
        yield {
            "file": row.file,
            "verb": row.case.verb,
            "options": list(row.case.options),
            "said": row.said,
            "why": row.case.why,
            "wrong": row.wrong,
        }
    yield {
        "file": "openssl-fuzz-cms",
        "inputs": fuzz.inputs,
        "statuses": fuzz.statuses,
        "slowest_seconds": round(fuzz.slowest, 3),
        "wrong": fuzz.wrong,
    }
    for cell in cells:
        yield {
            "peer": cell.peer,
            "direction": cell.direction,
            "algorithms": cell.algorithms,
            "said": cell.said,
            "wrong": cell.wrong,
        }


def _lines(
    rows: Sequence[Row], fuzz: Fuzz, cells: Sequence[Cell], peers: dict[str, str]
) -> Iterator[str]:
    yield _HEAD
    for folder, group in groupby(rows, key=lambda row: row.file.split("/")[0]):
        yield from _files(folder, list(group))
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(fuzz.statuses.items()))
    # In steps that hold from run to run: the page changes where something else does.
    pace = next(step for step in ("0.1", "0.3", "1", "60") if fuzz.slowest < float(step))
    yield (
        f"\n### openssl-fuzz-cms\n\n{fuzz.inputs:,} inputs as the body of a mail: no crash, none "
        f"took {pace} s; {counts}.\n"
    )
    yield _MATRIX.format(peers=", ".join(f"{name} ({version})" for name, version in peers.items()))
    for kind in dict.fromkeys(cell.kind for cell in cells):
        yield from _table(kind, [cell for cell in cells if cell.kind == kind], list(peers))


def _files(title: str, rows: Sequence[Row]) -> Iterator[str]:
    """A section: one folder of the corpora. Names in its table are below their common folder."""
    base = posixpath.commonpath([posixpath.dirname(row.file) for row in rows])
    yield f"\n### {title}\n\nIn `{base}/`:\n\n"
    yield "| File | Asked | Said | Why that is right |\n|---|---|---|---|\n"
    letters: dict[str, str] = {}
    for row in rows:
        words = [row.case.verb, *row.case.options, *["own"] * row.case.own]
        letter = letters.setdefault(shlex.join(words), ascii_uppercase[len(letters)])
        said = row.said + (f" **({row.wrong})**" if row.wrong else "")
        name = posixpath.relpath(row.file, base)
        yield f"| {name} | {letter} | {said} | {row.case.why} |\n"
    yield "\n"
    for asked, letter in letters.items():
        yield f"- {letter}: `{asked}`\n"


def _table(kind: str, cells: Sequence[Cell], peers: Sequence[str]) -> Iterator[str]:
    by_place = {(cell.algorithms, cell.peer, cell.direction): cell for cell in cells}
    columns = [
        (peer, way)
        for peer in peers
        for way in DIRECTIONS
        if any((cell.peer, cell.direction) == (peer, way) for cell in cells)
    ]
    yield f"\n### {kind}\n\n| | " + " | ".join(f"{peer} {way}" for peer, way in columns) + " |\n"
    yield "|---" * (len(columns) + 1) + "|\n"
    notes: dict[str, int] = {}
    for algorithms in dict.fromkeys(cell.algorithms for cell in cells):
        said = []
        for peer, way in columns:
            cell = by_place.get((algorithms, peer, way))
            if cell is None:
                said.append("–")
            elif cell.said == "ok":
                said.append("ok")
            else:
                number = notes.setdefault(f"{peer} {way}: {cell.said}", len(notes) + 1)
                said.append(f"**wrong** ({number})" if cell.wrong else f"no ({number})")
        yield f"| {algorithms} | " + " | ".join(said) + " |\n"
    if notes:
        yield "\n"
    for note, number in notes.items():
        yield f"{number}. {note}\n"
