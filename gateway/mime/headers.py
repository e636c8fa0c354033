"""Header fields that decide something, read strictly (RFC 5322 §3.4, §3.6)."""

from __future__ import annotations

from gateway.errors import SceauError
from gateway.mime import addresses as _addresses
from gateway.mime.entity import Message
from gateway.mime.words import decode_words

__all__ = [
    "HeaderAmbiguous",
    "addresses",
    "decode_words",
    "from_addresses",
    "visible_recipients",
]


class HeaderAmbiguous(SceauError):
    """A header that two readers may read in two ways, or that is malformed: never guessed.

    field: its name in lower case, "" for a line that is none.
    """

    def __init__(self, field: str, template: str, text: str = "") -> None:
        self.field = field
        super().__init__(template, facts={"field": field, "text": text})


def from_addresses(message: Message, *, groups: bool = True) -> list[str]:
    """Addr-specs of all From fields together, in order, equal ones kept; [] without a From.

    A sender who may be signed for has exactly one. Raises HeaderAmbiguous as `addresses`, for an
    empty From, and for a mail with a line that is no field: some software ends the header there
    and sees another From, or none.
    """
    line = 1
    for field in message.fields:
        if not field.name:
            # Its number, not its words: where the empty line is missing they are of the body, and
            # this stands in logs and comes back in clear.
            raise HeaderAmbiguous("", "line {text} of the mail is not a header field", str(line))
        line += field.raw.count(b"\r\n")
        if field.name == "from" and not field.value:
            raise HeaderAmbiguous("from", "the header field {field} is empty")
    return addresses(message, "from", groups=groups)


def addresses(message: Message, name: str, *, groups: bool = True) -> list[str]:
    """Addr-specs of all fields called `name` (lower case) together, in the order they stand.

    For every field that holds addresses: from, sender, reply-to, to, cc, bcc, resent-…. Groups
    are opened (without `groups` refused). A local part loses quotes that it does not need; nothing
    else is changed.
    Raises HeaderAmbiguous where the value has no or more than one reading.
    """
    found: list[str] = []
    for field in message.fields:
        if field.name == name:
            if field.raw[len(name) : len(name) + 1] != b":":
                # RFC 5322 §4.5.x allows it; some software takes such a line for no field.
                raise HeaderAmbiguous(
                    name, "the header field {field} has white space before its colon"
                )
            try:
                found += _addresses.parse(field.value, groups=groups)
            except _addresses.Malformed as error:
                raise HeaderAmbiguous(name, error.template, error.text) from None
    return found


def visible_recipients(message: Message) -> list[str]:
    """Addr-specs of To, Cc, Resent-To and Resent-Cc: those whom every reader may know of.

    An envelope recipient that is not among them is a blind one. Raises HeaderAmbiguous; a caller
    that only wants to know who is blind may then take every recipient for blind.
    """
    return [
        address
        for name in ("to", "cc", "resent-to", "resent-cc")
        for address in addresses(message, name)
    ]
