"""Policy: which mail must be encrypted and signed, and what happens when it cannot be.

Pure: rules in, decisions out. Nobody else decides whether a mail may leave in clear text, and
nobody else makes the proof (`ClearTextAllowed`) that the delivering code asks for (I3).
"""

from gateway.policy.decide import Decision, Level, Policy, Step, Undecided, Verdict
from gateway.policy.inherit import Copy
from gateway.policy.mails import (
    NO_HEADER,
    Header,
    Mail,
    Membership,
    PartOfHeader,
    WholeHeader,
)
from gateway.policy.outcomes import (
    Action,
    Crypto,
    Encryption,
    HeaderProtection,
    Sensitivity,
    Sign,
    Tls,
    WithoutCertificate,
)
from gateway.policy.patterns import AddressSet, Pattern
from gateway.policy.rules import DEFAULT_RULE, Levels, Partner, Rule
from gateway.policy.settle import (
    HELD_BY_RULE,
    NO_POST_QUANTUM,
    ClearTextAllowed,
    Encrypt,
    Hold,
    Refuse,
    SendPlain,
    SendSigned,
    Treatment,
    never_encryptable,
    notice_in_clear,
    second_certificate,
    settle,
)

__all__ = [
    "DEFAULT_RULE",
    "HELD_BY_RULE",
    "NO_HEADER",
    "NO_POST_QUANTUM",
    "Action",
    "AddressSet",
    "ClearTextAllowed",
    "Copy",
    "Crypto",
    "Decision",
    "Encrypt",
    "Encryption",
    "Header",
    "HeaderProtection",
    "Hold",
    "Level",
    "Levels",
    "Mail",
    "Membership",
    "PartOfHeader",
    "Partner",
    "Pattern",
    "Policy",
    "Refuse",
    "Rule",
    "SendPlain",
    "SendSigned",
    "Sensitivity",
    "Sign",
    "Step",
    "Tls",
    "Treatment",
    "Undecided",
    "Verdict",
    "WholeHeader",
    "WithoutCertificate",
    "never_encryptable",
    "notice_in_clear",
    "second_certificate",
    "settle",
]
