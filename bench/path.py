"""`./dev bench path`: what it costs to find and judge a recipient's certificate, with a CRL of
100,000 entries: from the cache, and anew. The peer is `openssl verify`, which reads it each time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

import migrations
from bench.keys import RSA_BITS, require_sealable
from gateway.database import open_database
from gateway.demo.pki import Authority, Keys, World, crowd_address, make_world
from gateway.demo.process import NotStartedError
from pki.anchors import load_anchor
from pki.crl import read_crl
from pki.crl_store import store_crl
from pki.finder import CertificateFinder
from pki.models import Certified
from pki.store import import_certificate
from pki.trust import StoredTrust

ENTRIES = 100_000
_PEOPLE = 50
_CACHED = 20_000


def publish(authority: Authority, *, moment: datetime) -> bytes:
    """A CRL with so many entries, of nobody we ask for; DER."""
    revoked = [
        x509.RevokedCertificateBuilder()
        .serial_number((1 << 100) + number * 7919)
        .revocation_date(moment)
        .build()
        for number in range(ENTRIES)
    ]
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(
        authority.credential.key.public_key()
    )
    builder = x509.CertificateRevocationListBuilder(
        authority.credential.certificate.subject,
        moment,
        moment + timedelta(days=7),
        [
            x509.Extension(x509.CRLNumber.oid, critical=False, value=x509.CRLNumber(2)),
            x509.Extension(key_id.oid, critical=False, value=key_id),
        ],
        revoked,  # at once: added one by one it takes the square of them
    )
    crl = builder.sign(authority.credential.key, hashes.SHA256())
    der = crl.public_bytes(serialization.Encoding.DER)
    authority.crl_file.write_bytes(der)
    return der


def measure(folder: Path, world: World, *, moment: datetime) -> dict[str, float]:
    """Milliseconds each."""
    house = world.justice
    publish(house.issuing, moment=moment)
    database = open_database(f"sqlite:///{folder / 'bench.db'}")
    read_ms = 0.0
    with database.write() as conn:
        migrations.upgrade(conn)
        for authority in (house.root, house.issuing):
            begin = time.perf_counter()
            crl = read_crl(authority.crl_file.read_bytes())
            read_ms = (time.perf_counter() - begin) * 1000
            store_crl(conn, crl, moment=moment)
        crowd = [crowd_address(number) for number in range(_PEOPLE)]
        for person in house.people:
            if person.address in crowd:
                import_certificate(
                    conn, person.directory[0], by="bench", source="bench", moment=moment
                )
    root = house.root.credential
    trust = StoredTrust(
        database.read,
        anchors=[
            load_anchor(
                root.certificate_file,
                name="root",
                fingerprint=root.certificate.fingerprint(hashes.SHA256()).hex(),
                domains=(house.domain,),
            )
        ],
        intermediates=[house.issuing.credential.der],
        poll=timedelta(days=1),
    )
    finder = CertificateFinder(read=database.read, trust=trust, directories=[])

    def find(address: str) -> float:
        begin = time.perf_counter()
        found = finder.find(address, moment=moment)
        taken = (time.perf_counter() - begin) * 1000
        if not isinstance(found, Certified):
            raise AssertionError(f"{address} was not found: {found}")
        return taken

    first = find(crowd[0])
    anew = statistics.median(find(address) for address in crowd[1:])
    begin = time.perf_counter()
    for number in range(_CACHED):
        finder.find(crowd[number % _PEOPLE], moment=moment)
    cached = (time.perf_counter() - begin) * 1000 / _CACHED
    finder.close()
    database.close()
    return {
        "reading the CRL, once": read_ms,
        "the first certificate under it": first,
        "each further certificate, not in the cache": anew,
        "from the cache": cached,
        "openssl verify, a process": _openssl(folder, world),
    }


def _openssl(folder: Path, world: World) -> float:
    house = world.justice
    trust = folder / "trust.pem"
    parts = [house.root.credential.certificate_file.read_bytes()]
    for authority in (house.root, house.issuing):
        crl = x509.load_der_x509_crl(authority.crl_file.read_bytes())
        parts.append(crl.public_bytes(serialization.Encoding.PEM))
    trust.write_bytes(b"".join(parts))
    reader = house.person().credential
    assert reader is not None
    command = ["openssl", "verify", "-crl_check_all", "-CAfile", str(trust), "-untrusted"]
    command += [str(house.issuing.credential.certificate_file), str(reader.certificate_file)]

    taken = []
    for _ in range(7):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append((time.perf_counter() - begin) * 1000)
    return statistics.median(taken)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 3: could not be measured."""
    parser = argparse.ArgumentParser(prog="./dev bench path", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object at the end")
    options = parser.parse_args(arguments)
    moment = datetime.now(UTC).replace(microsecond=0)
    try:
        require_sealable("rsa")
    except NotStartedError as error:
        print(error, file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory(prefix="sceau-bench-") as folder:
        place = Path(folder)
        world = make_world(
            place / "world", "http://127.0.0.1:1", moment=moment, keys=Keys(RSA_BITS), crowd=_PEOPLE
        )
        found = measure(place, world, moment=moment)
    if options.json:
        print(json.dumps({"bench": "path", "entries": ENTRIES, "milliseconds": found}))
        return 0
    print(f"a certificate whose CRL has {ENTRIES} entries, milliseconds:")
    for name, value in found.items():
        print(f"  {name:<44}{value:>10.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
