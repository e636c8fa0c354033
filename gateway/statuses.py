"""Enhanced status codes (RFC 3463) for what we decide ourselves. Pure."""

from __future__ import annotations

from typing import Literal

from pki.errors import Problem

# Subject and detail by code of the problem, else by its area.
_BY_CODE = {
    "directory.none": "7.5",  # X.7.5 cryptographic failure
    "identity.address": "1.3",  # X.1.3 bad destination mailbox address syntax
    "identity.no-seal": "3.5",  # X.3.5 system incorrectly configured
    "identity.seal-expired": "3.5",
    "limits.no-route": "4.4",  # X.4.4 unable to route
    "limits.directory": "4.3",
    "limits.path": "7.5",
    "structure.cannot-convert": "6.0",  # X.6.0 other or undefined media error
}
_BY_AREA = {
    "directory": "4.3",  # X.4.3 directory server failure
    "revocation": "7.5",
    "path": "7.5",
    "algorithm": "7.5",
    "crypto": "7.5",
    "signature": "7.5",
    "attributes": "7.5",
    "identity": "7.5",
    "structure": "7.5",
    "policy": "7.1",  # X.7.1 delivery not authorized
    "delivery": "4.7",  # X.4.7 delivery time expired
    "limits": "3.0",  # X.3.0 other or undefined mail system status
    "token": "3.0",
}


def status_for(problem: Problem, severity: Literal["4", "5"]) -> str:
    """The code of a problem.

    severity: "4" while it may pass, and also where it has lasted too long: RFC 3463 §3.5 (X.4.7)
    prefers the code of what was in the way to "delivery time expired"; "5" where it is final.
    """
    detail = _BY_CODE.get(problem.code) or _BY_AREA.get(problem.code.partition(".")[0], "0.0")
    return f"{severity}.{detail}"
