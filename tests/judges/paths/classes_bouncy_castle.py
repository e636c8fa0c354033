"""Where Bouncy Castle disagrees with us."""

from __future__ import annotations

from tests.judges.paths.disagreement import Class
from tests.judges.paths.facts import more_than_the_path, says_something

BOUNCY_CASTLE: tuple[Class, ...] = (
    Class(
        "path-only",
        "takes an anchor as a name and a key: its dates, path length, name and policy constraints, "
        "usages and unknown extensions do not count",
        "RFC 5280 §6.1 allows it; we ask for more (RFC 5937 §3.2): what a CA says of itself holds, "
        "and people expect that an anchor ends when it says so",
        lambda one: one.theirs.valid and any(map(says_something, one.case.anchors))
        and one.code.startswith(("path.", "revocation.signature")),
    ),
    Class(
        "algorithms",
        "has no table of algorithms: a key of RSA 1024 is as good as any",
        "`pki/algorithm_rows.py`: below 2048 bits is legacy (RFC 8551 §4)",
        lambda one: one.theirs.valid and one.code.startswith("algorithm."),
    ),
    Class(
        "crl-signer-unrevoked",
        "does not ask whether the certificate of who signed a CRL is revoked",
        "RFC 5280 §6.3.3 (f), §6.1.3 (a)(3): its path is validated like any other. If only the CRL "
        "that it signed itself speaks for it, nobody can tell",
        lambda one: one.theirs.valid and one.code == "revocation.signature"
        and one.has("self-issued", "crl-signer-right", "crl-signer-revoked"),
    ),
    Class(
        "critical-entry",
        "reads past a critical extension of a CRL entry that it does not know",
        "RFC 5280 §5.3: such a CRL tells nothing about any certificate",
        lambda one: one.theirs.valid and one.has("crl-entry-critical")
        and one.code == "revocation.missing",
    ),
    Class(
        "future-crl",
        "believes a CRL whose thisUpdate is still to come",
        "RFC 5280 §5.1.2.4: it has not been issued yet",
        lambda one: one.theirs.valid and one.has("future-crl")
        and one.code in ("revocation.missing", "revocation.no-base"),
    ),
    Class(
        "two-keys",
        "of a CA's CRLs signed with its old and its new key it looks into one",
        "RFC 5280 §4.1.2.2: serial numbers are the issuer's, whatever its key; what one CRL lists "
        "is revoked",
        lambda one: one.has("self-issued")
        and (one.code == "revocation.revoked" or (one.ours.valid and "CRL" in one.theirs.why)),
    ),
    Class(
        "crl-signer-policies",
        "demands of the path of who signed a CRL the policies that the caller demands",
        "RFC 5280 §6.3.3 (f) asks for a path to the same anchor, and says nothing of policies",
        lambda one: one.ours.valid and one.has("policy-inputs")
        and "CertPath for CRL signer failed" in one.theirs.why,
    ),
    Class(
        "stale-delta",
        "passes over a delta CRL that is past its nextUpdate",
        "a revocation does not go stale: who is on it stays revoked until a newer CRL says else",
        lambda one: one.theirs.valid and one.code == "revocation.revoked"
        and one.has("delta-stale"),
    ),
    Class(
        "forged-delta",
        "refuses the certificate when a delta CRL is not signed by the key it should be",
        "RFC 5280 §6.3.3 (c)(h): such a delta is not used; who can slip one in shall not stop mail",
        lambda one: one.ours.valid and one.has("delta-forged", "forged-crl")
        and "Cannot verify delta CRL" in one.theirs.why,
    ),
    Class(
        "reason-partitions",
        "puts CRLs of some reasons together only where distribution points name them",
        "RFC 5280 §6.3.3: without distribution points the issuer's CRLs are asked, each for its "
        "reasons, until all are spoken of",
        lambda one: one.ours.valid and one.has("crl-all-reasons")
        and "could not be determined" in one.theirs.why,
    ),
    Class(
        "any-of-the-crls",
        "of several CRLs that hold at the moment it takes the first it meets",
        "RFC 5280 §5.1.2.4, §6.3.3: an issuer's newest CRL is what it says now",
        lambda one: one.has("newer-revokes", "older-revokes"),
    ),
    Class(
        "one-path",
        "gives up where one of the certificates offered leads nowhere, above all when it looks "
        "for the path of who signed a CRL; offered our path alone it agrees",
        "RFC 4158 §2.2: a builder that tries one path only refuses what is valid",
        more_than_the_path,
        alone=True,
    ),
    Class(
        "wrong-akid",
        "looks for an issuer by authorityKeyIdentifier and takes no other, and none without one",
        "RFC 5280 §4.2.1.1: the identifier helps to find the key; whether it is the one, the "
        "signature says",
        lambda one: one.ours.valid and one.has("wrong-akid", "no-key-identifiers"),
    ),
)  # fmt: skip
