"""Keys that open mail to our people, by the names senders have for them; keys of those who left.

Revision: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def _id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True)


def _org(*, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(
        "org", sa.String(64), server_default="", nullable=False, primary_key=primary_key
    )


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "decryption_keys",
        _id(),
        _org(),
        sa.Column("address", sa.String(330), nullable=False),
        sa.Column("certificate_sha256", sa.String(64), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("kek", sa.String(32), nullable=False),
        sa.Column("nonce", sa.LargeBinary(12), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", sa.String(27), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("key_sha256", sa.String(64), nullable=False),
        sa.Column("not_after", sa.String(27), nullable=False),
        sa.Column("source_sha256", sa.String(64), nullable=False),
        sa.Column("departed_at", sa.String(27), nullable=True),
        sa.UniqueConstraint("org", "address", "certificate_sha256", name="decryption_keys_one"),
        schema="pki",
    )
    for name, column in (
        ("decryption_keys_by_source", "source_sha256"),
        ("decryption_keys_by_kek", "kek"),
    ):
        op.create_index(name, "decryption_keys", ["org", column], schema="pki")
    op.create_index(
        "decryption_keys_by_end",
        "decryption_keys",
        ["org", "address", "departed_at", "not_after"],
        schema="pki",
    )
    op.create_table(
        "decryption_names",
        _org(primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, primary_key=True),
        sa.Column("key_id", sa.BigInteger(), nullable=False, primary_key=True, autoincrement=False),
        schema="pki",
    )
    op.create_table(
        "escrowed_keys",
        _id(),
        _org(),
        sa.Column("entry_id", sa.String(32), nullable=False),
        sa.Column("address", sa.String(330), nullable=False),
        sa.Column("certificate_sha256", sa.String(64), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("wraps", sa.Text(), nullable=False),
        sa.Column("departed_at", sa.String(27), nullable=False),
        sa.Column("departed_by", sa.Text(), nullable=False),
        sa.UniqueConstraint("entry_id", "certificate_sha256", name="escrowed_keys_one"),
        schema="pki",
    )
    op.create_index("escrowed_keys_by_address", "escrowed_keys", ["org", "address"], schema="pki")
