"""Make docs/interop.md: python -m tests.interop [--json] [--out FILE]. 1 if anything is wrong."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tests.interop import corpora, matrix, page

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """0 if every file and every program is as expected."""
    parser = argparse.ArgumentParser(prog="./dev interop", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "interop.md", metavar="FILE")
    parser.add_argument("--json", action="store_true", help="print the results, one object a line")
    args = parser.parse_args()
    os.environ["LC_ALL"] = "C"  # messages of the peers in English
    begin = time.monotonic()
    base = Path(os.environ.get("SCEAU_CORPORA", ROOT.parent / "shared" / "corpora"))
    if not base.exists():
        print(f"the corpora are not in {base}: name their folder in SCEAU_CORPORA", file=sys.stderr)
        return 3
    rows = corpora.rows(base)
    fuzz = corpora.fuzz(base)
    cells, peers = matrix.run()
    args.out.write_text(page.page(rows, fuzz, cells, peers))
    if args.json:
        for record in page.records(rows, fuzz, cells):
            print(json.dumps(record))
    wrong = [f"{row.file}: {row.said}; {row.wrong}" for row in rows if row.wrong]
    wrong += [f"{name}: in no case" for name in corpora.forgotten(base)]
    wrong += [f"{name}: no such file" for name in corpora.absent(base)]
    wrong += [f"openssl-fuzz-cms: {fuzz.wrong}"] * bool(fuzz.wrong)
    wrong += [f"{cell.title}: {cell.said}" for cell in cells if cell.wrong]
    for line in wrong:
        print(f"wrong: {line}", file=sys.stderr)
    spent = time.monotonic() - begin
    print(
        f"{len(rows)} verdicts on files, {len(cells)} cells, {len(wrong)} wrong; {spent:.0f} s",
        file=sys.stderr,
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
