"""LDAP servers: each connected to and asked for somebody who does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from gateway.check.finding import Finding, good, unknown
from gateway.wiring import Wiring
from pki.errors import DirectoryTrouble

_PROBE = "sceau-check"


def directories(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """One finding each."""
    for directory, client in zip(wiring.config.pki.directories, wiring.directories, strict=True):
        subject = f"directory {directory.name}"
        domain = directory.domains[0].removeprefix(".")  # ".b.example": all below it
        try:
            client.search(f"{_PROBE}@{domain}")
        except DirectoryTrouble as trouble:
            yield unknown(
                subject,
                trouble.problem.code,
                trouble.problem.template,
                meaning="mail to recipients whose certificates are there waits, and is tried again",
                advice="ask whoever runs that server; url, ca and bind_dn are ours",
                **trouble.problem.facts,
            )
            continue
        yield good(subject, "{url} answers", url=directory.url)
