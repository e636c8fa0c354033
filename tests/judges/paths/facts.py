"""Facts of a case by which its disagreement is known to be in a class."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki.models import Purpose
from tests.judges.paths.compare import Comparison
from tests.judges.paths.model import NOW


def encrypts(one: Comparison) -> bool:
    return one.case.purpose is Purpose.ENCRYPT


def agrees_on_keys(one: Comparison) -> bool:
    """The leaf's key is for agreement (RFC 5753 §3.1)."""
    return any(
        isinstance(extension.value, x509.KeyUsage) and extension.value.key_agreement
        for extension in one.leaf.extensions
    )


def address_of_another_case(one: Comparison) -> bool:
    return any(
        text != one.case.address and text.casefold() == one.case.address.casefold()
        for text in [*san(one), *in_subject(one)]
    )


def san(one: Comparison) -> list[str]:
    try:
        found = one.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(found.get_values_for_type(x509.RFC822Name))


def in_subject(one: Comparison) -> list[str]:
    return [str(a.value) for a in one.leaf.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]


def mailbox_subtree_of_another_case(one: Comparison) -> bool:
    """A CA's name constraint is an address that differs from the leaf's in case only."""
    addresses = [*san(one), *in_subject(one)]
    return any(
        "@" in tree and tree != address and tree.casefold() == address.casefold()
        for der in [*one.case.anchors, *one.case.others]
        for tree in mail_subtrees(der)
        for address in addresses
    )


def mail_subtrees(der: bytes) -> list[str]:
    extensions = x509.load_der_x509_certificate(der).extensions
    try:
        found = extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    trees = [*(found.permitted_subtrees or []), *(found.excluded_subtrees or [])]
    return [tree.value for tree in trees if isinstance(tree, x509.RFC822Name)]


def more_than_the_path(one: Comparison) -> bool:
    """Whether the peer was offered an anchor or a CA that our path does not use."""
    offered = {*one.case.anchors, *filter(may_lead_astray, one.case.others)}
    return bool(offered - set(one.ours.path))


def may_lead_astray(der: bytes) -> bool:
    """Whether a builder may take it for an issuer's: by basicConstraints or by keyUsage."""
    for extension in x509.load_der_x509_certificate(der).extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            return True
        if isinstance(value, x509.KeyUsage) and value.key_cert_sign:
            return True
    return False


def says_something(anchor: bytes) -> bool:
    """Whether an anchor limits itself: no CA, or by dates, lengths, names, policies, usages."""
    cert = x509.load_der_x509_certificate(anchor)
    if not cert.not_valid_before_utc <= NOW <= cert.not_valid_after_utc:
        return True
    is_ca = False
    for extension in cert.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints):
            is_ca = value.ca
            if value.path_length is not None:
                return True
        if isinstance(value, x509.KeyUsage) and not (value.key_cert_sign and value.crl_sign):
            return True
        if isinstance(value, x509.NameConstraints | x509.PolicyConstraints | x509.InhibitAnyPolicy):
            return True
    return not is_ca


def of_the_anchor(one: Comparison) -> bool:
    """openssl's error is at the depth at which our path has its anchor."""
    return one.ours.valid and one.error[1] == len(one.ours.path) - 1


def ends_now(one: Comparison) -> bool:
    certs = [one.case.leaf, *one.case.others]
    return any(x509.load_der_x509_certificate(der).not_valid_after_utc == NOW for der in certs)


def any_usage_alone(one: Comparison) -> bool:
    """A certificate has anyExtendedKeyUsage, and emailProtection not beside it."""
    for der in [one.case.leaf, *one.case.anchors, *one.case.others]:
        for extension in x509.load_der_x509_certificate(der).extensions:
            value = extension.value
            if isinstance(value, x509.ExtendedKeyUsage) and (
                ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in value
                and ExtendedKeyUsageOID.EMAIL_PROTECTION not in value
            ):
                return True
    return False
