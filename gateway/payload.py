"""What of a mail is signed and encrypted: its content, with its header where that was agreed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.mime.canonical import Transformation
from gateway.mime.display_element import with_display_element
from gateway.mime.entity import Message, content_entity
from gateway.mime.protect import CannotProtect, protect
from gateway.policy import HeaderProtection

# Of the fields that are hidden those that a mail program shows (RFC 9788 §5.2.1, step 2).
_SHOWN = ("subject",)


@dataclass(frozen=True, slots=True)
class Payload:
    """A MIME entity, and what stands around it.

    outer: the mail with the fields that stay outside. changes: from the content as it came to this
    entity, if that is not the same. record: what was agreed and done about header fields, for the
    decision record; None where nothing was agreed. No value of a field stands in it.
    """

    entity: bytes
    outer: Message
    changes: tuple[Transformation, ...] = ()
    record: dict[str, object] | None = None


def payload(message: Message, agreed: HeaderProtection, *, encrypted: bool) -> Payload:
    """The payload of a mail for recipients with whom this was agreed.

    encrypted: whether it will be; else it leaves signed, and nothing in it is a secret.
    Raises CannotProtect where fields must be hidden and cannot be: a subject that was agreed to be
    confidential does not leave because a client of ours signs by itself. Where they would only
    have been signed the mail leaves without, and the record says why.
    """
    if agreed is HeaderProtection.OFF:
        return Payload(content_entity(message), message)
    confidential = encrypted and agreed.confidential
    record: dict[str, object] = {"agreed": agreed.value}
    shown: tuple[Transformation, ...] = ()
    if confidential and agreed is HeaderProtection.LEGACY_DISPLAY:
        message, shown = with_display_element(message, _SHOWN)
        record["legacy-display"] = [change.part or "root" for change in shown]
    before = _sha256(content_entity(message))  # let go before the other copy is made
    try:
        done = protect(message, encrypted=encrypted, confidential=confidential)
    except CannotProtect as error:
        if confidential:
            raise
        return Payload(content_entity(message), message, (), {**record, "not-because": str(error)})
    change = Transformation("", "content", f"hp={done.intent}", before, _sha256(done.entity))
    return Payload(
        done.entity,
        done.outer,
        (*shown, change),
        {**record, "hp": done.intent, "hidden": list(done.hidden)},
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
