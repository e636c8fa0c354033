"""`./dev bench smime`: S/MIME alone, in milliseconds of processor time a mail.

Sealing: signed, then encrypted. Opening: decrypted, then verified up to a trust anchor, without
CRLs. The peers (`bench.smime_peers`) do the same with the same keys and mails in the same run, by
turns: the C program on OpenSSL's CMS, Bouncy Castle in a warm process by its own algorithms and by
those of the JDK, NSS's cmsutil. Beside them stands what the bare primitives cost, below which
nobody comes: to seal one private-key operation, one for each recipient, the content hashed and
encrypted; to open one private-key operation, one signature, the content decrypted and hashed. Of
all rounds the fastest counts: what else runs on the machine only adds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher as PlainCipher
from cryptography.hazmat.primitives.ciphers import algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding

from bench.keys import RSA_BITS
from bench.load import mail
from bench.smime_peers import BouncyCastle, Cmsutil, OpenSSL, Peer, Task
from gateway.demo.pki import Credential, Keys, World, make_world
from gateway.memory import keep_heap
from gateway.mime.entity import Message, content_entity, split
from gateway.smime.algorithms import Cipher, KeyManagement
from gateway.smime.cms import ContentInfo
from gateway.smime.decrypt import decrypt
from gateway.smime.encrypt import Recipient, encrypt
from gateway.smime.layers import verify
from gateway.smime.sign import sign
from gateway.smime.verdicts import Status
from gateway.smime.verify import Rules
from pki.anchors import load_anchor
from pki.decrypter import KeyDecrypter
from pki.keys import load_signer
from pki.path import Material, Revocation
from pki.verdict import unsafe_unchecked

SIZES = {"4k": 4_096, "75k": 75_000, "1M": 1_000_000, "10M": 10_000_000}
RECIPIENTS = (1, 10, 100)
_OCTETS, _MOST = 6_000_000, 60  # a round does so many octets, or so many mails


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to a mail. work: "seal" or "open"."""

    work: str
    size: str
    keys: str
    cipher: str
    recipients: int

    def __str__(self) -> str:
        return f"{self.work} {self.size} {self.keys} {self.cipher}, {self.recipients} recipients"


@dataclass(frozen=True, slots=True)
class Result:
    """Milliseconds of processor time a mail. None where not measured, or not to be had."""

    case: Case
    sceau: float
    openssl: float
    bouncy_castle: float | None
    bouncy_castle_jdk: float | None
    cmsutil: float | None
    primitives: float | None

    @property
    def ratio(self) -> float:
        """How many times the C program's time."""
        return self.sceau / self.openssl

    @property
    def rate(self) -> float | None:
        """How many mails in the time that Bouncy Castle takes for one."""
        return None if self.bouncy_castle is None else self.bouncy_castle / self.sceau

    @property
    def possible(self) -> float | None:
        """What that would be if nothing but the primitives cost anything."""
        if self.bouncy_castle is None or self.primitives is None:
            return None
        return self.bouncy_castle / self.primitives


class Bench:
    """One world, with the files that the peers want."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._world = make_world(
            folder / "world", "http://127.0.0.1:9", moment=datetime.now(UTC), keys=Keys(RSA_BITS)
        )
        self._openssl = OpenSSL(folder)
        self._bouncy_castle = BouncyCastle("bc")
        self._over_jdk = BouncyCastle("jdk")
        self._cmsutil = Cmsutil(folder)
        self.peers: tuple[Peer, ...] = (
            self._openssl, self._bouncy_castle, self._over_jdk, self._cmsutil,
        )  # fmt: skip

    def run(self, case: Case, rounds: int) -> Result:
        """By turns, so that the machine's pace is the same for all."""
        octets, times = _work(case)
        message = split(mail(octets, *self._addresses(case.keys)))
        entity = content_entity(message)
        task = self._task(case)
        task.entity.write_bytes(entity)
        if case.work == "open":
            ours = self._opening(case, message, entity, task)
            floor = self._opening_primitives(case, entity)
        else:
            ours, floor = self._sceau(case, entity), self._primitives(case, entity)
        found: dict[str, list[float]] = {}

        def note(name: str, value: float | None) -> None:
            found.setdefault(name, []).append(math.inf if value is None else value)

        for number in range(rounds):
            note("sceau", _processor_ms(ours, times))
            note("openssl", self._openssl.milliseconds(task, times))
            note("bouncy_castle", self._bouncy_castle.milliseconds(task, times))
            note("over_jdk", self._over_jdk.milliseconds(task, times))
            if not number % 5:  # two processes a mail
                note("cmsutil", self._cmsutil.milliseconds(task, min(times, 3)))
            note("primitives", _processor_ms(floor, times))
        fastest = {name: min(values) for name, values in found.items()}
        return Result(
            case,
            fastest["sceau"],
            fastest["openssl"],
            *(
                None if fastest[name] == math.inf else fastest[name]
                for name in ("bouncy_castle", "over_jdk", "cmsutil", "primitives")
            ),
        )

    def _task(self, case: Case) -> Task:
        writer, reader = _credentials(self._world, case.keys)
        house = self._world.interieur
        return Task(
            case.work,
            case.keys,
            case.cipher,
            entity=self._folder / "entity",
            sealed=self._folder / "sealed",
            signer=writer.certificate_file,
            signer_key=writer.key_file,
            readers=tuple(one.with_suffix(".pem") for one in self._readers(case, reader)),
            reader_key=reader.key_file,
            issuer=house.issuing.credential.certificate_file,
            root=house.root.credential.certificate_file,
        )

    def _addresses(self, kind: str) -> tuple[str, str]:
        return (
            self._world.interieur.person(kind=kind).address,
            self._world.justice.person(kind=kind).address,
        )

    def _opening(
        self, case: Case, message: Message, entity: bytes, task: Task
    ) -> Callable[[], object]:
        """What the way in does; the mail is left in a file for the peers."""
        _, reader = _credentials(self._world, case.keys)
        moment = datetime.now(UTC)
        outer = [one.raw for one in message.fields if not one.name.startswith("content-")]
        sealed = b"".join(outer) + self._sceau(case, entity)()
        task.sealed.write_bytes(sealed)
        root = self._world.interieur.root.credential
        fingerprint = root.certificate.fingerprint(hashes.SHA256()).hex()
        anchor = load_anchor(root.certificate_file, name="root", fingerprint=fingerprint)
        rules = Rules(Material([anchor]), moment, Revocation.OFF)
        (twin,) = self._readers(case, reader)
        keys = [KeyDecrypter(reader.key, twin.read_bytes())]

        def open_layer(info: ContentInfo) -> bytes:
            return decrypt(info, keys, moment=moment, secret=bytes(32)).content

        def one() -> None:
            found = verify(sealed, rules, open_layer=open_layer)
            if found.status is not Status.VALID:
                raise SystemExit(f"{case}: {[one.text for one in found.problems]}")

        return one

    def _sceau(self, case: Case, entity: bytes) -> Callable[[], bytes]:
        writer, reader = _credentials(self._world, case.keys)
        files = [writer.certificate_file]
        if case.work == "open":  # who verifies wants the issuer, too; sealing is compared without
            files.append(self._world.interieur.issuing.credential.certificate_file)
        signer = load_signer(writer.key_file, tuple(files))
        how = KeyManagement.RSA_OAEP if case.keys == "rsa" else KeyManagement.ECDH
        moment = datetime.now(UTC)
        recipients = [
            Recipient(unsafe_unchecked(one.read_bytes(), moment=moment), how)
            for one in self._readers(case, reader)
        ]
        cipher = Cipher.AES_256_GCM if case.cipher == "gcm" else Cipher.AES_256_CBC
        return lambda: encrypt(sign(entity, signer).entity, recipients, cipher)

    def _primitives(self, case: Case, entity: bytes) -> Callable[[], object]:
        writer, reader = _credentials(self._world, case.keys)
        private, public = writer.key, reader.key.public_key()
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)

        def one() -> None:
            key, nonce = os.urandom(32), os.urandom(16)
            hashlib.sha256(entity).digest()
            if isinstance(private, rsa.RSAPrivateKey):
                private.sign(entity[:100], padding.PKCS1v15(), hashes.SHA256())
            else:
                private.sign(entity[:100], ec.ECDSA(hashes.SHA256()))
            for _ in range(case.recipients):
                if isinstance(public, rsa.RSAPublicKey):
                    public.encrypt(key, oaep)
                else:
                    ec.generate_private_key(public.curve).exchange(ec.ECDH(), public)
            if case.cipher == "gcm":
                AESGCM(key).encrypt(nonce[:12], entity, None)
            else:
                encryptor = PlainCipher(algorithms.AES(key), modes.CBC(nonce)).encryptor()
                encryptor.update(entity)

        return one

    def _opening_primitives(self, case: Case, entity: bytes) -> Callable[[], object]:
        writer, reader = _credentials(self._world, case.keys)
        hashed, signed = entity[:100], writer.key.public_key()
        if isinstance(writer.key, rsa.RSAPrivateKey):
            signature = writer.key.sign(hashed, padding.PKCS1v15(), hashes.SHA256())
        else:
            signature = writer.key.sign(hashed, ec.ECDSA(hashes.SHA256()))
        private = reader.key
        oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
        key, nonce = os.urandom(32), os.urandom(16)
        if isinstance(private, rsa.RSAPrivateKey):
            wrapped = private.public_key().encrypt(key, oaep)
        else:
            other = ec.generate_private_key(private.curve).public_key()
        sealed = AESGCM(key).encrypt(nonce[:12], entity, None)
        whole = memoryview(entity)[: len(entity) // 16 * 16]

        def one() -> None:
            if isinstance(private, rsa.RSAPrivateKey):
                private.decrypt(wrapped, oaep)
            else:
                private.exchange(ec.ECDH(), other)
            if case.cipher == "gcm":
                AESGCM(key).decrypt(nonce[:12], sealed, None)
            else:
                PlainCipher(algorithms.AES(key), modes.CBC(nonce)).decryptor().update(whole)
            hashlib.sha256(entity).digest()
            if isinstance(signed, rsa.RSAPublicKey):
                signed.verify(signature, hashed, padding.PKCS1v15(), hashes.SHA256())
            else:
                signed.verify(signature, hashed, ec.ECDSA(hashes.SHA256()))

        return one

    def _readers(self, case: Case, reader: Credential) -> list[Path]:
        """Certificates for this reader's key, all different: DER, with a PEM beside each."""
        found = []
        for number in range(case.recipients):
            file = self._folder / f"{case.keys}-{number}.der"
            if not file.exists():
                twin = _twin(reader, self._world.justice.issuing.credential)
                file.write_bytes(twin.public_bytes(Encoding.DER))
                file.with_suffix(".pem").write_bytes(twin.public_bytes(Encoding.PEM))
            found.append(file)
        return found


def _credentials(world: World, kind: str) -> tuple[Credential, Credential]:
    writer = world.interieur.person(kind=kind).credential
    reader = world.justice.person(kind=kind).credential
    assert writer is not None
    assert reader is not None
    return writer, reader


def _twin(of: Credential, issuer: Credential) -> x509.Certificate:
    """The same with another serial number."""
    one = of.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(one.subject)
        .issuer_name(one.issuer)
        .public_key(one.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(one.not_valid_before_utc)
        .not_valid_after(one.not_valid_after_utc)
    )
    for extension in one.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(issuer.key, hashes.SHA256())


def _work(case: Case) -> tuple[int, int]:
    """Octets of a mail, and how many mails make a round."""
    octets = SIZES[case.size]
    return octets, max(1, min(_MOST, _OCTETS // octets) // (1 + case.recipients // 10))


def _processor_ms(work: Callable[[], object], times: int) -> float:
    work()  # what is made once for a signer and a recipient
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) * 1000 / times


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(results: Sequence[Result]) -> str:
    heads = (
        *("work", "mail", "keys", "recipients", "Sceau, ms", "C, ms", "ratio"),
        *("Bouncy Castle, ms", "rate", "possible", "by the JDK's, ms", "cmsutil, ms", "bare, ms"),
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for one in results:
        case = one.case
        named = (case.work, case.size, f"{case.keys} {case.cipher}", str(case.recipients))
        figures = (f"{one.sceau:.3f}", f"{one.openssl:.3f}", f"{one.ratio:.2f} ×")
        rates = ("" if rate is None else f"{rate:.1f} ×" for rate in (one.rate, one.possible))
        others = (one.bouncy_castle_jdk, one.cmsutil, one.primitives)
        cells = (*named, *figures, _shown(one.bouncy_castle), *rates, *map(_shown, others))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module; 0 done, 2 usage."""
    parser = argparse.ArgumentParser(prog="./dev bench smime", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--work", choices=("seal", "open"), action="append")
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--keys", choices=("rsa", "ec"), action="append")
    parser.add_argument("--recipients", type=int, choices=RECIPIENTS, action="append")
    parser.add_argument("--json", action="store_true", help="an object a case")
    options = parser.parse_args(arguments)
    cases = [
        Case(work, size, keys, cipher, recipients)
        for work in options.work or ("seal", "open")
        for keys in options.keys or ("rsa", "ec")
        for cipher in ("cbc", "gcm")
        for size in options.size or SIZES
        for recipients in (RECIPIENTS if work == "seal" and size == "4k" else (1,))
        if not options.recipients or recipients in options.recipients
    ]
    keep_heap()  # as each process of the service does
    results = []
    with tempfile.TemporaryDirectory(prefix="sceau-bench-") as folder:
        bench = Bench(Path(folder))
        for case in cases:
            results.append(bench.run(case, options.rounds))
            print(f"{case}: {results[-1].ratio:.2f} x OpenSSL's CMS in C", file=sys.stderr)
        for peer in bench.peers:
            print(peer.version)
            peer.close()
    if options.json:
        for one in results:
            print(json.dumps({**asdict(one), "ratio": one.ratio, "rate": one.rate}))
    else:
        print(_table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
