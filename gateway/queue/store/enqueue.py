"""Putting messages into the queue, in the transaction of their archive entries."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa

from archive.rows import Rows
from gateway.mail import NOTHING_ASKED
from gateway.queue.jobs import NewMessage
from gateway.queue.models import messages, recipients
from gateway.queue.states import State

_INSERT_MESSAGE = Rows(messages.insert(), *(column.name for column in messages.c))
_OF_THE_ENVELOPE = [c.name for c in recipients.c if c.name not in ("copied_by", "released")]
_INSERT_RECIPIENTS = Rows(recipients.insert(), *_OF_THE_ENVELOPE)


def enqueue(conn: sa.Connection, new: Sequence[NewMessage]) -> None:
    """Insert messages and their recipients, due at once."""
    if not new:
        return
    _INSERT_MESSAGE.write(
        conn,
        [
            {
                "archive_id": message.archive_id,
                "org": message.org,
                "kind": message.kind,
                "sender": message.sender,
                "author": message.author,
                "parameters": json.dumps(message.parameters, sort_keys=True),
                "sha256": message.sha256,
                "size": message.size,
                "accepted_at": message.accepted_at,
                "due_at": message.accepted_at,
                "claimed_by": None,
                "crashes": 0,
                "settled_at": None,
            }
            for message in new
        ],
    )
    _INSERT_RECIPIENTS.write(
        conn,
        [
            {
                "archive_id": message.archive_id,
                "position": position,
                "address": address,
                "state": State.QUEUED,
                "group_id": None,
                "attempts": 0,
                "next_attempt_at": message.accepted_at,
                "expires_at": message.expires_at,
                "reason": "",
                "decision": "",
                "notify": asked.notify,
                "orcpt": asked.orcpt,
                "told": "",
                "held_at": None,
            }
            for message in new
            for position, address in enumerate(message.recipients)
            for asked in (message.options.get(address, NOTHING_ASKED),)
        ],
    )
