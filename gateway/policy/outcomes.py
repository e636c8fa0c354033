"""The words a rule may say about what is done with a mail."""

from __future__ import annotations

from enum import Enum


class Encryption(Enum):
    """Whether a mail must be encrypted for a recipient."""

    REQUIRED = "required"  # it leaves encrypted or it does not leave
    IF_POSSIBLE = "if-possible"  # without a certificate, what `without_certificate` names
    NEVER = "never"  # it leaves in clear text; no certificate is looked for


class WithoutCertificate(Enum):
    """What happens when every directory answered and there is no usable certificate."""

    REFUSE = "refuse"  # the sender gets a notice, the mail does not leave
    HOLD = "hold"  # the mail waits, visibly, for a person
    SEND_SIGNED = "send-signed"  # it leaves signed, in clear text


class Sign(Enum):
    """Who signs."""

    SEAL = "seal"  # the organisation's certificate for the sender's domain (RFC 3183)
    PERSON = "person"  # the sender, where a consent record and a key exist, else the seal
    PERSON_ONLY = "person-only"  # the sender; without consent and key the mail waits
    NONE = "none"  # nobody


class Crypto(Enum):
    """Which algorithms a recipient gets whose own capabilities are not known (design §5)."""

    READABLE = "readable"  # what every client opens: AES-256-CBC, RSA PKCS#1 v1.5 or ECDH
    MODERN = "modern"  # agreed with the partner: AES-256-GCM, RSA-OAEP or ECDH
    STRICT = "strict"  # modern, and a recipient who is not known to read it is held
    # modern, and around it a second envelope to an ML-KEM key; without such a key the mail is held
    HYBRID = "experimental-hybrid"


class HeaderProtection(Enum):
    """Whether the header fields of a mail are protected with its content (RFC 9788)."""

    OFF = "off"
    SIGNED = "signed"  # the signature covers them; outside they stand as they were
    CONFIDENTIAL = "confidential"  # and the subject of encrypted mail is not shown outside
    # And it is repeated in the text, for programs that do not know RFC 9788.
    LEGACY_DISPLAY = "confidential-legacy-display"

    @property
    def confidential(self) -> bool:
        """Whether fields of encrypted mail are hidden."""
        return self in (HeaderProtection.CONFIDENTIAL, HeaderProtection.LEGACY_DISPLAY)


class Tls(Enum):
    """What the connection to the next hop must be. A route demands it, a rule may demand more."""

    NONE = "none"  # no TLS at all: loopback, or a wire that is protected otherwise
    OPPORTUNISTIC = "opportunistic"  # STARTTLS where offered, certificate not checked
    VERIFIED = "verified"  # STARTTLS with a certificate for `host` under `ca`, or no mail


class Action(Enum):
    """Whether the mail goes on its way at all."""

    SEND = "send"
    HOLD = "hold"  # a person looks at it first
    REFUSE = "refuse"  # it does not leave; the sender reads why


class Sensitivity(Enum):
    """Values of the header field Sensitivity (RFC 2156, registered in RFC 4021)."""

    PERSONAL = "personal"
    PRIVATE = "private"
    COMPANY_CONFIDENTIAL = "company-confidential"


# From the laxest to the strictest: a level below may go to the right, not to the left.
TLS_ORDER = (Tls.NONE, Tls.OPPORTUNISTIC, Tls.VERIFIED)
ACTION_ORDER = (Action.SEND, Action.HOLD, Action.REFUSE)
CRYPTO_ORDER = (Crypto.READABLE, Crypto.MODERN, Crypto.STRICT, Crypto.HYBRID)
