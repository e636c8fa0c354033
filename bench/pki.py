"""`./dev bench pki`: a CRL of a million entries, what a certificate costs, and 200,000 of them.

The peer is openssl on the same file in the same run, by turns. Each measurement is a process of its
own, so that its memory is its own too. Times are processor time: others may use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

import migrations
from bench.keys import RSA_BITS, require_sealable
from bench.large_crl import large_crl, serials
from bench.large_ldif import Crowd
from gateway.database import Database, open_database
from gateway.demo.pki import JUSTICE, Authority, Keys, World, crowd_address, make_world
from gateway.demo.process import NotStartedError
from pki.anchors import Anchor, load_anchor
from pki.bulk import Fate, Import, entries_of_ldif, import_entries
from pki.certificate import ParsedCertificate
from pki.crl_folder import CrlFolder
from pki.crl_receive import receive
from pki.crl_store import store_crl
from pki.finder import CertificateFinder
from pki.models import Certified
from pki.path import Material, find_path
from pki.store import import_certificate
from pki.trust import StoredTrust

ENTRIES = 1_000_000
IMPORTED = 200_000
_IMPORT_SECONDS = 300  # for so many
_PEOPLE = 60
_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be reached, and how it is told. limit: None where nothing is aimed at."""

    name: str
    value: float
    limit: float | None
    unit: str

    @property
    def reached(self) -> bool:
        """Whether it is as good as it should be."""
        return self.limit is None or self.value <= self.limit

    @property
    def line(self) -> str:
        """A row of the table."""
        aim = "" if self.limit is None else f"{self.limit:g}"
        reached = "" if self.limit is None else "yes" if self.reached else "no"
        return f"| {self.name} | {self.value:.3g} {self.unit} | {aim} | {reached} |"


@dataclass(slots=True)
class Place:
    """Where a run has its files; handed to each process by its folder alone."""

    folder: Path
    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def crl_file(self) -> Path:
        """The large CRL."""
        return self.folder / "large.crl"

    @property
    def ldif_file(self) -> Path:
        """The large directory."""
        return self.folder / "users.ldif"

    def database(self) -> Database:
        """With the large CRL in it, once `index` has run."""
        return open_database(f"sqlite:///{self.folder / 'bench.db'}")

    def crls(self) -> CrlFolder:
        """Indexes."""
        return CrlFolder(self.folder / "crls")

    def anchors(self) -> list[Anchor]:
        """The root, for every domain."""
        der = (self.folder / "root.der").read_bytes()
        fingerprint = ParsedCertificate(der).sha256
        return [load_anchor(self.folder / "root.der", name="root", fingerprint=fingerprint)]

    def intermediates(self) -> list[bytes]:
        """The issuing CA."""
        return [(self.folder / "issuing.der").read_bytes()]

    def trust(self, database: Database) -> StoredTrust:
        """As a worker has it."""
        return StoredTrust(
            database.read,
            anchors=self.anchors(),
            intermediates=self.intermediates(),
            poll=timedelta(days=1),
            folder=self.crls(),
        )

    def people(self) -> list[bytes]:
        """Certificates below the issuing CA."""
        return [file.read_bytes() for file in sorted(self.folder.glob("person-*.der"))]


def prepare(place: Place, entries: int, imported: int) -> None:
    """A world, its large CRL, a directory written out, and an empty database."""
    world: World = make_world(
        place.folder / "world",
        "http://127.0.0.1:9",
        moment=place.moment,
        keys=Keys(RSA_BITS),
        crowd=_PEOPLE,
    )
    house = world.justice
    moment = place.moment.replace(microsecond=0)
    place.crl_file.write_bytes(large_crl(house.issuing, entries, moment=moment))
    with place.ldif_file.open("wb") as file:
        file.writelines(Crowd(house.issuing, JUSTICE, moment=moment).ldif(imported))
    for name, authority in (("root", house.root), ("issuing", house.issuing)):
        (place.folder / f"{name}.der").write_bytes(authority.credential.der)
    pem = house.issuing.credential.certificate.public_bytes(Encoding.PEM)
    (place.folder / "issuing.pem").write_bytes(pem)
    crowd = {crowd_address(number) for number in range(_PEOPLE)}
    people = [person.directory[0] for person in house.people if person.address in crowd]
    for number, der in enumerate(people):
        (place.folder / f"person-{number:04}.der").write_bytes(der)
    _store_small(place, house.root)


def _store_small(place: Place, root: Authority) -> None:
    """The database with what is small: the root's CRL and the people."""
    database = place.database()
    material = Material(place.anchors(), place.intermediates())
    with database.write() as conn:
        migrations.upgrade(conn)
        data = root.crl_file.read_bytes()
        crl, _ = receive(data, "bench", material=material, moment=place.moment)
        store_crl(conn, crl, moment=place.moment)
        for der in place.people():
            import_certificate(conn, der, by="bench", source="bench", moment=place.moment)
    database.close()


# What each process does; it prints one JSON object.


def index(place: Place) -> dict[str, float]:
    """The keeper: check the large CRL, index it, store it."""
    material = Material(place.anchors(), place.intermediates())
    data = place.crl_file.read_bytes()
    begin = time.process_time()
    crl, indexed = receive(
        data, "bench", material=material, moment=place.moment, folder=place.crls()
    )
    seconds = time.process_time() - begin
    database = place.database()
    begin = time.process_time()
    with database.write() as conn:
        store_crl(conn, crl, moment=place.moment, indexed=indexed)
    storing = time.process_time() - begin
    database.close()
    return {"seconds": seconds, "storing": storing, "entries": len(crl.entries)}


def worker(place: Place) -> dict[str, float]:
    """A worker: what knowing the CRL costs it, in time and in memory of its own."""
    database = place.database()
    trust = StoredTrust(database.read, anchors=place.anchors(), intermediates=[])
    with database.read() as conn:
        conn.exec_driver_sql("select 1")
    before = _private()
    trust = place.trust(database)
    begin = time.process_time()
    material = trust.current().material
    opening = time.process_time() - begin
    issuer = ParsedCertificate(place.intermediates()[0]).subject
    (crl,) = material.crls[issuer]
    listed = serials(len(crl.entries), 20_000)
    begin = time.process_time()
    found = sum(crl.entries.find(serial, issuer) is not None for serial in listed)
    look_up = (time.process_time() - begin) / len(listed)
    if found != len(listed):
        raise AssertionError(f"{len(listed) - found} revocations were not found")
    database.close()
    return {"opening": opening, "look_up": look_up * 1000, "private": _private() - before}


def paths(place: Place) -> dict[str, float]:
    """Three certificates, CRLs known: a path from nothing; a recipient met for the first time; one
    whose certificate was judged before, looked up anew; a finding that is kept.
    """
    database = place.database()
    trust = place.trust(database)
    trust.current()
    crls = [crl for each in trust.current().material.crls.values() for crl in each]
    people = place.people()

    def cold(der: bytes) -> None:
        material = Material(place.anchors(), place.intermediates(), crls)
        find_path(ParsedCertificate(der), material, moment=place.moment)

    addresses = [ParsedCertificate(der).addresses.usable[0] for der in people]
    result = {"cold": _median_ms(cold, people)}
    for kept_for in (timedelta(0), timedelta(minutes=10)):
        finder = CertificateFinder(
            read=database.read, trust=trust, directories=[], found_ttl=kept_for
        )

        def find(address: str, finder: CertificateFinder = finder) -> None:
            if not isinstance(finder.find(address, moment=place.moment), Certified):
                raise AssertionError(f"{address} was not found")

        find(addresses[0])
        result["new"] = _median_ms(find, addresses[1:])
        result["cached" if kept_for else "known"] = _median_ms(find, addresses * 20)
        finder.close()
    database.close()
    return result


def people(place: Place) -> dict[str, float]:
    """All people of the directory: read, judged against all that is known, stored."""
    database = place.database()
    how = Import(
        write=database.write,
        material=place.trust(database).current().material,
        by="bench",
        source=place.ldif_file.name,
        moment=place.moment,
    )
    begin, wall = time.process_time(), time.perf_counter()
    stored = 0
    with place.ldif_file.open("rb") as file:
        for outcome in import_entries(entries_of_ldif(file), how):
            if outcome.fate is not Fate.STORED or outcome.unusable or len(outcome.addresses) != 2:
                raise AssertionError(f"entry {outcome.number}: {outcome}")
            stored += 1
    result = {
        "seconds": time.process_time() - begin,
        "wall": time.perf_counter() - wall,
        "people": stored,
    }
    database.close()
    return result


def _median_ms(act: Callable[..., None], items: Sequence[object]) -> float:
    taken = []
    for item in items:
        begin = time.process_time_ns()
        act(item)
        taken.append((time.process_time_ns() - begin) / 1e6)
    return statistics.median(taken)


def _private() -> float:
    """Megabytes that this process has for itself: what it wrote, not what it maps of files."""
    fields = dict(
        line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    )
    return int(fields["Private_Dirty"].split()[0]) * 1024 / _MB


_PARTS: dict[str, Callable[[Place], dict[str, float]]] = {
    "index": index,
    "worker": worker,
    "paths": paths,
    "people": people,
}


@dataclass(frozen=True, slots=True)
class Ran:
    """A process that has ended: processor seconds, peak of memory in MB, what it said."""

    seconds: float
    peak: float
    said: str


def run(command: Sequence[str]) -> Ran:
    """Raises AssertionError if it fails.

    The peak is looked up while it runs: what the kernel says in the end counts what the process was
    before it became this program, which is as large as we are.
    """
    peak = 0
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            peak = max(peak, _peak_of(child.pid))
            time.sleep(0.002)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode("utf-8", "replace")
    if child.returncode:
        raise AssertionError(f"{command[0]} failed: {said[-2000:]}")
    return Ran(usage.ru_utime + usage.ru_stime, peak / _MB, said)


def _peak_of(pid: int) -> int:
    """Octets that a process has had in memory at most (VmHWM)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def measure(place: Place, rounds: int) -> tuple[list[Target], dict[str, object]]:
    """All of it; openssl and Sceau by turns."""
    openssl = ["openssl", "crl", "-verify", "-noout", "-inform", "DER"]
    openssl += ["-CAfile", str(place.folder / "issuing.pem"), "-in", str(place.crl_file)]
    theirs, ours, works = [], [], []
    for _ in range(rounds):
        theirs.append(run(openssl))
        if "verify OK" not in theirs[-1].said:
            raise AssertionError(f"openssl: {theirs[-1].said}")
        ours.append(_part("index", place))
        works.append(json.loads(ours[-1].said)["seconds"])
    seconds = statistics.median(each.seconds for each in theirs)
    work = statistics.median(works)
    known = json.loads(_part("worker", place).said)
    judged = json.loads(_part("paths", place).said)
    importer = _part("people", place)
    imported = json.loads(importer.said)
    share = imported["people"] / IMPORTED
    peak = max(each.peak for each in ours)
    targets = [
        Target("CRL checked and indexed, of `openssl crl -verify`", work / seconds, 1.3, "×"),
        Target("its process, peak of memory", peak, 250, "MB"),
        Target("a look-up in it", known["look_up"], 0.1, "ms"),
        Target("a worker's own memory for it", known["private"], 20, "MB"),
        Target("a path of three certificates from nothing", judged["cold"], 5, "ms"),
        Target("a recipient met for the first time", judged["new"], None, "ms"),
        Target("a known recipient, found and checked", judged["known"], 0.3, "ms"),
        Target("a finding that is kept", judged["cached"], 0.05, "ms"),
        Target(
            f"{imported['people']:,} people of an LDIF checked and stored",
            imported["seconds"],
            _IMPORT_SECONDS * share,
            "s",
        ),
        Target("the same by the clock on the wall", imported["wall"], None, "s"),
        Target("its process, peak of memory", importer.peak, 150, "MB"),
    ]
    beside = {
        "openssl": {"seconds": seconds, "peak": max(each.peak for each in theirs)},
        "index": {"seconds": work, "peak": peak, "all": [asdict(each) for each in ours]},
        "worker": known,
        "paths": judged,
        "people": imported,
        "octets": place.crl_file.stat().st_size,
    }
    return targets, beside


def _part(name: str, place: Place) -> Ran:
    return run([sys.executable, "-m", "bench.pki", "--part", name, "--folder", str(place.folder)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 if something that is to be reached is not; 3: could not be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench pki", description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES, help="of the large CRL")
    parser.add_argument("--people", type=int, default=IMPORTED, help="of the LDIF")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one object")
    parser.add_argument("--part", choices=sorted(_PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        print(json.dumps(_PARTS[options.part](Place(options.folder))))
        return 0
    try:
        require_sealable("rsa")
    except NotStartedError as error:
        print(error, file=sys.stderr)
        return 3
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="sceau-bench-") as folder:
        place = Place(Path(folder))
        prepare(place, options.entries, options.people)
        targets, beside = measure(place, options.rounds)
    if options.json:
        print(json.dumps({"bench": "pki", "targets": [asdict(t) for t in targets], **beside}))
    else:
        print("| what | measured | to reach | reached |\n|---|---|---|---|")
        print("\n".join(target.line for target in targets))
        print(json.dumps(beside), file=sys.stderr)
    return 0 if all(target.reached for target in targets) else 1


if __name__ == "__main__":
    sys.exit(main())
