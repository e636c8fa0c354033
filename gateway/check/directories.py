"""LDAP servers: each connected to, logged in, and asked for somebody who does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gateway.check.expiry import validity
from gateway.check.finding import Finding, good, unknown
from gateway.i18n import message
from gateway.wiring import Wiring

_NO_LOGIN = message("from then on the directory does not let us in, and mail waits")


def directories(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """One finding a server, and one for each certificate that we show there."""
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
    for known in wiring.certificates:
        if known.kind == "directory":
            yield validity(
                f"directory {known.name}",
                known.der,
                moment,
                meaning=_NO_LOGIN,
                ahead=wiring.ahead.directories,
            )
