"""`sceau pki kek`: the key-encryption key that wraps the keys of our people."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import CANNOT_TELL, DONE, NO, worst
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json
from gateway.cli.output import output_of

if TYPE_CHECKING:
    from gateway.installation import Installation
    from pki.kek import Kek

_AT_ONCE = 100  # written in one transaction: while it runs, mail waits for its turn to write


def add_kek(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki kek`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("show", help="which key-encryption keys there are, tried out")
    show.set_defaults(run=on_installation(_show))
    create = verbs.add_parser("create", help="make a new key-encryption key in a file")
    create.add_argument("file", type=Path, metavar="FILE", help="file that is made")
    create.set_defaults(run=_create)
    rotate = verbs.add_parser("rotate", help="wrap all stored keys anew by pki.key_encryption_key")
    rotate.set_defaults(run=on_installation(_rotate))
    for verb in (show, rotate):
        add_config(verb)
    for verb in (show, create, rotate):
        add_json(verb)


def _show(args: Namespace, installation: Installation) -> int:
    from gateway.keks import open_keks, place_of
    from pki.person_list import count_by_kek

    output = output_of(args)
    section = installation.config.pki
    keks = open_keks(section)
    with installation.database.read() as conn:
        counts = count_by_kek(conn)
    shown = [("current", keks.current, place_of(section.key_encryption_key))]
    if section.former_key_encryption_key is not None:
        shown.append(("former", keks.former[0], place_of(section.former_key_encryption_key)))
    rows, codes = [], [DONE]
    for use, kek, place in shown:
        fault = _fault(kek)
        codes.append(CANNOT_TELL if fault else DONE)
        wraps = counts.pop(kek.name, 0)
        if output.as_json:
            output.record(
                {"kek": kek.name, "use": use, "place": place, "keys": wraps, "problem": fault}
            )
        rows.append([kek.name, output.text(_USES[use]), str(wraps), place])
        if fault and not output.as_json:
            output.note("{place}: {reason}", place=place, reason=fault)
    for name, wraps in counts.items():
        codes.append(NO)
        if output.as_json:
            output.record(
                {"kek": name, "use": "unknown", "place": None, "keys": wraps, "problem": None}
            )
        rows.append([name, output.text(_USES["unknown"]), str(wraps), "-"])
    if not output.as_json:
        output.table(["name", "use", "keys", "place"], rows)
    return worst(codes)


_USES = {
    "current": "wraps and opens",
    "former": "opens only",
    "unknown": "not configured: these keys cannot be used",
}


def _fault(kek: Kek) -> str | None:
    from pki.errors import KekTrouble
    from pki.kek import prove

    try:
        prove(kek)
    except KekTrouble as error:
        return error.problem.text
    return None


def _create(args: Namespace) -> int:
    from pki.kek import create_kek

    output = output_of(args)
    kek = create_kek(args.file)
    if output.as_json:
        output.record({"file": str(args.file), "kek": kek.name})
    output.say("{file} is written: {kek}.", file=str(args.file), kek=kek.name)
    output.say(
        "Keep a copy where the database's copies are not: without it the stored keys are lost."
    )
    return DONE


def _rotate(args: Namespace, installation: Installation) -> int:
    from archive.entry import new_archive_id
    from archive.store import Draft
    from gateway.keks import open_keks
    from pki.kek import prove
    from pki.rewrap import TABLES, left_to_rewrap, rewrap, write_rewrapped

    output = output_of(args)
    config = installation.config
    keks = open_keks(config.pki)

    def begun(keys: int) -> Draft:
        fields = {"by": operator(), "kek": keks.current.name, "keys": str(keys)}
        return Draft(
            "keys-rewrapped",
            config.gateway.organisation,
            new_archive_id(),
            {name: value.encode() for name, value in fields.items()},
        )

    for kek in (keks.current, *keks.former):
        prove(kek)
    with installation.database.read() as conn:
        total = left_to_rewrap(conn, keks)
    done, closed = 0, []
    with output.progress("wrapping anew", total) as bar:
        for table in TABLES:
            after = 0
            while True:
                with installation.database.read() as conn:
                    after, wraps, faults = rewrap(
                        conn, keks, table=table, after=after, limit=_AT_ONCE
                    )
                if not after:
                    break
                with installation.database.write() as conn:
                    written = write_rewrapped(conn, table, wraps)
                    if written and not done:
                        installation.append_with(conn, [begun(total)])
                    done += written
                closed += faults
                bar.step(len(wraps) + len(faults))
    for fault in closed:
        output.note("{reason}", reason=output.problem(fault.problem))
    if output.as_json:
        output.record({"kek": keks.current.name, "rewrapped": done, "failed": len(closed)})
    output.say(
        "{count} keys are wrapped by {kek} now; {failed} could not be opened.",
        count=str(done),
        kek=keks.current.name,
        failed=str(len(closed)),
    )
    if not closed and config.pki.former_key_encryption_key is not None:
        output.say(
            "Take former_key_encryption_key out of the configuration; then destroy that key, "
            "when no backup of the database needs it any more."
        )
    return NO if closed else DONE
