"""Counting by log lines: what is logged of a mail is what is counted of it.

So the code that moves mail knows nothing of metrics, and the two accounts cannot differ. A line
that `log.level` leaves out is counted all the same (`maillog.configure`).
"""

from __future__ import annotations

from typing import Any

from gateway.metrics.tally import Tally

# Log event -> counter, and the fields of the line that are its labels.
_COUNTED: dict[str, tuple[str, tuple[str, ...]]] = {
    "connected": ("sceau_connections", ()),
    "accepted": ("sceau_accepted", ()),
    "refused": ("sceau_refused", ("code",)),
    "sealed": ("sceau_sealed", ("treatment",)),
    "delivered": ("sceau_delivered", ("route",)),
    "deferred": ("sceau_deferred", ("code",)),
    "failed": ("sceau_failed", ("status",)),
    "notice": ("sceau_notices", ()),
    "process_died": ("sceau_process_deaths", ("role",)),
    "crl_failed": ("sceau_crl_fetch_failures", ()),
    "ocsp_failed": ("sceau_ocsp_failures", ()),
}

# What must never happen; each has a line with an incident or a reason.
_FAULTS = frozenset(
    {
        "appender_broken", "cannot_run", "claims_not_freed", "keeper_fault", "process_fault",
        "index_skipped", "quarantined", "seal_fatal", "seal_fault", "sealed_octets_unusable",
        "smtp_internal_error", "storage_fault", "storage_full",
    }
)  # fmt: skip


def count(tally: Tally, line: dict[str, Any]) -> None:
    """Count one log line; most lines count for nothing."""
    event = line["event"]
    found = _COUNTED.get(event)
    if found is not None:
        name, fields = found
        tally.add(name, tuple([str(line.get(field, "-")) for field in fields]))
        if event == "accepted":
            tally.add("sceau_accepted_bytes", (), line.get("size", 0))
    elif event in _FAULTS:
        tally.add("sceau_faults", (event,))
