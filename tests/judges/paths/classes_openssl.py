"""Where `openssl verify` disagrees with us."""

from __future__ import annotations

from tests.judges.paths.disagreement import Class
from tests.judges.paths.facts import (
    address_of_another_case,
    any_usage_alone,
    encrypts,
    ends_now,
    in_subject,
    more_than_the_path,
    of_the_anchor,
    san,
)

OPENSSL: tuple[Class, ...] = (
    Class(
        "encrypt-usage",
        "`-purpose smimeencrypt` asks for keyEncipherment whatever the key",
        "RFC 5753 §3.1, RFC 8410 §5: a key of an elliptic curve needs keyAgreement; one that signs "
        "only encrypts nothing",
        lambda one: encrypts(one) and not one.rsa_leaf
        and (one.error == (26, 0) or one.code in ("path.key-usage", "algorithm.key")),
    ),
    Class(
        "any-eku",
        "refuses anyExtendedKeyUsage for mail",
        "RFC 8550 §4.4.4: emailProtection or anyExtendedKeyUsage",
        lambda one: one.error[0] == 26 and any_usage_alone(one),
    ),
    Class(
        "anchor-revocation",
        "asks for a CRL that speaks for the trust anchor itself",
        "RFC 5280 §6.1: the anchor is no part of the path; nothing about it is asked",
        lambda one: one.case.revocation and of_the_anchor(one)
        and one.error[0] in (3, 11, 12, 23, 24, 33, 44),
    ),
    Class(
        "last-second",
        "a certificate has expired in the second of its notAfter",
        "RFC 5280 §4.1.2.5: from notBefore through notAfter, inclusive",
        lambda one: one.error[0] == 10 and ends_now(one),
    ),
    Class(
        "address-case",
        "`-verify_email` tells upper from lower case before the @",
        "house rule of `pki.addresses.canonical`: ASCII letters of the local part in lower case; "
        "no mail system of our users has two mailboxes that differ in it",
        lambda one: one.error[0] == 63 and address_of_another_case(one),
    ),
    Class(
        "address-in-subject",
        "`-verify_email` looks into the subject only if there is no rfc822Name",
        "RFC 8550 §3: an address may stand in either place, and all of them count",
        lambda one: one.error[0] == 63 and bool(san(one)) and one.case.address.casefold()
        in [text.casefold() for text in in_subject(one)],
    ),
    Class(
        "anchor-critical",
        "refuses an anchor with a critical extension that it does not know",
        "RFC 5280 §6.1: the anchor is no part of the path; people decided about it, and saw it",
        lambda one: one.error[0] == 34 and of_the_anchor(one) and one.has("root-critical"),
    ),
    Class(
        "leaf-key",
        "measures the key of the certificate itself, too",
        "we do it with its purpose (`pki.usage.purpose_problem`); a path is about the keys that "
        "signed",
        lambda one: one.ours.valid and one.error == (66, 0) and one.case.purpose is None,
    ),
    Class(
        "two-keys",
        "of a CA's CRLs signed with its old and its new key it looks into one",
        "RFC 5280 §4.1.2.2: serial numbers are the issuer's, whatever its key; what one CRL lists "
        "is revoked",
        lambda one: one.theirs.valid and one.code == "revocation.revoked"
        and one.has("self-issued"),
    ),
    Class(
        "crl-signer-for-mail",
        "asks of who signed a CRL that his certificate, too, is for mail",
        "RFC 5280 §6.3.3 (f): it needs a path and cRLSign",
        lambda one: one.ours.valid and one.error[0] == 54 and one.case.purpose is not None,
    ),
    Class(
        "crl-signer-on-its-own-crl",
        "has no path for who signed a CRL if that CRL alone speaks for him",
        "NIST PKITS 4.14.30 takes it; we do so for who signs CRLs and no certificates",
        lambda one: one.ours.valid and one.error[0] == 54 and one.has("crl-signer-right"),
    ),
    Class(
        "forged-delta",
        "refuses the certificate when a delta CRL is not signed by the key it should be",
        "RFC 5280 §6.3.3 (c)(h): such a delta is not used; who can slip one in shall not stop mail",
        lambda one: one.ours.valid and one.error[0] == 8 and one.has("forged-crl")
        and any(trait.startswith("delta-") for trait in one.case.traits),
    ),
    Class(
        "partial-chain-crl",
        "the path of who signed a CRL must end in a self-signed certificate, even with "
        "`-partial_chain`",
        "RFC 5280 §6.1.1 (d): an anchor is what people trust, self-signed or not",
        lambda one: one.ours.valid and one.error[0] == 54 and one.has("anchor-below-root"),
    ),
    Class(
        "one-path",
        "builds one path and does not try another where that one fails; offered our path alone it "
        "agrees",
        "RFC 4158 §2.2: a builder that tries one path only refuses what is valid",
        more_than_the_path,
        alone=True,
    ),
    Class(
        "issuer-by-name",
        "without key identifiers takes the first certificate of the issuer's name for the issuer",
        "RFC 5280 §6.1.3 (a)(1): the issuer is whose key made the signature; CAs that change keys "
        "have several",
        lambda one: one.ours.valid and one.error[0] == 7
        and one.has("self-issued", "homonym-anchor", "decoy-key"),
    ),
    Class(
        "crl-signer-one-path",
        "tries one path for who signed a CRL, too",
        "RFC 4158 §2.2, as for `one-path`",
        lambda one: one.ours.valid and one.error[0] == 54
        and one.has("self-issued", "homonym-anchor", "cross-trusted", "cross-untrusted"),
    ),
    Class(
        "wrong-akid",
        "refuses an issuer whose subjectKeyIdentifier is not the authorityKeyIdentifier below it",
        "RFC 5280 §4.2.1.1: the identifier helps to find the key; whether it is the one, the "
        "signature says",
        lambda one: one.ours.valid and one.error[0] in (20, 21, 30) and one.has("wrong-akid"),
    ),
)  # fmt: skip
