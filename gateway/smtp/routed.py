"""Routes inside local parts: mail for one address that a server behind sends to another. Pure."""

from __future__ import annotations

import unicodedata


def has_route(address: str) -> bool:
    """Whether some server may read the local part of a canonical address as a way to elsewhere.

    `user%there@here`, `there!user@here`, `"user@there"@here` (RFC 5321 appendix F.2 asks to stop
    this; Postfix still does it for clients that it trusts, and it trusts us). Policy decides by
    `here`, where mail may stay in clear, and the mail goes to `there`, where it must not. So may
    those that prepare what they compare (RFC 8264): for them U+FF20 is an @.
    """
    local = unicodedata.normalize("NFKC", address[: address.rfind("@")])
    return "%" in local or "!" in local or "@" in local
