"""Why peers disagree with us: each disagreement is in one class, or the run fails.

A class says what the peer does, what the standard says, and by which facts a case is known to be
in it. A fact is something found in the case or asked of the peer once more, never "it is so".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.models import Purpose
from tests.judges.paths.compare import Comparison, may_lead_astray
from tests.judges.paths.model import NOW


@dataclass(frozen=True)
class Class:
    """key: short name in the table. peer: whose. they, rule: sentences for the table."""

    key: str
    peer: str
    they: str
    rule: str
    holds: Callable[[Comparison], bool]


def class_of(one: Comparison) -> Class | None:
    """The first class that a disagreement is in."""
    return next((c for c in CLASSES if c.peer == one.peer.name and c.holds(one)), None)


def _encrypts(one: Comparison) -> bool:
    return one.case.purpose is Purpose.ENCRYPT


def _address_of_another_case(one: Comparison) -> bool:
    return any(
        text != one.case.address and text.casefold() == one.case.address.casefold()
        for text in [*_san(one), *_in_subject(one)]
    )


def _san(one: Comparison) -> list[str]:
    try:
        found = one.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return list(found.get_values_for_type(x509.RFC822Name))


def _in_subject(one: Comparison) -> list[str]:
    return [str(a.value) for a in one.leaf.subject.get_attributes_for_oid(NameOID.EMAIL_ADDRESS)]


def _mailbox_subtree_of_another_case(one: Comparison) -> bool:
    """A CA's name constraint is an address that differs from the leaf's in case only."""
    addresses = [*_san(one), *_in_subject(one)]
    return any(
        "@" in tree and tree != address and tree.casefold() == address.casefold()
        for der in [*one.case.anchors, *one.case.others]
        for tree in _mail_subtrees(der)
        for address in addresses
    )


def _mail_subtrees(der: bytes) -> list[str]:
    extensions = x509.load_der_x509_certificate(der).extensions
    try:
        found = extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    trees = [*(found.permitted_subtrees or []), *(found.excluded_subtrees or [])]
    return [tree.value for tree in trees if isinstance(tree, x509.RFC822Name)]


def _one_path(one: Comparison) -> bool:
    """Offered our path alone the peer agrees, or disagrees for a reason that is known."""
    if not one.ours.valid or not _more_than_the_path(one):
        return False
    rest = one.alone.agree or class_of(one.alone)
    return rest is True or (isinstance(rest, Class) and rest.key != "one-path")


def _more_than_the_path(one: Comparison) -> bool:
    """Whether the peer was offered an anchor or a CA that our path does not use."""
    offered = {*one.case.anchors, *filter(may_lead_astray, one.case.others)}
    return bool(offered - set(one.ours.path))


def _says_something(anchor: bytes) -> bool:
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


def _of_the_anchor(one: Comparison) -> bool:
    """openssl's error is at the depth at which our path has its anchor."""
    return one.ours.valid and one.error[1] == len(one.ours.path) - 1


def _ends_now(one: Comparison) -> bool:
    certs = [one.case.leaf, *one.case.others]
    return any(x509.load_der_x509_certificate(der).not_valid_after_utc == NOW for der in certs)


OPENSSL = "openssl"
BC = "Bouncy Castle"

CLASSES: tuple[Class, ...] = (
    Class(
        "encrypt-usage", OPENSSL,
        "`-purpose smimeencrypt` asks for keyEncipherment whatever the key",
        "RFC 5753 §3.1, RFC 8410 §5: a key of an elliptic curve needs keyAgreement; one that signs "
        "only encrypts nothing",
        lambda one: _encrypts(one) and not one.rsa_leaf
        and (one.error == (26, 0) or one.code in ("path.key-usage", "algorithm.key")),
    ),
    Class(
        "any-eku", OPENSSL,
        "refuses anyExtendedKeyUsage for mail",
        "RFC 8550 §4.4.4: emailProtection or anyExtendedKeyUsage",
        lambda one: one.error[0] == 26 and one.has("leaf-any-eku", "ca-eku", "leaf-eku"),
    ),
    Class(
        "anchor-revocation", OPENSSL,
        "asks for a CRL that speaks for the trust anchor itself",
        "RFC 5280 §6.1: the anchor is no part of the path; nothing about it is asked",
        lambda one: one.case.revocation and _of_the_anchor(one)
        and one.error[0] in (3, 11, 12, 23, 24, 33, 44),
    ),
    Class(
        "last-second", OPENSSL,
        "a certificate has expired in the second of its notAfter",
        "RFC 5280 §4.1.2.5: from notBefore through notAfter, inclusive",
        lambda one: one.error[0] == 10 and _ends_now(one),
    ),
    Class(
        "address-case", OPENSSL,
        "`-verify_email` tells upper from lower case before the @",
        "house rule of `pki.addresses.canonical`: ASCII letters of the local part in lower case; "
        "no mail system of our users has two mailboxes that differ in it",
        lambda one: one.error[0] == 63 and _address_of_another_case(one),
    ),
    Class(
        "address-in-subject", OPENSSL,
        "`-verify_email` looks into the subject only if there is no rfc822Name",
        "RFC 8550 §3: an address may stand in either place, and all of them count",
        lambda one: one.error[0] == 63 and bool(_san(one)) and one.case.address.casefold()
        in [text.casefold() for text in _in_subject(one)],
    ),
    Class(
        "mailbox-constraint-case", OPENSSL,
        "a name constraint that is one mailbox holds for it only in the same case",
        "the house rule of `address-case`, in constraints as in addresses",
        lambda one: _mailbox_subtree_of_another_case(one)
        and (one.ours.valid or one.code == "path.name-constraints"),
    ),
    Class(
        "anchor-critical", OPENSSL,
        "refuses an anchor with a critical extension that it does not know",
        "RFC 5280 §6.1: the anchor is no part of the path; people decided about it, and saw it",
        lambda one: one.error[0] == 34 and _of_the_anchor(one) and one.has("root-critical"),
    ),
    Class(
        "leaf-key", OPENSSL,
        "measures the key of the certificate itself, too",
        "we do it with its purpose (`pki.usage.purpose_problem`); a path is about the keys that "
        "signed",
        lambda one: one.ours.valid and one.error == (66, 0) and one.case.purpose is None,
    ),
    Class(
        "delta-without-base", OPENSSL,
        "passes over a delta CRL whose base it does not have",
        "RFC 5280 §5.2.4: the two may not be combined; what the CA signed as revoked is revoked",
        lambda one: one.theirs.valid and not one.ours.valid and one.has("delta-later-base"),
    ),
    Class(
        "one-crl-is-enough", OPENSSL,
        "stops at the first CRL that speaks for all reasons",
        "the CA's own list and an indirect one that its certificate names speak for the same "
        "reasons: RFC 5280 §6.3.3 stops at either, so we ask both, and what one lists is revoked",
        lambda one: one.theirs.valid and one.code == "revocation.revoked"
        and one.has("indirect-revokes"),
    ),
    Class(
        "later-crl", OPENSSL,
        "does not look into a CRL issued after the moment",
        "what it lists as revoked before the moment was revoked then; nobody is acquitted by it",
        lambda one: one.theirs.valid and one.code == "revocation.revoked" and one.has("future-crl"),
    ),
    Class(
        "two-keys", OPENSSL,
        "of a CA's CRLs signed with its old and its new key it looks into one",
        "RFC 5280 §4.1.2.2: serial numbers are the issuer's, whatever its key; what one CRL lists "
        "is revoked",
        lambda one: one.theirs.valid and one.code == "revocation.revoked"
        and one.has("self-issued"),
    ),
    Class(
        "crl-signer-for-mail", OPENSSL,
        "asks of who signed a CRL that his certificate, too, is for mail",
        "RFC 5280 §6.3.3 (f): it needs a path and cRLSign",
        lambda one: one.ours.valid and one.error[0] == 54 and one.case.purpose is not None,
    ),
    Class(
        "crl-signer-on-its-own-crl", OPENSSL,
        "has no path for who signed a CRL if that CRL alone speaks for him",
        "NIST PKITS 4.14.30 takes it; we do so for who signs CRLs and no certificates",
        lambda one: one.ours.valid and one.error[0] == 54 and one.has("crl-signer-right"),
    ),
    Class(
        "forged-delta", OPENSSL,
        "refuses the certificate when a delta CRL is not signed by the key it should be",
        "RFC 5280 §6.3.3 (c)(h): such a delta is not used; who can slip one in shall not stop mail",
        lambda one: one.ours.valid and one.error[0] == 8 and one.has("forged-crl")
        and any(trait.startswith("delta-") for trait in one.case.traits),
    ),
    Class(
        "partial-chain-crl", OPENSSL,
        "the path of who signed a CRL must end in a self-signed certificate, even with "
        "`-partial_chain`",
        "RFC 5280 §6.1.1 (d): an anchor is what people trust, self-signed or not",
        lambda one: one.ours.valid and one.error[0] == 54 and one.has("anchor-below-root"),
    ),
    Class(
        "one-path", OPENSSL,
        "builds one path and does not try another where that one fails; offered our path alone it "
        "agrees",
        "RFC 4158 §2.2: a builder that tries one path only refuses what is valid",
        _one_path,
    ),
    Class(
        "issuer-by-name", OPENSSL,
        "without key identifiers takes the first certificate of the issuer's name for the issuer",
        "RFC 5280 §6.1.3 (a)(1): the issuer is whose key made the signature; CAs that change keys "
        "have several",
        lambda one: one.ours.valid and one.error[0] == 7
        and one.has("self-issued", "homonym-anchor", "decoy-key"),
    ),
    Class(
        "crl-signer-one-path", OPENSSL,
        "tries one path for who signed a CRL, too",
        "RFC 4158 §2.2, as for `one-path`",
        lambda one: one.ours.valid and one.error[0] == 54
        and one.has("self-issued", "homonym-anchor", "cross-trusted", "cross-untrusted"),
    ),
    Class(
        "wrong-akid", OPENSSL,
        "refuses an issuer whose subjectKeyIdentifier is not the authorityKeyIdentifier below it",
        "RFC 5280 §4.2.1.1: the identifier helps to find the key; whether it is the one, the "
        "signature says",
        lambda one: one.ours.valid and one.error[0] in (20, 21, 30) and one.has("wrong-akid"),
    ),
    Class(
        "path-only", BC,
        "takes an anchor as a name and a key: its dates, path length, name and policy constraints, "
        "usages and unknown extensions do not count",
        "RFC 5280 §6.1 allows it; we ask for more (RFC 5937 §3.2): what a CA says of itself holds, "
        "and people expect that an anchor ends when it says so",
        lambda one: one.theirs.valid and any(map(_says_something, one.case.anchors))
        and one.code.startswith(("path.", "revocation.signature")),
    ),
    Class(
        "algorithms", BC,
        "has no table of algorithms: a key of RSA 1024 is as good as any",
        "`pki/algorithm_rows.py`: below 2048 bits is legacy (RFC 8551 §4)",
        lambda one: one.theirs.valid and one.code.startswith("algorithm."),
    ),
    Class(
        "mailbox-constraint-case", BC,
        "a name constraint that is one mailbox holds for it only in the same case",
        "the house rule of `address-case`, in constraints as in addresses",
        lambda one: _mailbox_subtree_of_another_case(one)
        and (one.ours.valid or one.code == "path.name-constraints"),
    ),
    Class(
        "crl-signer-unrevoked", BC,
        "does not ask whether the certificate of who signed a CRL is revoked",
        "RFC 5280 §6.3.3 (f), §6.1.3 (a)(3): its path is validated like any other. If only the CRL "
        "that it signed itself speaks for it, nobody can tell",
        lambda one: one.theirs.valid and one.code == "revocation.signature"
        and one.has("self-issued", "crl-signer-right", "crl-signer-revoked"),
    ),
    Class(
        "critical-entry", BC,
        "reads past a critical extension of a CRL entry that it does not know",
        "RFC 5280 §5.3: such a CRL tells nothing about any certificate",
        lambda one: one.theirs.valid and one.has("crl-entry-critical")
        and one.code == "revocation.missing",
    ),
    Class(
        "future-crl", BC,
        "believes a CRL whose thisUpdate is still to come",
        "RFC 5280 §5.1.2.4: it has not been issued yet",
        lambda one: one.theirs.valid and one.has("future-crl")
        and one.code in ("revocation.missing", "revocation.no-base"),
    ),
    Class(
        "delta-without-base", BC,
        "passes over a delta CRL whose base it does not have",
        "RFC 5280 §5.2.4: the two may not be combined; what the CA signed as revoked is revoked",
        lambda one: one.theirs.valid and not one.ours.valid and one.has("delta-later-base"),
    ),
    Class(
        "one-crl-is-enough", BC,
        "stops at the first CRL that speaks for all reasons",
        "the CA's own list and an indirect one that its certificate names speak for the same "
        "reasons: RFC 5280 §6.3.3 stops at either, so we ask both, and what one lists is revoked",
        lambda one: one.theirs.valid and one.code == "revocation.revoked"
        and one.has("indirect-revokes"),
    ),
    Class(
        "later-crl", BC,
        "does not look into a CRL issued after the moment",
        "what it lists as revoked before the moment was revoked then; nobody is acquitted by it",
        lambda one: one.theirs.valid and one.code == "revocation.revoked" and one.has("future-crl"),
    ),
    Class(
        "two-keys", BC,
        "of a CA's CRLs signed with its old and its new key it looks into one",
        "RFC 5280 §4.1.2.2: serial numbers are the issuer's, whatever its key; what one CRL lists "
        "is revoked",
        lambda one: one.has("self-issued")
        and (one.code == "revocation.revoked" or (one.ours.valid and "CRL" in one.theirs.why)),
    ),
    Class(
        "crl-signer-policies", BC,
        "demands of the path of who signed a CRL the policies that the caller demands",
        "RFC 5280 §6.3.3 (f) asks for a path to the same anchor, and says nothing of policies",
        lambda one: one.ours.valid and one.has("policy-inputs")
        and "CertPath for CRL signer failed" in one.theirs.why,
    ),
    Class(
        "stale-delta", BC,
        "passes over a delta CRL that is past its nextUpdate",
        "a revocation does not go stale: who is on it stays revoked until a newer CRL says else",
        lambda one: one.theirs.valid and one.code == "revocation.revoked"
        and one.has("delta-stale"),
    ),
    Class(
        "forged-delta", BC,
        "refuses the certificate when a delta CRL is not signed by the key it should be",
        "RFC 5280 §6.3.3 (c)(h): such a delta is not used; who can slip one in shall not stop mail",
        lambda one: one.ours.valid and one.has("delta-forged", "forged-crl")
        and "Cannot verify delta CRL" in one.theirs.why,
    ),
    Class(
        "reason-partitions", BC,
        "puts CRLs of some reasons together only where distribution points name them",
        "RFC 5280 §6.3.3: without distribution points the issuer's CRLs are asked, each for its "
        "reasons, until all are spoken of",
        lambda one: one.ours.valid and one.has("crl-all-reasons")
        and "could not be determined" in one.theirs.why,
    ),
    Class(
        "any-of-the-crls", BC,
        "of several CRLs that hold at the moment it takes the first it meets",
        "RFC 5280 §5.1.2.4, §6.3.3: an issuer's newest CRL is what it says now",
        lambda one: one.has("newer-revokes", "older-revokes"),
    ),
    Class(
        "one-path", BC,
        "gives up where one of the certificates offered leads nowhere, above all when it looks "
        "for the path of who signed a CRL; offered our path alone it agrees",
        "RFC 4158 §2.2: a builder that tries one path only refuses what is valid",
        _one_path,
    ),
    Class(
        "wrong-akid", BC,
        "looks for an issuer by authorityKeyIdentifier and takes no other, and none without one",
        "RFC 5280 §4.2.1.1: the identifier helps to find the key; whether it is the one, the "
        "signature says",
        lambda one: one.ours.valid and one.has("wrong-akid", "no-key-identifiers"),
    ),
)  # fmt: skip
