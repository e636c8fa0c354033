"""Every sum that processes keep: its name without `_total`, what it is, its labels.

docs/metrics.md has the same list for people; a test holds that both agree.
"""

from __future__ import annotations

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sceau_connections": ("SMTP connections taken", ()),
    "sceau_accepted": ("Mails answered 250: archived and queued", ()),
    "sceau_accepted_bytes": ("Octets of mails answered 250", ()),
    "sceau_refused": ("Refusals in SMTP dialogues, by reply code", ("code",)),
    "sceau_sealed": ("Groups of recipients sealed together, by what they get", ("treatment",)),
    "sceau_delivered": ("Recipients delivered to the next hop, by route", ("route",)),
    "sceau_deferred": ("Attempts that will be repeated, by problem or reply code", ("code",)),
    "sceau_failed": ("Recipients given up, by enhanced status code", ("status",)),
    "sceau_notices": ("Notices (DSN) written to senders", ()),
    "sceau_faults": ("Faults of our own, by log event", ("event",)),
    "sceau_process_deaths": ("Processes that ended unasked", ("role",)),
    "sceau_crl_fetch_failures": ("Fetches of a CRL that failed", ()),
    "sceau_ocsp_failures": ("Questions to an OCSP responder that failed", ()),
}

# Upper bounds in seconds.
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "sceau_commit_seconds": (
        "From the wish to write to the database until the commit is durable",
        (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
    ),
}
