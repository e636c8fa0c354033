"""In which language a sender is written to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.mime.entity import Message

Language = Literal["en", "fr"]

_RANGE = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q\s*=\s*([01](?:\.[0-9]{1,3})?)\s*)?\Z"
)


@dataclass(frozen=True, slots=True)
class Languages:
    """default: of the installation. domains: of the senders of some domains, in lower case."""

    default: Language = "en"
    domains: Mapping[str, Language] = field(default_factory=dict)

    def choose(self, mail: Message, sender: str) -> Language:
        """What the mail's Accept-Language says (RFC 3282 §3: the languages its author wants
        answers in), else what is set for the sender's domain, else the default.

        Content-Language is not looked at: a letter in English to a partner is often written by
        somebody who would rather be told in French why it did not arrive.
        """
        return (
            _accepted(mail) or self.domains.get(sender.rpartition("@")[2].lower()) or self.default
        )


def _accepted(mail: Message) -> Language | None:
    best: tuple[float, Language] | None = None
    for field_ in mail.all("accept-language")[:1]:
        for item in field_.value[:1000].decode("ascii", "replace").split(","):
            match = _RANGE.match(item)
            if match is None:
                continue
            quality = float(match[2] or 1)
            code = match[1].lower().partition("-")[0]
            for known in ("en", "fr"):
                if code == known and quality > (best[0] if best else 0):
                    best = (quality, known)
    return best[1] if best else None
