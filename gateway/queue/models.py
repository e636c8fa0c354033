"""Tables of the queue: what is still to be done with an accepted message.

The queue is a working copy: everything in it can be made again from the archive's log and
content. Times are integers, microseconds since 1970-01-01T00:00:00Z.

A message is the unit that a worker claims; a recipient is the unit that has a state (I2); a
group is what was sealed together and leaves as one transaction.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("archive_id", sa.String(64), primary_key=True),
    sa.Column("org", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),  # "mail" or "notice" (a DSN of ours)
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),  # canonical address of From
    sa.Column("parameters", sa.Text, nullable=False),  # JSON of kept ESMTP parameters
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("accepted_at", sa.BigInteger, nullable=False),
    # NULL: nothing to do (settled, or all open recipients are held).
    sa.Column("due_at", sa.BigInteger),
    sa.Column("claimed_by", sa.String(64)),
    # How often a worker died while it held the message: a poisoned mail is taken out (held).
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("settled_at", sa.BigInteger),
)
# The claim reads this index from its lowest end: as quick with 100,000 queued as with ten. Only
# what it looks for is in it: PostgreSQL would sort a wider one at every claim.
_WAITING = sa.text("claimed_by IS NULL AND due_at IS NOT NULL")
sa.Index("messages_waiting", messages.c.due_at, sqlite_where=_WAITING, postgresql_where=_WAITING)
_CLAIMED = sa.text("claimed_by IS NOT NULL")
sa.Index(
    "messages_claimed", messages.c.claimed_by, sqlite_where=_CLAIMED, postgresql_where=_CLAIMED
)

groups = sa.Table(
    "sealed_groups",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("archive_id", sa.String(64), sa.ForeignKey(messages.c.archive_id), nullable=False),
    sa.Column("treatment", sa.String(16), nullable=False),  # "encrypted", "signed", "plain"
    sa.Column("route", sa.String(128), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("emitted", sa.LargeBinary),  # NULL once every recipient of it is settled
    # What a rule demands of the connection beyond the route: "opportunistic", "verified" or "".
    sa.Column("tls", sa.String(16), nullable=False, server_default=""),
)
sa.Index("sealed_groups_message", groups.c.archive_id)

recipients = sa.Table(
    "recipients",
    metadata,
    sa.Column("archive_id", sa.String(64), sa.ForeignKey(messages.c.archive_id), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),  # as the client gave it
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("group_id", sa.String(64), sa.ForeignKey(groups.c.id)),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_attempt_at", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),  # JSON of a Problem, "" while there is none
    sa.Column("decision", sa.Text, nullable=False),  # JSON as in the `sealed` entry, or ""
    # What the client asked for him (RFC 3461 §4.1, §4.2), "" for nothing.
    sa.Column("notify", sa.String(32), nullable=False, server_default=""),
    sa.Column("orcpt", sa.Text, nullable=False, server_default=""),
    # What the sender was last told of him while he is open: "", "delayed" or "held".
    sa.Column("told", sa.String(16), nullable=False, server_default=""),
    sa.Column("held_at", sa.BigInteger),  # NULL while he is not held
    # Name of the rule that wanted a copy for him; "" for a recipient of the envelope.
    sa.Column("copied_by", sa.String(64), nullable=False, server_default=""),
    # Name of the rule that held him for a person, once a person has released him; else "".
    sa.Column("released", sa.String(64), nullable=False, server_default=""),
)
sa.Index("recipients_state", recipients.c.state)

# Processes that may hold claims, where several machines share the database: a row is the licence
# to work, and it goes when its `beats` stand still for `takeover` microseconds.
processes = sa.Table(
    "processes",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),  # as in messages.claimed_by
    sa.Column("node", sa.String(128), nullable=False),  # the installation on one machine
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("takeover", sa.BigInteger, nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
    # Of the role index: entries of the log that its full-text index has.
    sa.Column("indexed", sa.BigInteger),
)
