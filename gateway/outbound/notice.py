"""The gateway's own notices to senders: neither signed nor encrypted, by a rule of their own."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from archive.store import Draft
from gateway.accept import recipient_fields
from gateway.outbound.route import no_route
from gateway.outbound.unserved import wait
from gateway.outbound.work import Work
from gateway.policy import notice_in_clear
from gateway.queue.jobs import Recipient, SealedGroup
from gateway.routes import Routes
from pki.addresses import canonical


def seal_notice(
    work: Work, waiting: Sequence[Recipient], raw: bytes, moment: datetime, routes: Routes
) -> None:
    """A notice that the gateway wrote itself goes to its one recipient as it is."""
    for recipient in waiting:
        clear = notice_in_clear(recipient.address)
        route = routes.find(canonical(recipient.address))
        if route is None:
            problem = no_route(recipient.address)
            wait(work, recipient, problem, "", moment=moment, held=False)
            continue
        digest = hashlib.sha256(raw).hexdigest()
        group = SealedGroup(
            secrets.token_hex(16),
            work.job.archive_id,
            "plain",
            route.name,
            digest,
            len(raw),
            raw,
        )
        fields = {
            "group": group.id.encode(),
            "treatment": b"plain",
            "rule": clear.rule.encode(),
            "route": route.name.encode(),
            "emitted.sha256": digest.encode(),
            "emitted.size": str(len(raw)).encode(),
            **recipient_fields("recipient", [recipient.address]),
        }
        recipient.group_id = group.id
        work.groups.append(group)
        work.drafts.append(Draft("sealed", work.job.org, work.job.archive_id, fields))
