"""Where `openssl verify` disagrees with us."""

from __future__ import annotations

from tests.judges.paths import mends
from tests.judges.paths.disagreement import Class
from tests.judges.paths.facts import (
    address_of_another_case,
    agrees_on_keys,
    any_usage_alone,
    encrypts,
    ends_now,
    in_subject,
    more_than_the_path,
    of_the_anchor,
    san,
)
from tests.judges.paths.facts_revocation import (
    another_key,
    forged_deltas,
    rivals,
    signers_apart,
)
from tests.judges.paths.questions import (
    as_written,
    each_by_itself,
    mended,
    path_alone,
    without,
)
from tests.judges.paths.questions_revocation import or_signed_by_the_cas, without_rivals

OPENSSL: tuple[Class, ...] = (
    Class(
        "encrypt-usage",
        "`-purpose smimeencrypt` asks for keyEncipherment whatever the key",
        "RFC 5753 §3.1, RFC 8410 §5: a key of an elliptic curve needs keyAgreement; one that signs "
        "only encrypts nothing",
        lambda one: encrypts(one) and not one.rsa_leaf
        and ((one.ours.valid and one.error == (26, 0) and agrees_on_keys(one))
             or one.code in ("path.key-usage", "algorithm.key")),
        lambda one: mended(
            mends.usage_of_openssl if one.ours.valid else mends.usage_to_encrypt
        )(one),
    ),
    Class(
        "any-eku",
        "refuses anyExtendedKeyUsage for mail",
        "RFC 8550 §4.4.4: emailProtection or anyExtendedKeyUsage",
        lambda one: one.ours.valid and one.error[0] == 26 and any_usage_alone(one),
        mended(mends.mail_for_any),
    ),
    Class(
        "anchor-revocation",
        "asks for a CRL that speaks for the trust anchor itself",
        "RFC 5280 §6.1: the anchor is no part of the path; nothing about it is asked",
        lambda one: one.case.revocation and of_the_anchor(one)
        and one.error[0] in (3, 11, 12, 23, 24, 33, 44),
        each_by_itself,
    ),
    Class(
        "last-second",
        "a certificate has expired in the second of its notAfter",
        "RFC 5280 §4.1.2.5: from notBefore through notAfter, inclusive",
        lambda one: one.ours.valid and one.error[0] == 10 and ends_now(one),
        mended(mends.ends_later),
    ),
    Class(
        "address-case",
        "`-verify_email` tells upper from lower case before the @",
        "house rule of `pki.addresses.canonical`: ASCII letters of the local part in lower case; "
        "no mail system of our users has two mailboxes that differ in it",
        lambda one: one.ours.valid and one.error[0] == 63 and address_of_another_case(one),
        as_written,
    ),
    Class(
        "address-in-subject",
        "`-verify_email` looks into the subject only if there is no rfc822Name",
        "RFC 8550 §3: an address may stand in either place, and all of them count",
        lambda one: one.error[0] == 63 and bool(san(one)) and one.case.address.casefold()
        in [text.casefold() for text in in_subject(one)],
        mended(mends.address_in_names),
    ),
    Class(
        "anchor-critical",
        "refuses an anchor with a critical extension that it does not know",
        "RFC 5280 §6.1: the anchor is no part of the path; people decided about it, and saw it",
        lambda one: one.error[0] == 34 and of_the_anchor(one)
        and one.has("root-critical", "anchor-below-root"),
        mended(mends.harmless_anchors),
    ),
    Class(
        "anchor-eku",
        "refuses an anchor whose extendedKeyUsage leaves mail out",
        "RFC 5280 §6.1: the anchor is no part of the path; people decided what it is for, and its "
        "certificate was before them",
        lambda one: one.ours.valid and one.error[0] == 26 and of_the_anchor(one),
        mended(mends.anchors_for_all),
    ),
    Class(
        "leaf-key",
        "measures the key of the certificate itself, too",
        "we do it with its purpose (`pki.usage.purpose_problem`); a path is about the keys that "
        "signed",
        lambda one: one.ours.valid and one.error == (66, 0) and one.case.purpose is None,
        mended(mends.long_key_of_leaf),
    ),
    Class(
        "two-keys",
        "of a CA's CRLs signed with its old and its new key it looks into one",
        "RFC 5280 §4.1.2.2: serial numbers are the issuer's, whatever its key; what one CRL lists "
        "is revoked",
        lambda one: one.theirs.valid and bool(rivals(one, another_key)),
        lambda one: without_rivals(one, another_key),
    ),
    Class(
        "crl-signer-for-mail",
        "asks of who signed a CRL that his certificate, too, is for mail",
        "RFC 5280 §6.3.3 (f): it needs a path and cRLSign",
        lambda one: one.ours.valid and one.error[0] == 54 and one.case.purpose is not None,
        mended(mends.crl_signers_for_mail),
    ),
    Class(
        "mapping-without-policies",
        "does not look at the mappings of a certificate that has no policies",
        "RFC 5280 §6.1.4 (a): nobody may map anyPolicy, whatever else he has",
        lambda one: one.theirs.valid and one.code == "path.policy-mapping",
        mended(mends.policies_beside_mappings),
    ),
    Class(
        "partial-chain-crl",
        "the path of who signed a CRL must end in a self-signed certificate, even with "
        "`-partial_chain`",
        "RFC 5280 §6.1.1 (d): an anchor is what people trust, self-signed or not",
        lambda one: one.ours.valid and one.error[0] == 54 and one.has("anchor-below-root"),
        mended(mends.self_signed_anchors),
    ),
    Class(
        "crl-signer-on-its-own-crl",
        "has no path for who signed a CRL if that CRL alone speaks for him",
        "NIST PKITS 4.14.30 takes it; we do so for who signs CRLs and no certificates",
        lambda one: one.ours.valid and one.error[0] == 54 and bool(signers_apart(one)),
        or_signed_by_the_cas(each_by_itself),
    ),
    Class(
        "forged-delta",
        "refuses the certificate when a delta CRL is not signed by the key it should be",
        "RFC 5280 §6.3.3 (c)(h): such a delta is not used; who can slip one in shall not stop mail",
        lambda one: one.ours.valid and one.error[0] == 8 and bool(forged_deltas(one)),
        lambda one: [without(one, forged_deltas(one))],
    ),
    Class(
        "one-path",
        "builds one path and does not try another where that one fails; offered our path alone it "
        "agrees",
        "RFC 4158 §2.2: a builder that tries one path only refuses what is valid",
        more_than_the_path,
        path_alone,
    ),
    Class(
        "issuer-by-name",
        "without key identifiers takes the first certificate of the issuer's name for the issuer",
        "RFC 5280 §6.1.3 (a)(1): the issuer is whose key made the signature; CAs that change keys "
        "have several",
        lambda one: one.ours.valid and one.error[0] == 7
        and one.has("self-issued", "homonym-anchor", "decoy-key"),
        mended(mends.key_identifiers),
    ),
    Class(
        "self-issued-for-self-signed",
        "without key identifiers takes a CA's certificate for its own next key for self-signed",
        "RFC 5280 §3.2: self-issued is who names himself; self-signed is whose own key signed",
        lambda one: one.ours.valid and one.error[0] == 19
        and one.has("self-issued") and one.has("no-key-identifiers"),
        mended(mends.key_identifiers),
    ),
    Class(
        "crl-by-name",
        "where a CA's certificate has no subjectKeyIdentifier takes the first CRL of its name for "
        "that of its key",
        "RFC 5280 §6.3.3 (g): the CRL that counts is the one whose signature that key made; a CA "
        "that changes its key has two",
        lambda one: one.ours.valid and one.error[0] == 8 and one.has("no-key-identifiers")
        and one.has("self-issued", "homonym-anchor", "crl-signer-right"),
        mended(mends.key_identifiers),
    ),
    Class(
        "crl-signer-one-path",
        "tries one path for who signed a CRL, too",
        "RFC 4158 §2.2, as for `one-path`",
        lambda one: one.ours.valid and one.error[0] == 54
        and one.has("self-issued", "homonym-anchor", "cross-trusted", "cross-untrusted"),
        each_by_itself,
    ),
    Class(
        "wrong-akid",
        "refuses an issuer whose subjectKeyIdentifier is not the authorityKeyIdentifier below it",
        "RFC 5280 §4.2.1.1: the identifier helps to find the key; whether it is the one, the "
        "signature says",
        lambda one: one.ours.valid and one.error[0] in (20, 21, 30) and one.has("wrong-akid"),
        mended(mends.key_identifiers),
    ),
)  # fmt: skip
