"""`sceau archive`: search, read, follow and verify what is kept."""

from __future__ import annotations

import errno
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import CANNOT_TELL, DONE, NO
from gateway.cli.nested import field_lines
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json, count, moment
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.i18n import message

if TYPE_CHECKING:
    from archive.store import Record
    from gateway.installation import Installation

HELP = "search, read, follow and verify the archive"

_STATUS_WORDS = {
    "valid": message("valid"),
    "invalid": message("invalid"),
    "indeterminate": message("cannot tell"),
}
_STATUS_CODES = {"valid": DONE, "invalid": NO, "indeterminate": CANNOT_TELL}


def configure(parser: ArgumentParser) -> None:
    """Verbs and options."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    search = verbs.add_parser("search", help="find mail by its words (the search is logged)")
    search.add_argument("query", metavar="QUERY", help='words, "phrases", subject: from: to: …')
    search.add_argument("--limit", type=count, default=20, help="at most so many (20)")
    search.add_argument("--since", type=moment, metavar="RFC3339", help="accepted from then on")
    search.add_argument("--until", type=moment, metavar="RFC3339", help="accepted before")
    search.add_argument("--case", required=True, help="file number or request this is for")
    search.set_defaults(run=on_installation(_search))

    show = verbs.add_parser("show", help="give a mail back as it came (the reading is logged)")
    show.add_argument("ids", nargs="+", metavar="ID", help="archive id")
    show.add_argument("--key", required=True, type=Path, metavar="FILE", help="the authority's key")
    show.add_argument("--case", required=True, help="file number or request this is for")
    show.add_argument(
        "--out", type=Path, metavar="FILE", help="write there; a folder for several mails"
    )
    show.set_defaults(run=on_installation(_show))

    history = verbs.add_parser("history", help="all log entries about a mail")
    history.add_argument("id", metavar="ID", help="archive id")
    history.set_defaults(run=on_installation(_history))

    verify = verbs.add_parser("verify", help="check the whole log and all it commits to")
    verify.add_argument("--since", type=int, default=0, metavar="N", help="from entry N on")
    verify.add_argument("--open", action="store_true", help="open the content too; needs --key")
    verify.add_argument("--key", type=Path, metavar="FILE", help="the authority's key")
    verify.add_argument("--case", default="", help="file number or request, with --open")
    verify.set_defaults(run=on_installation(_verify))
    for verb in (search, show, history, verify):
        add_config(verb)
        add_json(verb)


def _search(args: Namespace, installation: Installation) -> int:
    from archive.access import find
    from archive.errors import IndexUnusable
    from archive.index import unreadable
    from archive.lag import lag
    from gateway import clock

    output = output_of(args)
    index = installation.config.archive.index
    with installation.database.read() as conn:
        behind = lag(index, conn, moment=clock.now())  # before the entry of this search itself
    hits = find(
        installation.append,
        index,
        args.query,
        args.limit,
        org=installation.config.gateway.organisation,
        reader=operator(),
        case=args.case,
        since=args.since,
        until=args.until,
    )
    for hit in hits:
        if output.as_json:
            output.record(
                {
                    "id": hit.archive_id,
                    "score": round(hit.score, 4),
                    "accepted": time_json(hit.time) if hit.time else None,
                    "date": time_json(hit.date) if hit.date else None,
                    "unreadable": hit.unreadable,
                }
            )
    if not output.as_json:
        output.table(
            ["id", "accepted", "date", "score"],
            [
                [
                    hit.archive_id,
                    time_text(hit.time) if hit.time else "-",
                    time_text(hit.date) if hit.date else "-",
                    f"{hit.score:.2f}",
                ]
                for hit in hits
            ],
        )
        if not hits:
            output.note("Nothing was found.")
    try:
        dark = unreadable(index)
    except IndexUnusable:
        return DONE  # `find` has already raised for a missing index: it went away just now
    if behind.entries:
        output.note(
            "The index is {entries} entries ({seconds} s) behind the log.",
            entries=str(behind.entries),
            seconds=f"{behind.seconds:.0f}",
        )
    if dark:
        output.note("{count} mails could not be read into the index.", count=str(dark))
    return DONE


def _show(args: Namespace, installation: Installation) -> int:
    from archive.access import read_content
    from archive.recipients import load_private_key
    from gateway.cli.usage import UsageError

    output = output_of(args)
    if len(args.ids) > 1 and args.out is None:
        raise UsageError("several mails need --out with a folder")
    key = load_private_key(args.key)
    if len(args.ids) > 1:
        args.out.mkdir(mode=0o700, exist_ok=True)
    with output.progress("reading", len(args.ids)) as bar:
        for archive_id in args.ids:
            target = args.out
            if len(args.ids) > 1:
                target = args.out / f"{archive_id}.eml"
            if target is not None and target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
            content = read_content(
                installation.append,
                installation.database.read,
                archive_id,
                key,
                reader=operator(),
                case=args.case,
                blobs=installation.blobs,
            )
            _give(content, archive_id, target, output)
            bar.step()
    return DONE


def _give(content: bytes, archive_id: str, target: Path | None, output: Output) -> None:
    """To a new file of this user alone, or to standard output."""
    if target is not None:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        if output.as_json:
            output.record({"id": archive_id, "file": str(target), "size": len(content)})
        else:
            output.say(
                "{file}: {size} bytes, as they came", file=str(target), size=str(len(content))
            )
    elif output.as_json:
        # Latin-1 keeps every octet: `.encode("latin-1")` of the text is the mail.
        text = content.decode("latin-1")
        output.record({"id": archive_id, "content": text, "charset": "latin-1"})
    elif sys.stdout.isatty():
        for line in content.decode("utf-8", "replace").splitlines():
            output.line(line)  # made printable: mail is a stranger's text
    else:
        sys.stdout.buffer.write(content)


def _history(args: Namespace, installation: Installation) -> int:
    from archive.store import history

    output = output_of(args)
    with installation.database.read() as conn:
        found = history(conn, args.id)
    for record in found:
        if output.as_json:
            output.record(_as_json(record))
        else:
            _print(record, output)
    return DONE


def _fields(record: Record) -> dict[str, str]:
    from archive.fields import Open

    payload = record.payload or {}
    return {
        name: one.value.decode("utf-8", "backslashreplace")
        if isinstance(one, Open)
        else f"(withheld, digest {one.digest.hex()})"
        for name, one in sorted(payload.items())
    }


def _as_json(record: Record) -> dict[str, object]:
    entry = record.entry
    return {
        "index": entry.index,
        "time": time_json(entry.time),
        "kind": entry.kind,
        "org": entry.org,
        "id": entry.id,
        "commitment": entry.commitment,
        "fields": _fields(record),
    }


def _print(record: Record, output: Output) -> None:
    from archive.fields import NAMES

    entry = record.entry
    output.line(f"{entry.index}  {time_text(entry.time)}  {entry.kind}")
    for name, value in _fields(record).items():
        if name != NAMES:  # it lists the others, for verifiers
            for line in field_lines(name, value, output):
                output.line(f"    {line}")


def _verify(args: Namespace, installation: Installation) -> int:
    from archive.entry import new_archive_id
    from archive.fsck import verify
    from archive.recipients import load_private_key
    from archive.store import Draft, head
    from gateway.cli.usage import UsageError

    output = output_of(args)
    if args.open and (args.key is None or not args.case.strip()):
        raise UsageError("--open needs --key and --case: opening the archive is logged")
    if args.key is not None and not args.open:
        raise UsageError("--key is for --open")
    unwrapper = None
    if args.open:
        unwrapper = load_private_key(args.key)
        fields = {
            "reader": operator().encode(),
            "case": args.case.encode(),
            "what": b"verify --open",
            "since": str(args.since).encode(),
        }
        org = installation.config.gateway.organisation
        installation.append([Draft("read", org, new_archive_id(), fields)])
    with installation.database.read() as conn:
        total = head(conn).size
        with output.progress("verifying", total) as bar:
            report = verify(
                conn,
                since=args.since,
                open_with=unwrapper,
                blobs=installation.blobs,
                progress=lambda done, _all: bar.step(done - bar.done),
            )
    if output.as_json:
        output.record(
            {
                "status": report.status,
                "entries": report.entries,
                "first_bad": report.first_bad,
                "opened": report.opened,
                "problems": [{"code": p.code, "text": p.text} for p in report.problems],
            }
        )
        return _STATUS_CODES[report.status]
    for problem in report.problems:
        output.line(f"{problem.code}: {output.problem(problem)}")
    if report.first_bad is not None:
        output.say("First damaged entry: {index}", index=str(report.first_bad))
    output.say(
        "{status}: {entries} entries checked: chain, commitments, sealed bytes.",
        status=output.text(_STATUS_WORDS[report.status]),
        entries=str(report.entries),
    )
    if report.opened is None:
        output.say("Content was not opened (--open with the authority's key does).")
    else:
        output.say("{opened} mails were opened and compared.", opened=str(report.opened))
    return _STATUS_CODES[report.status]
