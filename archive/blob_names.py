"""Names of blobs: `2026-11-21/` and the SHA-256 of the ciphertext in hex. Pure.

By content, although no ciphertext ever comes twice (each has a key of its own, so there is
nothing to share):

- a blob can be checked by whoever holds it, with nothing but its name;
- a put whose answer was lost can be repeated: it writes the same octets under the same name, and
  can never replace others;
- the name is the `sealed.sha256` the log has committed to, so log and blob find each other even
  where the table in between is lost;
- an archive id as name would let the operator of an object store join it with the mail servers'
  logs, where that id stands in every 250; a hash of ciphertext tells him nothing.

By day, so that a sweep, a copy and a look by hand take one day at a time however old the archive
is. The day is the writer's; nothing is decided by it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

# Says whose store this is; see `archive.blobs.Blobs.prepare`.
MARKER = "origin"

_NAME = re.compile(r"\d{4}-\d{2}-\d{2}/[0-9a-f]{64}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def blob_name(digest: str, moment: datetime) -> str:
    """Name of a blob written at `moment`. digest: SHA-256 of its octets, hex."""
    return f"{moment.astimezone(UTC).date().isoformat()}/{digest}"


def digest_in(name: str) -> str:
    """The SHA-256 (hex) that a name promises."""
    return name.rpartition("/")[2]


def is_blob_name(name: str) -> bool:
    """Whether this is the name of a blob. Nothing else is read, written or removed as one."""
    return _NAME.fullmatch(name) is not None


def is_day(name: str) -> bool:
    """Whether this is the first part of a blob's name."""
    return _DAY.fullmatch(name) is not None
