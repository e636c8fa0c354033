"""Tables of the archive, in three groups that have different lives (design: three artefacts).

log: `log_head`, `log_entries`. Rows of `log_entries` are only ever added.
blobs: `log_contents`, ciphertext only, and `log_blobs`, which says where it lies if not there.
key ledger: `log_payloads`, `log_content_keys`, `log_working_wraps`; what lawful deletion removes.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# One row a log; the next free index and the hash that the next entry takes as `prev`.
log_head = sa.Table(
    "log_head",
    metadata,
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("origin", sa.String(255), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("prev", sa.String(64), nullable=False),
)

# `entry` holds the canonical bytes; the other columns repeat parts of it for look-up only.
log_entries = sa.Table(
    "log_entries",
    metadata,
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("entry_index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("archive_id", sa.String(32), nullable=False),
    sa.Column("entry", sa.LargeBinary, nullable=False),
    sa.Index("log_entries_by_archive_id", "archive_id"),
    sqlite_with_rowid=False,
)

# Found by the commitment in the entry, so it can be written before the entry has an index.
log_payloads = sa.Table(
    "log_payloads",
    metadata,
    sa.Column("commitment", sa.String(64), primary_key=True),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

log_contents = sa.Table(
    "log_contents",
    metadata,
    sa.Column("archive_id", sa.String(32), primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("sealed_fields", sa.LargeBinary, nullable=False),
)

# Ciphertext that lies outside the database (`archive.blobs`); `sealed` is then empty.
#
# Whoever has put a name in here first has decided over the blob: the mail it belongs to, or (with
# no archive id) the sweep that is about to remove it. The primary key makes them exclude each
# other whatever the clocks of their machines say.
log_blobs = sa.Table(
    "log_blobs",
    metadata,
    sa.Column("name", sa.String(80), primary_key=True),
    sa.Column("archive_id", sa.String(32)),
    sa.Index("log_blobs_by_archive_id", "archive_id", unique=True),
)

# The key of a content, wrapped to each archive recipient.
log_content_keys = sa.Table(
    "log_content_keys",
    metadata,
    sa.Column("archive_id", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(64), primary_key=True),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)

# The same key, wrapped to the working key of a day: only while the mail is in flight.
log_working_wraps = sa.Table(
    "log_working_wraps",
    metadata,
    sa.Column("archive_id", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(64), nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Index("log_working_wraps_by_holder", "holder"),
)
