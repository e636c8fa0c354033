"""Large CRLs have an index; how often in a row a CRL source has failed.

Revision: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. CRLs that are stored are indexed by the keeper, if they are large."""
    # SQLite has no schemas, and ALTER TABLE is not among what is translated.
    schema = "pki" if op.get_bind().dialect.name == "postgresql" else None
    for table, column in (
        (
            "crls",
            sa.Column("index_sha256", sa.String(length=64), nullable=False, server_default=""),
        ),
        ("crl_fetches", sa.Column("failures", sa.Integer(), nullable=False, server_default="0")),
    ):
        op.add_column(table, column, schema=schema)
