"""What CAs and their responders send, or whoever stands in between: CRLs and OCSP responses."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from pki.certificate import ParsedCertificate
from pki.crl import read_crl
from pki.crl_entries import header_octets
from pki.crl_index import IndexedEntries, write_index
from pki.crl_receive import unsigned_head
from pki.crl_scan import Scan
from pki.errors import CannotJudge, CertificateRefused, CrlRefused, OcspRefused
from pki.ocsp import OcspResponse, from_pem
from pki.ocsp_judge import check_ocsp
from tests.fuzz import keys
from tests.ocsp_maker import Answer
from tests.pki_maker import Authority, Issued

_DAY = timedelta(days=1)
_COMPARED = 50  # entries of one CRL
_KEY = "00" * 32  # nobody has seen a signature here


def crl(data: bytes) -> str:
    """Both readers of entries, in memory and for the index: what both take, they say alike."""
    indexed = _indexed(data)
    try:
        whole = read_crl(data)
    except CrlRefused:
        return "refused" if indexed is None else "indexed"
    if indexed is None:
        return "in memory"
    # Of two entries for one certificate each reader has its own, and both revoke.
    listed = Counter(one.serial_number for one in whole.x509)
    for serial in [one for one, count in listed.items() if count == 1][:_COMPARED]:
        assert whole.entries.find(serial, whole.issuer) == indexed.find(serial, whole.issuer), (
            f"the index says something else of {serial:x}"
        )
    return "both"


def _indexed(data: bytes) -> IndexedEntries | None:
    try:
        head = unsigned_head(data, "")
        scan = Scan(data, indirect=head.scope.indirect)
    except CrlRefused:
        return None
    file = Path(_folder().name) / "one.crl-index"
    digest = write_index(
        scan, crl_sha256=head.sha256, key_sha256=_KEY, header=header_octets(data), file=file
    )
    return IndexedEntries(file, crl_sha256=head.sha256, digest=digest)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    memory = Path("/dev/shm")  # each file is synced, which takes time on a disk
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)


def ocsp(data: bytes) -> str:
    """Nothing is good but what the CA has signed, and it is said in its words."""
    try:
        response = OcspResponse(from_pem(data))
    except OcspRefused as error:
        return error.problem.code
    cert, issuer = _person(), _root()
    try:
        said = check_ocsp(
            cert,
            issuer,
            moment=keys.MOMENT,
            grace=timedelta(0),
            responses=[response],
            signers=response.certificates,
            vouched=lambda _responder: True,
        )
    except (CertificateRefused, CannotJudge) as error:
        return error.problem.code
    assert (said.single.this_update, said.single.next_update) == (
        keys.MOMENT - _DAY,
        keys.MOMENT + _DAY,
    ), "good, and the CA never signed it"
    return said.single.status


@cache
def _root() -> ParsedCertificate:
    return ParsedCertificate(keys.der(keys.certificate(keys.root_key().public_key())))


@cache
def _person() -> ParsedCertificate:
    return ParsedCertificate(keys.der(keys.certificate(keys.curve_key().public_key(), keys.AUTHOR)))


def seeds() -> Iterator[tuple[str, bytes]]:
    """Name and octets: CRLs of the kinds there are, and answers of the CA itself."""
    plain = _crl_builder()
    yield "plain.crl", _signed(plain)
    scope = x509.IssuingDistributionPoint(None, None, False, False, None, True, False)
    yield "indirect.crl", _signed(plain.add_extension(scope, critical=True))
    yield "delta.crl", _signed(plain.add_extension(x509.DeltaCRLIndicator(3), critical=True))
    person = Issued(_person().x509, keys.curve_key())
    ca = Authority(_root().x509, keys.root_key())
    for status in ("good", "revoked", "unknown"):
        answer = Answer(
            person,
            ca,
            ca,
            status,
            this_update=keys.MOMENT - _DAY,
            next_update=keys.MOMENT + _DAY,
            produced_at=keys.MOMENT - _DAY,
            revoked_at=keys.MOMENT - 3 * _DAY,
            nonce=bytes(32),
        )
        yield f"{status}.ocsp", answer.der()


def _crl_builder() -> x509.CertificateRevocationListBuilder:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(_root().x509.subject)
        .last_update(keys.MOMENT - _DAY)
        .next_update(keys.MOMENT + _DAY)
        .add_extension(x509.CRLNumber(4), critical=False)
    )
    for serial, extensions in (
        (5, ()),
        (300, (x509.CRLReason(x509.ReasonFlags.key_compromise),)),
        (1 << 126, (x509.InvalidityDate((keys.MOMENT - 9 * _DAY).replace(tzinfo=None)),)),
    ):
        entry = x509.RevokedCertificateBuilder().serial_number(serial)
        entry = entry.revocation_date(keys.MOMENT - 3 * _DAY)
        for extension in extensions:
            entry = entry.add_extension(extension, critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder


def _signed(builder: x509.CertificateRevocationListBuilder) -> bytes:
    return builder.sign(keys.root_key(), hashes.SHA256()).public_bytes(Encoding.DER)
