"""Where Bouncy Castle disagrees with us."""

from __future__ import annotations

from tests.judges.paths import mends
from tests.judges.paths.crl_facts import crls, forged, names_issuers
from tests.judges.paths.disagreement import Class
from tests.judges.paths.facts import more_than_the_path, says_something
from tests.judges.paths.facts_revocation import (
    another_key,
    another_time,
    changes_its_key,
    forged_deltas,
    listing,
    of_two_keys,
    replaced,
    revoked_by_others,
    rivals,
    signers_apart,
    stale_deltas,
)
from tests.judges.paths.questions import (
    each_below_its_issuer,
    mended,
    openssl_of_the_path,
    openssl_on_policies,
    path_alone,
    without,
    without_policies,
)
from tests.judges.paths.questions_revocation import (
    or_signed_by_the_cas,
    with_one_key,
    without_bad_signers,
    without_critical_issuers,
    without_other_keys,
    without_refused_signers,
    without_rivals,
    without_self_clearing,
)

BOUNCY_CASTLE: tuple[Class, ...] = (
    Class(
        "path-only",
        "takes an anchor as a name and a key: its dates, path length, name and policy constraints, "
        "usages and unknown extensions do not count",
        "RFC 5280 §6.1 allows it; we ask for more (RFC 5937 §3.2): what a CA says of itself holds, "
        "and people expect that an anchor ends when it says so",
        lambda one: one.theirs.valid and any(map(says_something, one.case.anchors))
        and one.code.startswith(("path.", "revocation.signature")),
        mended(mends.silent_anchors),
    ),
    Class(
        "algorithms",
        "has no table of algorithms: a key of RSA 1024 is as good as any",
        "`pki/algorithm_rows.py`: below 2048 bits is legacy (RFC 8551 §4)",
        lambda one: one.theirs.valid and (one.code.startswith("algorithm.")
        or (one.code.startswith("path.") and one.has("rsa1024"))),
        mended(mends.long_keys),
    ),
    Class(
        "crl-signer-unrevoked",
        "does not ask whether the certificate of who signed a CRL is revoked",
        "RFC 5280 §6.3.3 (f), §6.1.3 (a)(3): its path is validated like any other. If only the CRL "
        "that it signed itself speaks for it, nobody can tell",
        lambda one: one.theirs.valid and one.code == "revocation.signature",
        without_bad_signers,
    ),
    Class(
        "key-clears-itself",
        "takes a CA's word, signed with a new key, that the certificate of that very key is not "
        "revoked",
        "RFC 5280 §6.3.3 (f) would have the path that is in question vouch for itself; who steals "
        "a CA's key shall not clear it (`pki.path_revocation`)",
        lambda one: one.theirs.valid and one.code.startswith("revocation."),
        without_self_clearing,
    ),
    Class(
        "certificate-issuer",
        "does not read an entry that names the issuer of its certificate, since that extension is "
        "critical, and goes on to the next CRL; were it not critical, it says revoked",
        "RFC 5280 §5.3.3: the extension is always critical, and to be understood",
        lambda one: one.theirs.valid and any(map(names_issuers, listing(one))),
        without_critical_issuers,
    ),
    Class(
        "future-crl",
        "believes a CRL whose thisUpdate is still to come",
        "RFC 5280 §5.1.2.4: it has not been issued yet",
        lambda one: one.theirs.valid and one.code.startswith("revocation.")
        and any(not crl.issued for crl in crls(one.case)),
        lambda one: [without(one, [crl for crl in crls(one.case) if not crl.issued])],
    ),
    Class(
        "stack-overflow",
        "falls over its own recursion where who signed a CRL needs that CRL; of each certificate "
        "below its issuer, or were all CRLs signed by the CAs themselves, it says valid",
        "no verdict: it ends in a StackOverflowError",
        lambda one: one.ours.valid and "StackOverflowError" in one.theirs.why,
        or_signed_by_the_cas(each_below_its_issuer),
    ),
    Class(
        "forged-delta",
        "refuses the certificate when a delta CRL is not signed by the key it should be",
        "RFC 5280 §6.3.3 (c)(h): such a delta is not used; who can slip one in shall not stop mail",
        lambda one: one.ours.valid and bool(forged_deltas(one))
        and "Cannot verify delta CRL" in one.theirs.why,
        lambda one: [without(one, forged_deltas(one))],
    ),
    Class(
        "refused-signer",
        "gives up where one who may sign a CA's CRLs has no good certificate, whoever else of that "
        "name has signed one",
        "RFC 5280 §6.3.3 (f): his CRLs are not used; the others are",
        lambda one: one.ours.valid and "CertPath for CRL signer failed" in one.theirs.why
        and bool(signers_apart(one)),
        without_refused_signers,
    ),
    Class(
        "two-keys",
        "of a CA's CRLs signed with its old and its new key it looks into one",
        "RFC 5280 §4.1.2.2: serial numbers are the issuer's, whatever its key; what one CRL lists "
        "is revoked",
        lambda one: (one.ours.valid and "CRL" in one.theirs.why and bool(of_two_keys(one)))
        or bool(rivals(one, another_key)),
        lambda one: with_one_key(one) if one.ours.valid
        else without_other_keys(one),
    ),
    Class(
        "crl-by-name",
        "of a CA's two certificates takes one for that of a CRL's key by the name alone; openssl "
        "agrees with us",
        "RFC 5280 §6.3.3 (g): the signature says whose key it was",
        lambda one: one.ours.valid
        and any(word in one.theirs.why for word in ("Cannot verify CRL", "not permit CRL signing"))
        and changes_its_key(one) and not forged(one.case),
        openssl_of_the_path,
    ),
    Class(
        "crl-signer-policies",
        "demands of the path of who signed a CRL the policies that the caller demands",
        "RFC 5280 §6.3.3 (f) asks for a path to the same anchor, and says nothing of policies",
        lambda one: revoked_by_others(one) if one.theirs.valid
        else one.ours.valid and one.has("policy-inputs")
        and ("CertPath for CRL signer failed" in one.theirs.why
             or ("No CRLs found" in one.theirs.why and bool(signers_apart(one)))),
        without_policies,
    ),
    Class(
        "explicit-policy",
        "where an explicit policy is demanded, and any will do, intersects the policies that all "
        "certificates name, as if none were mapped and anyPolicy were one of them; openssl agrees "
        "with us",
        "RFC 5280 §6.1.3 (d)(2), §6.1.4 (b)(1), §6.1.5 (g): a mapped policy goes on under its "
        "other name, and anyPolicy lets all of them through",
        lambda one: (one.ours.valid and one.has("mapping", "any-policy")
                     and "Explicit policy requested but none available" in one.theirs.why)
        or (one.theirs.valid and one.code == "path.policy" and one.has("mapping")),
        lambda one: openssl_of_the_path(one) if one.ours.valid
        else openssl_on_policies(one),
    ),
    Class(
        "stale-delta",
        "passes over a delta CRL that is past its nextUpdate",
        "a revocation does not go stale: who is on it stays revoked until a newer CRL says else",
        lambda one: one.theirs.valid and any(crl in stale_deltas(one) for crl in listing(one)),
        lambda one: [without(one, stale_deltas(one))],
    ),
    Class(
        "reason-partitions",
        "puts CRLs of some reasons together only where distribution points name them",
        "RFC 5280 §6.3.3: without distribution points the issuer's CRLs are asked, each for its "
        "reasons, until all are spoken of",
        lambda one: one.ours.valid and one.has("crl-all-reasons")
        and "could not be determined" in one.theirs.why,
        mended(mends.whole_crls),
    ),
    Class(
        "any-of-the-crls",
        "of several CRLs that hold at the moment it takes the first it meets",
        "RFC 5280 §5.1.2.4, §6.3.3: an issuer's newest CRL is what it says now",
        lambda one: (one.ours.valid and bool(replaced(one))) or bool(rivals(one, another_time)),
        lambda one: [without(one, replaced(one))] if one.ours.valid
        else without_rivals(one, another_time),
    ),
    Class(
        "one-path",
        "gives up where one of the certificates offered leads nowhere, above all when it looks "
        "for the path of who signed a CRL; offered our path alone it agrees",
        "RFC 4158 §2.2: a builder that tries one path only refuses what is valid",
        more_than_the_path,
        path_alone,
    ),
    Class(
        "wrong-akid",
        "looks for an issuer by authorityKeyIdentifier and takes no other, and none without one",
        "RFC 5280 §4.2.1.1: the identifier helps to find the key; whether it is the one, the "
        "signature says",
        lambda one: one.ours.valid and one.has("wrong-akid", "no-key-identifiers"),
        mended(mends.key_identifiers),
    ),
)  # fmt: skip
