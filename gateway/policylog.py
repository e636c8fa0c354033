"""Telling the log which policy is in force, so that every decision can be explained (I4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager

import sqlalchemy as sa
import structlog

from archive.errors import NotInArchive
from archive.reading import history
from archive.store import Draft
from gateway.policy import Policy

log = structlog.get_logger()

KIND = "policy"
_SHA256 = "policy.sha256"

Connect = Callable[[], AbstractContextManager[sa.Connection]]


def policy_log_id(org: str) -> str:
    """The archive id under which all policies of an organisation stand in the log.

    One id for all, so that `sceau archive history ID` shows every change in order, and the last
    one is found without reading the whole log. It says nothing that the kind does not.
    """
    return hashlib.sha256(b"sceau/policy-log/1\x00" + org.encode()).hexdigest()[:32]


def policy_drafts(policy: Policy, *, last: str, org: str, by: str) -> list[Draft]:
    """The entry to be written when the policy in force is another than the last recorded one.

    last: SHA-256 in the last `policy` entry, "" where there is none. by: the account that put it
    in force. Empty when the log knows this policy already. The time is that of the entry.
    """
    if policy.sha256 == last:
        return []
    fields = {
        _SHA256: policy.sha256.encode(),
        "policy": policy.text,
        "before.sha256": last.encode(),
        "by": by.encode(),
    }
    return [Draft(KIND, org, policy_log_id(org), fields)]


def last_recorded(conn: sa.Connection, org: str) -> str:
    """SHA-256 of the policy in the last `policy` entry; "" where there is none. Raises Damaged."""
    try:
        records = history(conn, policy_log_id(org))
    except NotInArchive:
        return ""
    for record in reversed(records):
        if record.entry.kind == KIND and (value := record.value(_SHA256)) is not None:
            return value.decode("ascii")
    return ""


def record_policy(
    policy: Policy, *, org: str, by: str, read: Connect, append: Callable[[list[Draft]], object]
) -> bool:
    """Write the `policy` entry if the policy in force has changed; whether it had.

    Called before the first decision is made by this policy: at the start of the gateway, at a
    reload, and by each process that decides. Whatever `append` raises leaves here.
    """
    with read() as conn:
        last = last_recorded(conn, org)
    drafts = policy_drafts(policy, last=last, org=org, by=by)
    if not drafts:
        return False
    append(drafts)
    log.info("policy", sha256=policy.sha256, before=last, by=by)
    return True
