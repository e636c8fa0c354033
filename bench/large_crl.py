"""A CRL of any number of entries, as large CAs have them: made octet by octet, in seconds."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.demo.pki import Authority
from pki.crl_entries import revoked_certificates
from pki.der import element

_REASON = bytes.fromhex("300c300a0603551d1504030a01")


def large_crl(authority: Authority, entries: int, *, moment: datetime) -> bytes:
    """DER. Serial numbers of 127 bits by chance, two of three with a reason."""
    key = authority.credential.key
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.credential.certificate.subject)
        .last_update(moment)
        .next_update(moment + timedelta(days=7))
        .add_extension(x509.CRLNumber(2), critical=False)
        .add_extension(key_id, critical=False)
    )
    empty = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    chance = random.Random(entries)  # noqa: S311 - no secret
    listed = _tlv(0x30, b"".join(_entry(chance, moment) for _ in range(entries)))
    start, _ = element(empty, 0)
    content, tbs_end = element(empty, start)
    place, _ = revoked_certificates(empty)
    tbs = _tlv(0x30, empty[content:place] + listed + empty[place:tbs_end])
    algorithm = empty[tbs_end : element(empty, tbs_end)[1]]
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    else:
        signature = key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return _tlv(0x30, tbs + algorithm + _tlv(0x03, b"\0" + signature))


def serials(entries: int, count: int) -> list[int]:
    """Some of the serial numbers that the CRL of so many entries lists."""
    chance = random.Random(entries)  # noqa: S311 - no secret
    moment = datetime(2026, 1, 1)  # noqa: DTZ001 - which one does not matter here
    found = []
    for _ in range(count):
        entry = _entry(chance, moment)
        found.append(int.from_bytes(entry[4 : 4 + entry[3]], "big"))
    return found


def _entry(chance: random.Random, moment: datetime) -> bytes:
    serial = chance.getrandbits(127)
    when = moment - timedelta(seconds=chance.randrange(1, 6 * 365 * 86400))
    content = _tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big"))
    content += _tlv(0x17, when.strftime("%y%m%d%H%M%SZ").encode())
    if chance.random() < 2 / 3:
        content += _REASON + bytes((chance.choice((1, 3, 4, 5)),))
    return _tlv(0x30, content)


def _tlv(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size, "big") + content
