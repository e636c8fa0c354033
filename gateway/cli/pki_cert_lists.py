"""`sceau pki cert import` of lists: LDIF and CSV with up to hundreds of thousands of people.

Each bad entry is a line as it is met, and at the end there is a sum: nobody wants 200,000 lines
about what went well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

from gateway.cli.exits import DONE, NO, USAGE
from gateway.cli.output import Output, Progress

if TYPE_CHECKING:
    from gateway.cli.pki_cert_import import Held
    from gateway.cli.pki_input import Input
    from pki.bulk import Entry, Import, Outcome
    from pki.errors import Problem

_BEGINNING = 64_000

Reader = Callable[[BinaryIO], "Iterator[Entry]"]


def list_of(file: Input) -> Reader | None:
    """How the file is read if it is a list; None for any other, also one that cannot be read."""
    from pki.bulk import entries_of_csv, entries_of_ldif
    from pki.csvlist import looks_like_csv
    from pki.ldif import looks_like_ldif

    try:
        with file.path.open("rb") as opened:
            beginning = opened.read(_BEGINNING)
    except OSError:
        return None
    if looks_like_ldif(beginning):
        return entries_of_ldif
    if file.path.suffix.lower() in (".csv", ".tsv") or looks_like_csv(beginning):
        return lambda opened: entries_of_csv(opened, file.path.parent)
    return None


def run_list(
    file: Input, reader: Reader, how: Import, held: Held, output: Output, bar: Progress
) -> int:
    """Import one list; the exit code."""
    from gateway.cli.pki_input import as_json
    from pki.bulk import CERTIFICATES, Fate, import_entries
    from pki.errors import StructureRefused, problem

    broken: list[Problem] = []
    fates: Counter[Fate] = Counter()
    unusable = changed = 0
    code = DONE
    try:
        with closing(file.path.open("rb")) as opened:
            for outcome in import_entries(_watched(reader(opened), opened, bar), how):
                fates[outcome.fate] += 1
                unusable += outcome.unusable is not None
                changed += bool(outcome.changes)
                if outcome.fate in (Fate.STORED, Fate.KNOWN):
                    held.look(outcome)
                elif outcome.fate not in (Fate.PASSED_OVER, Fate.WITHOUT):
                    code = max(code, NO)
                _say(file, outcome, output)
    except StructureRefused as error:
        broken.append(error.problem)
    except (ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        broken.append(problem("structure.file", "cannot be read: {reason}", reason=reason))
    for each in broken:
        if not output.as_json:
            output.note("{file}: {reason}", file=str(file.path), reason=output.problem(each))
        code = USAGE
    if fates.total() == fates[Fate.WITHOUT] and code == DONE:
        # A wrong attribute name would else look like a list that was imported well.
        output.note(
            "{file}: no entry has a certificate ({attributes})",
            file=str(file.path),
            attributes=", ".join(CERTIFICATES),
        )
        code = NO
    counts = {
        "stored": fates[Fate.STORED],
        "known": fates[Fate.KNOWN],
        "held": fates[Fate.HELD],
        "refused": fates[Fate.REFUSED],
        "changed": changed,
        "unusable": unusable,
        "without": fates[Fate.WITHOUT],
    }
    if output.as_json:
        output.record(
            {
                "file": str(file.path),
                "dry_run": how.dry_run,
                **counts,
                "problems": as_json(broken),
            }
        )
    else:
        output.say(
            "{file}: {stored} stored, {known} known already, {refused} refused, {held} wait for a "
            "person; {changed} with another key than before, {unusable} cannot be used now",
            file=str(file.path),
            **{name: str(number) for name, number in counts.items()},
        )
        if counts["without"]:
            output.say(
                "{file}: {without} entries have an address and no certificate",
                file=str(file.path),
                without=str(counts["without"]),
            )
    return code


def _watched(entries: Iterator[Entry], file: BinaryIO, bar: Progress) -> Iterator[Entry]:
    """The same; the bar shows how much of the file has been read."""
    at = 0
    for entry in entries:
        now = file.tell()
        if now != at:
            bar.step(now - at)
            at = now
        yield entry


def _say(file: Input, outcome: Outcome, output: Output) -> None:
    """What is not as it should be with one entry."""
    from gateway.cli.pki_input import as_json
    from pki.bulk import Fate

    problems: list[Problem] = list(outcome.changes)
    problems += [one for one in (outcome.problem, outcome.unusable) if one is not None]
    if not problems or outcome.fate is Fate.PASSED_OVER:
        return
    if output.as_json:
        output.record(
            {
                "file": str(file.path),
                "entry": outcome.number,
                "outcome": outcome.fate.value,
                "sha256": outcome.certificate.sha256 if outcome.certificate else None,
                "addresses": list(outcome.addresses),
                "problems": as_json(problems),
            }
        )
        return
    for each in problems:
        output.note(
            "entry {number} of {file}: {reason}",
            number=str(outcome.number),
            file=file.path.name,
            reason=output.problem(each),
        )
