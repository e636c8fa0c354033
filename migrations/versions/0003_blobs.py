"""Content outside the database: which blob belongs to which mail.

A table of its own and no column: `log_contents` stays as it is, however large it has become.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "log_blobs",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("archive_id", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("name"),
        schema="archive",
    )
    op.create_index(
        "log_blobs_by_archive_id",
        "log_blobs",
        ["archive_id"],
        unique=True,
        schema="archive",
    )
