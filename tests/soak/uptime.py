"""Memory of every process over an hour at load: it may not grow after the warm-up.

What is measured is private memory (RssAnon of proc(5)): files mapped by the full-text index are the
page cache's. The curve of each process is written as CSV and as a picture.
"""

from __future__ import annotations

import random
import re
import tempfile
import textwrap
import threading
import time
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from bench.ends import Counter
from gateway.demo.client import Letter, send
from gateway.demo.house import House, children_of
from gateway.demo.process import free_port
from gateway.demo.stage import stage
from tests.flows.way_out_scene import AMELIE, BASTIEN, JEANNE, NOBODY, mail

ROUNDS = 60  # minutes
RESULTS = Path("build/soak-uptime")

# Megabytes an hour at load that a process may grow by after the warm-up, and what the allocator
# may take at any time without it being growth: steps of some pages, a larger mail than before.
MOST_AN_HOUR = 8.0
NOISE = 4.0
_WARM_UP = 1 / 3  # of the run: caches fill, imports that come late, SQLite's pages
_SAMPLE = 2.0
_CLIENTS, _BATCH, _PAUSE = 2, 10, 0.25
_KINDS = (400, 2_000, 8_000, 60_000, 250_000)
_WEIGHTS = (30, 40, 20, 8, 2)

# As in a language: few words make up most of a text, and new ones become rare. Letters by chance
# would make every word a new one, and a full-text index grows with its words.
_WORDS = tuple(
    "".join(random.Random(n).choices("aeinorstuldcmp", k=3 + n % 9)) for n in range(30_000)
)
_FREQUENCIES = tuple(accumulate(1 / (n + 3) for n in range(len(_WORDS))))
_WORD = 7  # octets of a word and its blank, about

_ANON = re.compile(r"^RssAnon:\s+(\d+) kB", re.MULTILINE)
_ROLE = re.compile(r"gateway\.roles\0(\w+)\0")


@dataclass
class Curve:
    """Memory of one process in megabytes, by seconds since the load began."""

    name: str
    points: list[tuple[float, float]] = field(default_factory=list)

    def growth(self, since: float) -> tuple[float, float]:
        """Megabytes an hour, and megabytes in all, after `since`.

        Least squares over the lowest value of each of twenty stretches: what a mail takes for its
        moment is no growth, what is never given back is.
        """
        late = [point for point in self.points if point[0] >= since]
        size = max(1, len(late) // 20)
        lows = [min(late[n : n + size], key=lambda p: p[1]) for n in range(0, len(late), size)]
        if len(lows) < 5:
            return 0.0, 0.0
        mean_x = sum(x for x, _ in lows) / len(lows)
        mean_y = sum(y for _, y in lows) / len(lows)
        above = sum((x - mean_x) * (y - mean_y) for x, y in lows)
        slope = above / sum((x - mean_x) ** 2 for x, _ in lows)
        return slope * 3600, slope * (lows[-1][0] - lows[0][0])


def run(seed: int, rounds: int = ROUNDS) -> None:
    """rounds: minutes. Raises AssertionError when a process grows, dies, or mail is lost."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sceau-uptime-") as folder, stage(Path(folder)) as made:
        sink = Counter(port := free_port())
        house = made.house(retry='["1s"]', sink_port=port).make(persons=False)
        house.start()
        try:
            accepted, curves = _under_load(house, seed, rounds * 60.0)
            patience = max(60.0, rounds * 6.0)
            complete = sink.wait(accepted, patience)
            deaths = [e for e in house.events() if e["event"] in ("process_died", "process_killed")]
        finally:
            house.stop()
            sink.stop()
    _write(curves)
    grown = []
    for curve in curves:
        slope, total = curve.growth(rounds * 60.0 * _WARM_UP)
        last = curve.points[-1][1]
        print(f"{curve.name:12} {last:7.1f} MB, {slope:+6.1f} MB/h, {total:+5.1f} MB after warm-up")
        if slope > MOST_AN_HOUR and total > NOISE:
            grown.append(curve.name)
    print(f"{accepted} mails; curves: {RESULTS}/memory.svg, {RESULTS}/memory.csv", flush=True)
    assert not deaths, f"processes died: {deaths}"
    assert complete, f"{sink.mails} of {accepted} mails arrived"
    assert not grown, f"more than {MOST_AN_HOUR} MB an hour: {', '.join(grown)}"


def _under_load(house: House, seed: int, seconds: float) -> tuple[int, list[Curve]]:
    """Mails that were promised, and the curves."""
    assert house.process is not None
    stop = threading.Event()
    promised = [0] * _CLIENTS

    def client(number: int) -> None:
        dice = random.Random(f"{seed}/{number}")
        while not stop.is_set():
            letters = [letter(dice) for _ in range(_BATCH)]
            receipts = send(letters, house.listen_port, connections=2)
            # To NOBODY it is held, and never arrives.
            arriving = {one.key for one in letters if one.rcpt_to != (NOBODY,)}
            promised[number] += sum(r.code == 250 and r.key in arriving for r in receipts)
            stop.wait(_PAUSE)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(_CLIENTS)]
    curves: dict[int, Curve] = {}
    names: dict[str, int] = {}
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        while (now := time.monotonic() - begun) < seconds:
            for pid in (house.process.pid, *children_of(house.process.pid)):
                if pid not in curves:
                    curves[pid] = Curve(_name(pid, names))
                if (anon := anonymous(pid)) is not None:
                    curves[pid].points.append((now, anon))
            time.sleep(_SAMPLE)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return sum(promised), list(curves.values())


def letter(dice: random.Random) -> Letter:
    """A mail as in a house: mostly small, in the words of a language."""
    size = dice.choices(_KINDS, _WEIGHTS)[0]
    to = dice.choices((AMELIE, BASTIEN, NOBODY), (60, 38, 2))[0]
    text = " ".join(dice.choices(_WORDS, cum_weights=_FREQUENCIES, k=size // _WORD))
    text = "\r\n".join(textwrap.wrap(text, 72))
    sender = JEANNE if dice.random() > 0.03 else "somebody@elsewhere.example"  # 550
    key = f"{dice.getrandbits(64):x}"
    return Letter(key, sender, (to,), mail(text, sender=sender, to=to, subject=key))


def _name(pid: int, names: dict[str, int]) -> str:
    found = _ROLE.search(Path(f"/proc/{pid}/cmdline").read_text())
    role = found[1] if found else "supervisor"
    names[role] = names.get(role, 0) + 1
    return f"{role}-{names[role]}"


def anonymous(pid: int) -> float | None:
    """Private memory of a process in megabytes, None if it is gone."""
    try:
        found = _ANON.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return None if found is None else int(found[1]) / 1000


def _write(curves: list[Curve]) -> None:
    lines = ["process,seconds,megabytes"]
    lines += [f"{c.name},{x:.1f},{y:.2f}" for c in curves for x, y in c.points]
    (RESULTS / "memory.csv").write_text("\n".join(lines) + "\n")
    (RESULTS / "memory.svg").write_text(_picture(curves))


def _picture(curves: list[Curve]) -> str:
    """A line a process, with its name at the end of it."""
    width, height, edge = 900, 480, 60
    most_x = max(x for c in curves for x, _ in c.points) or 1.0
    most_y = max(y for c in curves for _, y in c.points) * 1.1 or 1.0

    def place(x: float, y: float) -> str:
        right = edge + x / most_x * (width - 3 * edge)
        return f"{right:.1f},{height - edge - y / most_y * (height - 2 * edge):.1f}"

    shades = ("#0b5", "#06c", "#c50", "#808", "#a80", "#088", "#c06", "#555")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"',
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{edge}" y="{edge // 2}">private memory (MB) by minutes at load</text>',
    ]
    for n in range(6):
        x, y = place(most_x * n / 5, 0).split(",")
        parts.append(f'<text x="{x}" y="{float(y) + 18}">{most_x * n / 300:.0f}</text>')
        x, y = place(0, most_y * n / 5).split(",")
        parts.append(f'<text x="8" y="{y}">{most_y * n / 5:.0f}</text>')
        parts.append(f'<line x1="{x}" y1="{y}" x2="{width - 2 * edge}" y2="{y}" stroke="#ddd"/>')
    for number, curve in enumerate(curves):
        shade = shades[number % len(shades)]
        line = " ".join(place(x, y) for x, y in curve.points)
        x, y = place(*curve.points[-1]).split(",")
        parts.append(f'<polyline fill="none" stroke="{shade}" points="{line}"/>')
        parts.append(f'<text x="{float(x) + 4}" y="{y}" fill="{shade}">{curve.name}</text>')
    return "\n".join([*parts, "</svg>", ""])
