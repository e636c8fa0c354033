"""A person's PKCS#12: opened, key and certificate checked for what it is to do, the key wrapped."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import datetime
from enum import Flag, auto

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pki.addresses import canonical, in_domain
from pki.certificate import ParsedCertificate
from pki.decrypter import DecryptionKey
from pki.decryption_keys import check_opens, opening_bound_to
from pki.errors import CertificateRefused, PrivateKeyError, Problem, problem
from pki.kek import KekRing
from pki.keys import PrivateKey, certificate_of, usable_key
from pki.p12 import open_p12
from pki.person_keys import CheckedKey, PathCheck, Wrapped, bound_to, check_fit


class Use(Flag):
    """What a key is brought in for."""

    SIGN = auto()
    DECRYPT = auto()


def check_p12(
    data: bytes,
    password: bytes | None,
    *,
    name: str,
    address: str | None,
    domains: Sequence[str],
    keks: KekRing,
    moment: datetime,
    path: PathCheck | None = None,
    use: Use = Use.SIGN,
    org: str = "",
) -> CheckedKey:
    """Open a PKCS#12, check key and certificate, wrap the key for each use.

    name: what to call the file in errors. address: whose it is to be; None: all addresses of
    `domains` in the certificate. domains: ours; a key for any other address is refused.
    Raises PrivateKeyError (password, no key, two keys, does not fit), CertificateRefused (address,
    usage; for signing dates, weak, path), AddressError, KekTrouble.
    """
    key, certificates = open_p12(data, password, name)
    return check_key(
        key, certificates, name=name, address=address, domains=domains, keks=keks, moment=moment,
        path=path, use=use, source_sha256=hashlib.sha256(data).hexdigest(), org=org,
    )  # fmt: skip


def check_key(
    key: PrivateKey | DecryptionKey,
    certificates: tuple[bytes, ...],
    *,
    name: str,
    address: str | None,
    domains: Sequence[str],
    keks: KekRing,
    moment: datetime,
    path: PathCheck | None = None,
    use: Use = Use.SIGN,
    source_sha256: str = "",
    org: str = "",
) -> CheckedKey:
    """The same for a key that is open already, with its certificate and others (DER)."""
    own, chain = certificate_of(name, key.public_key(), certificates)
    cert = ParsedCertificate(own)
    addresses = _addresses(cert, address, domains)
    remarks: list[Problem] = []
    if Use.SIGN in use:
        _check_pair(usable_key(name, key), name)
    for one in addresses:
        if Use.SIGN in use:
            check_fit(cert, one, moment)
            if path is not None:
                found = path(cert, certificates, one, moment)
                remarks += (new for new in found if new not in remarks)
        if Use.DECRYPT in use:
            check_opens(key, cert, one, moment)
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signing = addresses if Use.SIGN in use else ()
    opening = addresses if Use.DECRYPT in use else ()
    return CheckedKey(
        wraps=tuple(
            Wrapped(one, *keks.wrap(plain, bound_to(org, one, cert.sha256))) for one in signing
        ),
        certificate=cert.der,
        certificate_sha256=cert.sha256,
        chain=b"".join(chain),
        key_sha256=hashlib.sha256(spki).hexdigest(),
        not_after=cert.not_after,
        source_sha256=source_sha256,
        remarks=tuple(remarks),
        opening=tuple(
            Wrapped(one, *keks.wrap(plain, opening_bound_to(org, one, cert.sha256)))
            for one in opening
        ),
    )


def _addresses(
    cert: ParsedCertificate, address: str | None, domains: Sequence[str]
) -> tuple[str, ...]:
    """For whom the key is to sign, canonical."""
    if address is not None:
        wanted = canonical(address)
        if domains and not any(in_domain(wanted, domain) for domain in domains):
            raise CertificateRefused(
                problem(
                    "identity.foreign-domain",
                    "{address} is not in one of our domains ({domains})",
                    address=wanted,
                    domains=", ".join(domains),
                )
            )
        return (wanted,)
    ours = tuple(
        one for one in cert.addresses.usable if any(in_domain(one, domain) for domain in domains)
    )
    if not ours:
        raise CertificateRefused(
            problem(
                "identity.foreign-domain",
                "the certificate of {subject} is for {found}, for no address of our domains "
                "({domains})",
                subject=cert.subject_text,
                found=", ".join(cert.addresses.usable[:5]) or "-",
                domains=", ".join(domains),
            )
        )
    return ours


def _check_pair(key: PrivateKey, name: str) -> None:
    """The private half makes signatures that the public half accepts. Raises PrivateKeyError."""
    probe = os.urandom(32)
    try:
        if isinstance(key, rsa.RSAPrivateKey):
            made = key.sign(probe, padding.PKCS1v15(), hashes.SHA256())
            key.public_key().verify(made, probe, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PrivateKey):
            key.public_key().verify(key.sign(probe), probe)
        else:
            made = key.sign(probe, ec.ECDSA(hashes.SHA256()))
            key.public_key().verify(made, probe, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        raise PrivateKeyError(
            problem(
                "structure.key-broken",
                "the key in {file} makes signatures that its own public key refuses",
                file=name,
            )
        ) from None
