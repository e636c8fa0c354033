"""Policy: which mail must be encrypted and signed, and what happens when it cannot be.

Pure: rules in, decisions out. Nobody else decides whether a mail may leave in clear text, and
nobody else makes the proof (`ClearTextAllowed`) that the delivering code asks for (I3).
"""

from gateway.policy.patterns import Pattern
from gateway.policy.rules import (
    DEFAULT_RULE,
    Crypto,
    Decision,
    Encryption,
    Partner,
    Policy,
    Rule,
    Sign,
    WithoutCertificate,
)
from gateway.policy.settle import (
    ClearTextAllowed,
    Encrypt,
    Hold,
    Refuse,
    SendPlain,
    SendSigned,
    Treatment,
    never_encryptable,
    notice_in_clear,
    settle,
)

__all__ = [
    "DEFAULT_RULE",
    "ClearTextAllowed",
    "Crypto",
    "Decision",
    "Encrypt",
    "Encryption",
    "Hold",
    "Partner",
    "Pattern",
    "Policy",
    "Refuse",
    "Rule",
    "SendPlain",
    "SendSigned",
    "Sign",
    "Treatment",
    "WithoutCertificate",
    "never_encryptable",
    "notice_in_clear",
    "settle",
]
