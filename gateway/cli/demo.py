"""`sceau demo`: see the whole product work on one machine, in a minute."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from gateway.cli.exits import DONE, NO
from gateway.cli.options import add_json
from gateway.cli.output import output_of

HELP = "show the whole product at work, with a made-up PKI"

_TREE = Path(__file__).resolve().parents[2]


def configure(parser: ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work there and leave it")
    parser.add_argument(
        "--postgres", action="store_true", help="on a PostgreSQL server of its own, not on SQLite"
    )
    parser.add_argument(
        "--mails", type=Path, metavar="DIR", default=_TREE / "samples" / "mails",
        help="sample mails (.eml) to send",
    )  # fmt: skip
    parser.add_argument(
        "--corpora", type=Path, metavar="DIR", default=_TREE.parent / "shared" / "corpora",
        help="folder with more mail (ham/easy-ham-1.tar.xz), if there is one",
    )  # fmt: skip
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: Namespace) -> int:
    from gateway.demo.judge import table
    from gateway.demo.postgres import Postgres
    from gateway.demo.run import run
    from gateway.errors import SceauError

    output = output_of(args)
    if args.keep is not None and args.keep.exists() and any(args.keep.iterdir()):
        raise SceauError(
            "{directory} is not empty; nothing in it was changed",
            hint="name a folder that does not exist yet",
            facts={"directory": str(args.keep)},
        )
    if not list(args.mails.glob("*.eml")):
        raise SceauError(
            "{directory} has no sample mails (.eml)",
            hint="run this in the source tree, or name a folder with --mails",
            facts={"directory": str(args.mails)},
        )
    folder = args.keep or Path(tempfile.mkdtemp(prefix="sceau-demo-"))
    begin = time.monotonic()
    try:
        with ExitStack() as stack:
            server = None
            if args.postgres:
                if args.keep is None:
                    folder.chmod(0o711)  # for the server, which is somebody else when we are root
                server = stack.enter_context(Postgres(folder / "postgres"))
            checks = run(
                folder,
                mails=args.mails,
                corpora=args.corpora if args.corpora.exists() else None,
                say=lambda text: print(text, file=output.err, flush=True),
                postgres=server,
            )
    finally:
        if args.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    good = all(check.good for check in checks)
    if output.as_json:
        for check in checks:
            output.record({"check": check.name, "good": check.good, "seen": check.seen})
    else:
        sys.stdout.write(table(checks) + "\n")
        held = sum(check.good for check in checks)
        output.say(
            "{held} of {all} checks hold, {seconds} s",
            held=str(held),
            all=str(len(checks)),
            seconds=f"{time.monotonic() - begin:.0f}",
        )
    return DONE if good else NO
