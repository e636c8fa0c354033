"""What senders ask of notices (RFC 3461), what they have been told, since when mail is held.

Revision: 0007
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    # SQLite has no schemas, and ALTER TABLE is not among what is translated.
    schema = "gateway" if op.get_bind().dialect.name == "postgresql" else None
    for column in (
        sa.Column("notify", sa.String(length=32), nullable=False, server_default=""),
        sa.Column("orcpt", sa.Text(), nullable=False, server_default=""),
        sa.Column("told", sa.String(length=16), nullable=False, server_default=""),
        sa.Column("held_at", sa.BigInteger(), nullable=True),
    ):
        op.add_column("recipients", column, schema=schema)
    # Mail that is held already was promised to stay: its time begins now.
    recipients = sa.table("recipients", sa.column("state"), sa.column("held_at"), schema=schema)
    op.execute(
        recipients.update()
        .where(recipients.c.state == "held")
        .values(held_at=time.time_ns() // 1000)
    )
