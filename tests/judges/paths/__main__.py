"""`python -m tests.judges.paths`: made-up chains before us, openssl and Bouncy Castle."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.judges.paths.compare import Comparison, Peer, bouncy_castle, openssl_peer
from tests.judges.paths.page import page
from tests.judges.paths.peers import Java, java_missing
from tests.judges.paths.run import Result, run

PUBLISHED = 2026  # of docs/pki-differential.md
ROOT = Path(__file__).resolve().parents[3]


def main() -> int:
    """0: every disagreement is in a class; 1: some are not, and stand on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.judges.paths", description=__doc__)
    parser.add_argument("--chains", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first chain")
    parser.add_argument(
        "--seed", type=int, default=PUBLISHED, help=f"other chains than the published {PUBLISHED}"
    )
    parser.add_argument("--keep", type=Path, help="where the files of disagreements stay")
    parser.add_argument("--out", type=Path, help="write the table there (docs/pki-differential.md)")
    parser.add_argument("--without-java", action="store_true", help="ask openssl alone")
    args = parser.parse_args()
    print(f"seed {args.seed}", file=sys.stderr)
    begin = time.monotonic()
    peers: list[Peer] = [openssl_peer()]
    java = None
    if not args.without_java:
        if absent := java_missing():
            print(f"Bouncy Castle cannot be asked: {absent}", file=sys.stderr)
            return 3
        java = Java()
        peers.append(bouncy_castle(java))
    folder = args.keep or Path(tempfile.mkdtemp(prefix="judge-paths-"))
    try:
        result = run(
            args.seed, range(args.first, args.first + args.chains), peers, folder, _tell_one
        )
    finally:
        if java is not None:
            java.close()
        if args.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    if args.out:
        args.out.write_text(page(result, peers, args.seed))
    _tell(result)
    print(f"{time.monotonic() - begin:.0f} s", file=sys.stderr)
    return 1 if result.unclassified else 0


def _tell(result: Result) -> None:
    for (peer, ours, theirs), count in sorted(result.verdicts.items()):
        print(f"{count:6}  {peer}: ours {_word(ours)}, theirs {_word(theirs)}")
    for (peer, key), numbers in sorted(result.classes.items()):
        print(f"{len(numbers):6}  {peer}: {key}, first in chain {numbers[0]}")
    print(f"{len(result.unclassified)} in no class", file=sys.stderr)


def _tell_one(one: Comparison) -> None:
    print(
        f"in no class: chain {one.case.number} {sorted(one.case.traits)}\n"
        f"  ours: {one.ours.why}\n  {one.peer.name}: {one.theirs.why}",
        file=sys.stderr,
        flush=True,
    )


def _word(valid: bool) -> str:
    return "valid" if valid else "refused"


if __name__ == "__main__":
    sys.exit(main())
