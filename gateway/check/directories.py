"""LDAP servers: each connected to, logged in, and asked for somebody who does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gateway.check.finding import Finding, good, unknown
from gateway.wiring import Wiring


def directories(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """One finding a server."""
    for client in wiring.directories:
        subject = f"directory {client.directory.name}"
        for trial in client.try_servers():
            if trial.problem is None:
                yield good(subject, "{url} answers", url=trial.url)
                continue
            yield unknown(
                subject,
                trial.problem.code,
                trial.problem.template,
                meaning="mail to recipients whose certificates are on no other server waits, and "
                "is tried again",
                advice="sceau pki directory test shows each server",
                **trial.problem.facts,
            )
