"""Header fields that decide something: addresses (RFC 5322 §3.4, §4.4, RFC 6532), words (RFC 2047)."""

from __future__ import annotations

from gateway.errors import SceauError
from gateway.mime.entity import Message


class HeaderAmbiguous(SceauError):
    """A header that two readers may read in two ways, or that is malformed: never guessed.

    template, facts: the sentence for people. field: name of the field in lower case.
    """

    def __init__(self, field: str, template: str, **facts: str) -> None:
        self.field = field
        self.template = template
        self.facts = {"field": field, **facts}
        super().__init__(template.format(**self.facts))


def from_addresses(message: Message) -> list[str]:
    """Addr-specs of all From fields together, in order, equal ones kept; [] without a From.

    Raises HeaderAmbiguous (see `addresses`), and for a mail with lines that are no field.
    """
    raise NotImplementedError


def addresses(message: Message, name: str) -> list[str]:
    """Addr-specs of all fields called `name` (lower case) together, in the order they stand.

    Works for every field that holds addresses: from, sender, reply-to, to, cc, bcc, resent-….
    Raises HeaderAmbiguous.
    """
    raise NotImplementedError


def visible_recipients(message: Message) -> list[str]:
    """Addr-specs of To, Cc, Resent-To and Resent-Cc: who may know of whom.

    An envelope recipient that is not among them is a blind one. Raises HeaderAmbiguous: a caller
    that only wants to know who is blind may then take every recipient for blind.
    """
    raise NotImplementedError


def decode_words(value: bytes) -> str:
    """An unstructured value for people and for search: RFC 2047 words decoded, never raises."""
    raise NotImplementedError
