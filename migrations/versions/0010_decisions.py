"""The turn to decide about persons and trust anchors, and authorities that nobody knows.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; the turn of the one organisation there is."""
    turns = op.create_table(
        "decision_turns",
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("made", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("org"),
        schema="pki",
    )
    op.execute(turns.insert().values(org="", made=0))
    op.create_table(
        "authority_questions",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.String(length=16), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("address", sa.String(length=330), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("above", sa.LargeBinary(), nullable=False),
        sa.Column("first_at", sa.String(length=27), nullable=False),
        sa.Column("last_at", sa.String(length=27), nullable=False),
        sa.Column("times", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("dismissed_at", sa.String(length=27), nullable=True),
        sa.Column("dismissed_by", sa.Text(), server_default="", nullable=False),
        sa.Column("dismissed_why", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("org", "authority", name="authority_questions_one"),
        schema="pki",
    )
