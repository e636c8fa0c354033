"""Does a certificate fit an address and a purpose? (RFC 8550 §3, §4.4) Pure.

Nothing here says that it is trusted; `pki.path` does.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.x509.oid import PublicKeyAlgorithmOID

from pki.addresses import canonical, in_domain
from pki.algorithms import Operation
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.errors import CertificateRefused, Problem, problem
from pki.models import Purpose


def check_usage(
    cert: ParsedCertificate, *, address: str, purpose: Purpose, moment: datetime
) -> None:
    """All that the certificate itself says about address, purpose and key.

    Raises CertificateRefused with the first reason, AddressError for `address`.
    """
    reason = address_problem(cert, address) or purpose_problem(cert, purpose, moment)
    if reason is not None:
        raise CertificateRefused(reason)


def purpose_problem(
    cert: ParsedCertificate, purpose: Purpose, moment: datetime, *, allow_legacy: bool = False
) -> Problem | None:
    """Why the certificate is not for this purpose, whatever the address; or None.

    allow_legacy: for old evidence; keys that the table calls legacy pass.
    """
    return (
        _key_usage_problem(cert, purpose)
        or extended_usage_problem(cert)
        or key_problem(cert, purpose, moment, allow_legacy=allow_legacy)
    )


def address_problem(cert: ParsedCertificate, address: str) -> Problem | None:
    """Why the certificate is not for `address`, or None. Raises AddressError for `address`."""
    wanted = canonical(address)
    if wanted in cert.addresses.usable:
        return None
    if cert.addresses.usable:
        return problem(
            "identity.address",
            "the certificate of {subject} is for {found}, not for {address}",
            subject=cert.subject_text,
            found=", ".join(cert.addresses.usable[:5]),
            address=wanted,
        )
    if cert.addresses.malformed:
        return problem(
            "identity.malformed-address",
            "the mail address {found} in the certificate of {subject} is malformed",
            found=ascii(cert.addresses.malformed[0])[1:-1][:200],
            subject=cert.subject_text,
        )
    return problem(
        "identity.no-address",
        "the certificate of {subject} contains no mail address",
        subject=cert.subject_text,
    )


def domain_problem(cert: ParsedCertificate, domain: str) -> Problem | None:
    """Why the certificate is not one of this canonical domain, or None.

    It must have an address or a DNS name of exactly this domain. RFC 3183 §4.1 calls the address
    domain-confidentiality-authority; gateways of the field have others.
    """
    if any(address.rpartition("@")[2] == domain for address in cert.addresses.usable):
        return None
    names = cert.san.get_values_for_type(x509.DNSName) if cert.san is not None else []
    if any(name.lower().rstrip(".") == domain for name in names):
        return None
    return problem(
        "identity.domain",
        "the certificate of {subject} has neither an address nor a name of the domain {domain}",
        subject=cert.subject_text,
        domain=domain,
    )


def anchor_problem(anchor: Anchor, *, address: str, purpose: Purpose) -> Problem | None:
    """Why this anchor may not vouch for the address or purpose, or None."""
    if purpose not in anchor.purposes:
        return problem(
            "path.anchor-purpose",
            "the trust anchor {anchor} is not trusted for this purpose ({purpose})",
            anchor=anchor.name,
            purpose=purpose.value,
        )
    if anchor.domains and not any(in_domain(address, domain) for domain in anchor.domains):
        return problem(
            "path.anchor-domain",
            "the trust anchor {anchor} is not trusted for the address {address}",
            anchor=anchor.name,
            address=address,
        )
    return None


def _key_usage_problem(cert: ParsedCertificate, purpose: Purpose) -> Problem | None:
    """RFC 8550 §4.4.2; RFC 5753 §3.1, RFC 8410 §5 for elliptic curves.

    No keyUsage allows everything.
    """
    usage = cert.key_usage
    if usage is None:
        return None
    if purpose is Purpose.SIGN:
        fits, needed = usage.digital_signature or usage.content_commitment, "digitalSignature"
    elif isinstance(
        cert.public_key,
        ec.EllipticCurvePublicKey | x25519.X25519PublicKey | x448.X448PublicKey,
    ):
        fits, needed = usage.key_agreement, "keyAgreement"
    else:
        fits, needed = usage.key_encipherment, "keyEncipherment"
    if fits:
        return None
    return problem(
        "path.key-usage",
        "the certificate of {subject} is not for this purpose: keyUsage lacks {needed}",
        subject=cert.subject_text,
        needed=needed,
    )


def extended_usage_problem(cert: ParsedCertificate, *, any_usage: bool = True) -> Problem | None:
    """Why it is not for mail, or None (RFC 8550 §4.4.4).

    any_usage: whether anyExtendedKeyUsage is enough.
    """
    if cert.for_mail if any_usage else cert.names_mail:
        return None
    return problem(
        "path.extended-key-usage",
        "the certificate of {subject} is not for mail: extKeyUsage lacks emailProtection",
        subject=cert.subject_text,
    )


def key_problem(
    cert: ParsedCertificate, purpose: Purpose, moment: datetime, *, allow_legacy: bool = False
) -> Problem | None:
    """Why the key alone is not for this purpose, or None: its kind, its size, its weakness."""
    if cert.public_key is None:
        return problem(
            "algorithm.key-unreadable",
            "the public key in the certificate of {subject} cannot be used",
            subject=cert.subject_text,
        )
    kind = cert.x509.public_key_algorithm_oid
    if purpose is Purpose.ENCRYPT and kind == PublicKeyAlgorithmOID.RSASSA_PSS:
        return problem(
            "algorithm.key",
            "the key in the certificate of {subject} is for RSASSA-PSS signatures alone "
            "(RFC 4055 §1.2)",
            subject=cert.subject_text,
        )
    operation = Operation.VERIFY_KEY
    if purpose is Purpose.ENCRYPT:
        operation = Operation.ENCAPSULATE_TO if cert.encapsulates else Operation.ENCRYPT_TO
    weak = cert.judge_key(operation, moment, allow_legacy=allow_legacy)
    if weak is None:
        return None
    return problem(
        weak.code,
        "the certificate of {subject} cannot be used: " + weak.template,
        subject=cert.subject_text,
        **weak.facts,
    )
