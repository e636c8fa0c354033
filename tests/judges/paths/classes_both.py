"""Where both disagree with us."""

from __future__ import annotations

from tests.judges.paths import mends
from tests.judges.paths.crl_facts import crls, odd_entry, without_base
from tests.judges.paths.disagreement import Class
from tests.judges.paths.facts import mailbox_subtree_of_another_case
from tests.judges.paths.facts_revocation import another_scope, listing, odd_deltas, rivals
from tests.judges.paths.questions import mended, without
from tests.judges.paths.questions_revocation import without_other_scopes

_UNTOLD = ("revocation.missing", "revocation.no-base", "revocation.signature")

BOTH: tuple[Class, ...] = (
    Class(
        "mailbox-constraint-case",
        "a name constraint that is one mailbox holds for it only in the same case",
        "the house rule of `address-case`, in constraints as in addresses",
        lambda one: mailbox_subtree_of_another_case(one)
        and (one.error[0] in (0, 47, 48) if one.ours.valid
             else one.code.startswith("path.")),
        mended(mends.one_case_of_letters),
    ),
    Class(
        "delta-without-base",
        "passes over a delta CRL whose base it does not have",
        "RFC 5280 §5.2.4: the two may not be combined; what the CA signed as revoked is revoked",
        lambda one: one.theirs.valid
        and any(crl in without_base(one.case) for crl in listing(one)),
        lambda one: [without(one, without_base(one.case))],
    ),
    Class(
        "one-crl-is-enough",
        "stops at the first CRL that speaks for all reasons; without that one it says revoked",
        "the CA's own list and an indirect one that its certificate names, or an older whole list "
        "and newer ones in parts, speak for the same reasons: RFC 5280 §6.3.3 stops at either, so "
        "we ask both, and what one lists is revoked",
        lambda one: one.theirs.valid and bool(rivals(one, another_scope)),
        without_other_scopes,
    ),
    Class(
        "critical-entry",
        "reads past a critical extension of a CRL entry that it does not know; openssl does so "
        "where a delta CRL lifts the entry",
        "RFC 5280 §5.3: such a CRL tells nothing about any certificate",
        lambda one: one.theirs.valid and one.code in _UNTOLD
        and any(map(odd_entry, crls(one.case))),
        lambda one: [without(one, filter(odd_entry, crls(one.case)))],
    ),
    Class(
        "critical-delta",
        "refuses the certificate when a delta CRL has a critical extension that it does not know",
        "RFC 5280 §5.2, §5.3: such a CRL is not used; the complete one is, and holds without it",
        lambda one: one.ours.valid and bool(odd_deltas(one)) and (one.error[0] == 36
        or "delta CRL has unsupported critical extensions" in one.theirs.why),
        lambda one: [without(one, odd_deltas(one))],
    ),
    Class(
        "later-crl",
        "does not look into a CRL issued after the moment",
        "what it lists as revoked before the moment was revoked then; nobody is acquitted by it",
        lambda one: one.theirs.valid and any(not crl.issued for crl in listing(one)),
        lambda one: [without(one, [crl for crl in listing(one) if not crl.issued])],
    ),
)  # fmt: skip
