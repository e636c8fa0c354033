"""Certificates of others: known keys of recipients, suggestions for a person, refused keys.

Revision: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def _id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, autoincrement=True, nullable=False)


def _org() -> sa.Column[str]:
    return sa.Column("org", sa.String(length=64), server_default="", nullable=False)


def upgrade() -> None:
    """Add columns and tables; what is stored already is known from its first use on."""
    # SQLite has no schemas, and ALTER TABLE is not among what is translated.
    schema = "pki" if op.get_bind().dialect.name == "postgresql" else None
    op.add_column("certificates", sa.Column("chain", sa.LargeBinary()), schema=schema)
    op.add_column("certificates", sa.Column("capabilities", sa.Text()), schema=schema)
    op.create_table(
        "recipient_keys",
        _id(),
        _org(),
        sa.Column("address", sa.String(length=330), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("issuer_sha256", sa.String(length=64), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.String(length=27), nullable=False),
        sa.Column("accepted_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "org", "address", "key_sha256", "issuer_sha256", name="recipient_keys_one"
        ),
        schema="pki",
    )
    op.create_table(
        "suggestions",
        _id(),
        _org(),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("address", sa.String(length=330), nullable=False),
        sa.Column("domain", sa.String(length=255), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=True),
        sa.Column("capabilities", sa.Text(), nullable=True),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("seen_at", sa.String(length=27), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided_at", sa.String(length=27), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("org", "address", "sha256", "kind", name="suggestions_one"),
        schema="pki",
    )
    op.create_index(
        "suggestions_by_state",
        "suggestions",
        ["org", "state", "domain"],
        unique=False,
        schema="pki",
    )
    op.create_table(
        "refused_keys",
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("refused_at", sa.String(length=27), nullable=False),
        sa.Column("refused_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("org", "key_sha256"),
        schema="pki",
    )
