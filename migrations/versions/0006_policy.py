"""Policy: copies, mail released from a rule, TLS that a rule demands.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; rows that are there get the value that means "none"."""
    # SQLite has no schemas, and what alters a table does not go through the translation of names.
    schema = None if op.get_bind().dialect.name == "sqlite" else "gateway"
    for table, column, size in (
        ("sealed_groups", "tls", 16),
        ("recipients", "copied_by", 64),
        ("recipients", "released", 64),
    ):
        op.add_column(
            table,
            sa.Column(column, sa.String(length=size), nullable=False, server_default=""),
            schema=schema,
        )
