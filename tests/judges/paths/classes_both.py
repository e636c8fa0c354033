"""Where both disagree with us."""

from __future__ import annotations

from tests.judges.paths.disagreement import Class
from tests.judges.paths.facts import mailbox_subtree_of_another_case

BOTH: tuple[Class, ...] = (
    Class(
        "mailbox-constraint-case",
        "a name constraint that is one mailbox holds for it only in the same case",
        "the house rule of `address-case`, in constraints as in addresses",
        lambda one: mailbox_subtree_of_another_case(one)
        and (one.ours.valid or one.code == "path.name-constraints"),
    ),
    Class(
        "delta-without-base",
        "passes over a delta CRL whose base it does not have",
        "RFC 5280 §5.2.4: the two may not be combined; what the CA signed as revoked is revoked",
        lambda one: one.theirs.valid and not one.ours.valid and one.has("delta-later-base"),
    ),
    Class(
        "one-crl-is-enough",
        "stops at the first CRL that speaks for all reasons",
        "the CA's own list and an indirect one that its certificate names speak for the same "
        "reasons: RFC 5280 §6.3.3 stops at either, so we ask both, and what one lists is revoked",
        lambda one: one.theirs.valid and one.code == "revocation.revoked"
        and one.has("indirect-revokes"),
    ),
    Class(
        "later-crl",
        "does not look into a CRL issued after the moment",
        "what it lists as revoked before the moment was revoked then; nobody is acquitted by it",
        lambda one: one.theirs.valid and one.code == "revocation.revoked" and one.has("future-crl"),
    ),
)  # fmt: skip
