"""`./dev bench profile`: where each millisecond of processor time of a mail goes.

How much a process takes is asked of the kernel; what it does with it is sampled with py-spy, which
stops the process for each sample and so makes it slower: shares are right, speed is not measured.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench.ends import Receiver
from bench.keys import RSA_BITS, require_sealable
from bench.load import SIZES
from bench.measure import Round, measure
from bench.pair import Pair
from bench.picture import bars
from bench.sceau import Sceau
from gateway.demo.pki import Keys
from gateway.demo.process import NotStartedError
from gateway.demo.stage import stage

RESULTS = Path("build/bench-profile")

_ROLES = ("intake", "worker", "index")
_A_SECOND = 200
_COUNTS = {"4k": 3000, "75k": 1500, "1M": 200}

# By what the innermost of our own (or our libraries') files in a stack is about.
_SUBJECTS = {
    "RSA and AES (OpenSSL)": ("pki/keys", "gateway/smime/bulk", "gateway/smime/wrapping"),
    "S/MIME structures": ("gateway/smime/",),
    "commitments and chain": ("archive/fields", "archive/drafts", "archive/entry", "archive/chain"),
    "sealing for the archive": (
        "archive/seal",
        "archive/wrap",
        "archive/batch",
        "archive/recipients",
        "archive/working",
        "archive/blob",
    ),
    "full text": ("archive/index", "archive/fulltext"),
    "database": (
        "sqlalchemy/",
        "psycopg",
        "pysqlite3/",
        "gateway/database/",
        "archive/",
        "gateway/queue/store",
        "gateway/queue/batches",
        "gateway/queue/outcomes",
    ),
    "MIME": ("gateway/mime/",),
    "policy and certificates": (
        "gateway/policy/",
        "gateway/record",
        "gateway/signers",
        "gateway/seal_check",
        "gateway/routes",
        "pki/",
    ),
    "SMTP": ("gateway/smtp/", "gateway/accept", "gateway/deliver"),
    "log": ("structlog/", "gateway/maillog", "gateway/logstream"),
    "queue and outbound": ("gateway/queue/", "gateway/outbound/", "gateway/belief"),
    "event loop and threads": ("asyncio/", "concurrent/", "selectors", "threading"),
}
# Here a thread waits: for the network, for others, for the disk. (A commit works a little, too.)
_WAITS = re.compile(
    r"^(\S*\.select \(selectors|\S*[wW]ait \(threading|_worker \(concurrent|\S*do_commit \("
    r"|\S*write \(gateway/database/sqlite|\S*beat \(gateway/lifeline)"
)
_FRAME = re.compile(r" \(([^:()]+):\d+\)$")
_HOME = re.compile(r".*/(?=(?:gateway|pki|archive)/)|.*/site-packages/|.*/lib/python3[.\d]*/")


class _Watched(Sceau):
    """Sceau with a sampler on each role, from the first mail that counts to the last."""

    samplers: dict[str, subprocess.Popen[bytes]]

    def watch(self, folder: Path) -> None:
        """Where the samples go; before `start`."""
        self.samplers = {}
        self._samples = folder

    def processor(self) -> dict[str, float]:
        """At its first call sampling begins, at the second it ends."""
        if not self.samplers:
            for role, pids in self.pids().items():
                if role in _ROLES:
                    command = [str(Path(sys.executable).with_name("py-spy")), "record"]
                    command += ["--nonblocking", "-f", "raw", "-d", "600", "-r", str(_A_SECOND)]
                    command += ["-o", str(self._samples / role), "-p", str(pids[0])]
                    self.samplers[role] = subprocess.Popen(
                        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                    )
        else:
            for sampler in self.samplers.values():
                sampler.send_signal(signal.SIGINT)
                sampler.wait(30)
        return dict(super().processor())


def subjects(samples: Path) -> dict[str, float]:
    """Shares of 1 by subject, of stacks as py-spy writes them."""
    counted: Counter[str] = Counter()
    for line in samples.read_text().splitlines():
        stack, _, times = line.rpartition(" ")
        frames = stack.split(";")
        if not _WAITS.match(frames[-1]):
            counted[_subject(frames)] += int(times)
    total = sum(counted.values()) or 1
    return {name: number / total for name, number in counted.items()}


def _subject(frames: Sequence[str]) -> str:
    for frame in reversed(frames):
        found = _FRAME.search(frame)
        file = _HOME.sub("", found[1]) if found else ""
        for name, beginnings in _SUBJECTS.items():
            if file.startswith(beginnings):
                return name
    return "other"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 3: could not be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench profile", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="4k", help="of the mails (default 4k)")
    parser.add_argument("--dir", type=Path, help="work below this folder (default: temporary)")
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args(arguments)
    try:
        require_sealable("rsa")
        with ExitStack() as stack:
            temporary = tempfile.TemporaryDirectory(prefix="sceau-bench-", dir=options.dir)
            folder = Path(stack.enter_context(temporary))
            done = _measure(stack, folder, options.size)
            shares = {role: subjects(folder / role) for role in _ROLES}
    except NotStartedError as error:
        print(error, file=sys.stderr)
        return 3
    rows = {
        role: {
            name: round(share * done.processor[role], 3)
            for name, share in sorted(shares[role].items(), key=lambda one: -one[1])
        }
        for role in _ROLES
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    title = f"milliseconds of processor time for a mail of {options.size}, by process"
    (RESULTS / f"profile-{options.size}.svg").write_text(bars(title, rows))
    if options.json:
        print(json.dumps({"bench": "profile", "size": options.size, "milliseconds": rows}))
        return 0
    for role, parts in rows.items():
        print(f"{role}: {sum(parts.values()):.2f} ms a mail")
        for name, value in parts.items():
            print(f"  {name:<32}{value:>7.3f}")
    print(f"picture: {RESULTS / f'profile-{options.size}.svg'}")
    return 0


def _measure(stack: ExitStack, folder: Path, size: str) -> Round:
    around = stack.enter_context(stage(folder, keys=Keys(RSA_BITS)))
    around.sink.stop()
    receiver = Receiver(folder / "received")
    sceau = _Watched("sceau", around, receiver.port, workers=1)
    sceau.watch(folder)
    pair = Pair(around, folder)
    return measure(sceau, receiver, pair.load(SIZES[size]), pair.opened, _COUNTS[size])


if __name__ == "__main__":
    sys.exit(main())
