"""Facts about the CRLs of a case by which its disagreement is known to be in a class."""

from __future__ import annotations

import re
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.judges.paths.compare import Comparison
from tests.judges.paths.crl_facts import (
    ReadCrl,
    certificates,
    crls,
    forged,
    same_name,
    signers,
)

_SPKI = Encoding.DER, PublicFormat.SubjectPublicKeyInfo

# Whether a CRL that lists nobody competes in some way with one that revokes.
Rivalry = Callable[[ReadCrl, ReadCrl], bool]


def condemned(one: Comparison) -> x509.Certificate | None:
    """Who is revoked, we say; of several paths that failed we may name another's reason, then it
    is the first whom any CRL lists.
    """
    if one.ours.valid:
        return None
    found = re.match(r"revocation\.revoked: the certificate ([0-9a-f]+) of", one.ours.why)
    if found is None:
        serials = {serial for crl in crls(one.case) for serial, _ in crl.listed}
    else:
        serials = {int(found[1], 16)}
    return next((cert for cert in certificates(one.case) if cert.serial_number in serials), None)


def listing(one: Comparison) -> list[ReadCrl]:
    """The CRLs that list him."""
    cert = condemned(one)
    if cert is None:
        return []
    entry = cert.serial_number, same_name(cert.issuer)
    return [crl for crl in crls(one.case) if entry in crl.listed]


def rivals(one: Comparison, rivalry: Rivalry) -> list[ReadCrl]:
    """CRLs that could speak for who is revoked, do not list him, and compete with one that does."""
    cert, revoking = condemned(one), listing(one)
    if cert is None:
        return []
    speakers = {same_name(cert.issuer), *_named(cert)}
    known = {crl.der for crl in revoking}
    return [
        crl
        for crl in crls(one.case)
        if crl.issuer in speakers
        and crl.der not in known
        and any(rivalry(crl, each) for each in revoking)
    ]


def another_key(silent: ReadCrl, revoking: ReadCrl) -> bool:
    """Of the same issuer, by another key of his."""
    return silent.issuer == revoking.issuer and silent.key != revoking.key


def another_scope(silent: ReadCrl, revoking: ReadCrl) -> bool:
    """Of another issuer, or of the same key for other certificates or reasons."""
    return silent.issuer != revoking.issuer or (
        silent.key == revoking.key and silent.point != revoking.point
    )


def another_time(silent: ReadCrl, revoking: ReadCrl) -> bool:
    """Of the same issuer, key and scope, issued earlier or later."""
    return (silent.issuer, silent.key, silent.point) == (
        revoking.issuer, revoking.key, revoking.point
    )  # fmt: skip


def forged_deltas(one: Comparison) -> list[ReadCrl]:
    return [crl for crl in forged(one.case) if crl.base is not None]


def odd_deltas(one: Comparison) -> list[ReadCrl]:
    return [crl for crl in crls(one.case) if crl.base is not None and crl.odd]


def stale_deltas(one: Comparison) -> list[ReadCrl]:
    return [crl for crl in crls(one.case) if crl.base is not None and crl.stale]


def replaced(one: Comparison) -> list[ReadCrl]:
    """Complete CRLs of which a newer one of the same issuer, key and scope is there, and holds."""
    whole = [crl for crl in crls(one.case) if crl.base is None]
    good = [crl for crl in whole if crl.issued and not crl.stale and not crl.odd]
    return [
        old
        for old in whole
        if any(
            another_time(old, new) and old.crl.last_update_utc < new.crl.last_update_utc
            for new in good
        )
    ]


def of_two_keys(one: Comparison) -> list[ReadCrl]:
    """CRLs of an issuer of whom there are some by another key; they list nobody of our path."""
    ours = [x509.load_der_x509_certificate(der) for der in one.ours.path[1:]]
    entries = {(cert.serial_number, same_name(cert.issuer)) for cert in ours}
    lies = forged(one.case)
    everything = [crl for crl in crls(one.case) if crl not in lies]
    return [
        crl
        for crl in everything
        if not entries & crl.listed and any(another_key(crl, other) for other in everything)
    ]


def changes_its_key(one: Comparison) -> bool:
    """A CA stands in our path under one name with two keys."""
    path = [x509.load_der_x509_certificate(der) for der in one.ours.path]
    keys = {(same_name(cert.subject), cert.public_key().public_bytes(*_SPKI)) for cert in path}
    return len({name for name, _ in keys}) < len(keys)


def revoked_by_others(one: Comparison) -> bool:
    """Policies are demanded, and who signed the CRL that revokes needs a path of his own."""
    apart = {crl.der for _, crl in signers_apart(one)}
    return one.has("policy-inputs") and any(crl.der in apart for crl in listing(one))


def signers_apart(one: Comparison) -> list[tuple[x509.Certificate, ReadCrl]]:
    """Who signed a CRL and is no anchor, nor in our path if we have one."""
    return signers(one.case, {*one.case.anchors, *one.ours.path})


def _named(cert: x509.Certificate) -> set[str]:
    """The cRLIssuers that a certificate names (RFC 5280 §4.2.1.13)."""
    return {
        same_name(name.value)
        for extension in cert.extensions
        if isinstance(extension.value, x509.CRLDistributionPoints)
        for point in extension.value
        for name in point.crl_issuer or ()
        if isinstance(name, x509.DirectoryName)
    }
