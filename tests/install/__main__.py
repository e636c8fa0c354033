"""Run the page: python -m tests.install [--keep] [--until LINE] [--folder DIR] [PAGE]."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.install.machines import Failed, Machines, report, tree
from tests.install.page import Block, blocks

ROOT = Path(__file__).resolve().parents[2]
# As the page and the README have them.
MACHINES = {"mail": "10.1.2.3", "sceau": "10.1.2.4", "border": "10.1.2.5"}
SOURCE = "opt/sceau/src"
PATIENCE = 300.0
UNITS = {"mail": ["postfix@-"], "sceau": ["sceau", "slapd"], "border": ["postfix@-"]}


def main() -> int:
    """0 if every block did what it says."""
    parser = argparse.ArgumentParser(prog="./dev try-install", description=__doc__)
    parser.add_argument("page", nargs="?", type=Path, default=ROOT / "docs" / "install.md")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/sceau-try-install"))
    parser.add_argument("--keep", action="store_true", help="leave the machines' folders")
    parser.add_argument(
        "--stay", action="store_true",
        help="when a block fails, wait until the page is changed and try that block again; "
        "at the end wait for Ctrl-C",
    )  # fmt: skip
    args = parser.parse_args()
    begin = time.monotonic()
    count = len(_page(args.page))
    _say(f"{count} blocks of {args.page}; three bare machines in {args.folder}")
    try:
        with Machines(args.folder, MACHINES, keep=args.keep) as machines:
            tree(ROOT, machines["sceau"].root / SOURCE)
            done = 0
            while done < len(page := _page(args.page)):
                try:
                    _run(page[done], machines)
                except Failed as failed:
                    if not args.stay:
                        raise
                    print(f"\n{failed}", file=sys.stderr, flush=True)
                    _changed(args.page, machines)
                else:
                    done += 1
            _say(f"every command of the page did its work, {time.monotonic() - begin:.0f} s")
            if args.stay:
                _changed(args.page, machines)
    except Failed as failed:
        print(f"\n{failed}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


def _page(path: Path) -> list[Block]:
    return [block for block in blocks(path) if block.machine]


def _changed(page: Path, machines: Machines) -> None:
    """Wait until the page is another one; meanwhile somebody may look around."""
    _say("to look around: " + ", ".join(f"nsenter -at {m.leader} ({m.name})" for m in machines))
    before = page.stat().st_mtime_ns
    while page.stat().st_mtime_ns == before:
        time.sleep(1)
    tree(ROOT, machines["sceau"].root / SOURCE)


def _run(block: Block, machines: Machines) -> None:
    """Raises Failed."""
    machine = machines[block.machine]
    _say(f"{machine.name}, line {block.line}")
    for line in block.text.splitlines():
        print(f"    {line}", flush=True)
    if block.waits:
        end = time.monotonic() + PATIENCE
        while (done := machine.quietly(block.script))[0] and time.monotonic() < end:
            time.sleep(1)
        code = done[0]
        print(done[1], end="", flush=True)
    else:
        code = machine.run(block.script)
    if code:
        said = report(machine, UNITS[machine.name])
        raise Failed(f"the block of line {block.line} ends with {code} on {machine.name}\n{said}")
    if block.shared:
        machines.share(machine.name, block.shared)


def _say(text: str) -> None:
    print(f"==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
