"""The way out: archive log, certificates of others, queue.

Revision: 0001, the first
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "log_content_keys",
        sa.Column("archive_id", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("archive_id", "holder"),
        schema="archive",
    )
    op.create_table(
        "log_contents",
        sa.Column("archive_id", sa.String(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_fields", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("archive_id"),
        schema="archive",
    )
    op.create_table(
        "log_entries",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("archive_id", sa.String(length=32), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("epoch", "entry_index"),
        schema="archive",
        sqlite_with_rowid=False,
    )
    op.create_index(
        "log_entries_by_archive_id",
        "log_entries",
        ["archive_id"],
        unique=False,
        schema="archive",
    )
    op.create_table(
        "log_head",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("origin", sa.String(length=255), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("epoch"),
        schema="archive",
    )
    op.create_table(
        "log_payloads",
        sa.Column("commitment", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("commitment"),
        schema="archive",
    )
    op.create_table(
        "log_working_wraps",
        sa.Column("archive_id", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("archive_id"),
        schema="archive",
    )
    op.create_index(
        "log_working_wraps_by_holder",
        "log_working_wraps",
        ["holder"],
        unique=False,
        schema="archive",
    )
    op.create_table(
        "certificates",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("address", sa.String(length=330), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("not_before", sa.String(27), nullable=False),
        sa.Column("not_after", sa.String(27), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("added_at", sa.String(27), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.String(27), nullable=True),
        sa.Column("removed_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="pki",
    )
    op.create_index(
        "certificates_by_address", "certificates", ["org", "address"], unique=False, schema="pki"
    )
    op.create_index(
        "certificates_by_removal", "certificates", ["org", "removed_at"], unique=False, schema="pki"
    )
    op.create_index(
        "certificates_by_sha256", "certificates", ["org", "sha256"], unique=False, schema="pki"
    )
    op.create_table(
        "consents",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("address", sa.String(length=330), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("given_at", sa.String(27), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.String(27), nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        schema="pki",
    )
    op.create_index(
        "consents_by_address", "consents", ["org", "address"], unique=False, schema="pki"
    )
    op.create_table(
        "crl_fetches",
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("location", sa.String(length=500), nullable=False),
        sa.Column("tried_at", sa.String(27), nullable=False),
        sa.Column("done_at", sa.String(27), nullable=True),
        sa.Column("crl_sha256", sa.String(length=64), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("org", "location"),
        schema="pki",
    )
    op.create_table(
        "crls",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("series", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("number", sa.String(length=50), nullable=True),
        sa.Column("this_update", sa.String(27), nullable=False),
        sa.Column("next_update", sa.String(27), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("known_at", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("org", "sha256", name="crls_sha256"),
        schema="pki",
    )
    op.create_index(
        "crls_by_series", "crls", ["org", "series", "this_update"], unique=False, schema="pki"
    )
    op.create_table(
        "person_keys",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("org", sa.String(length=64), server_default="", nullable=False),
        sa.Column("address", sa.String(length=330), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("kek", sa.String(length=32), nullable=False),
        sa.Column("nonce", sa.LargeBinary(length=12), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", sa.String(27), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("org", "address", "certificate_sha256", name="person_keys_one"),
        schema="pki",
    )
    op.create_table(
        "used_certificates",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
        schema="pki",
    )
    op.create_table(
        "messages",
        sa.Column("archive_id", sa.String(length=64), nullable=False),
        sa.Column("org", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("archive_id"),
        schema="gateway",
    )
    op.create_index(
        "messages_due", "messages", ["claimed_by", "due_at"], unique=False, schema="gateway"
    )
    op.create_table(
        "sealed_groups",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("archive_id", sa.String(length=64), nullable=False),
        sa.Column("treatment", sa.String(length=16), nullable=False),
        sa.Column("route", sa.String(length=128), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("emitted", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(
            ["archive_id"],
            ["gateway.messages.archive_id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        schema="gateway",
    )
    op.create_index(
        "sealed_groups_message", "sealed_groups", ["archive_id"], unique=False, schema="gateway"
    )
    op.create_table(
        "recipients",
        sa.Column("archive_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("group_id", sa.String(length=64), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["archive_id"],
            ["gateway.messages.archive_id"],
        ),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["gateway.sealed_groups.id"],
        ),
        sa.PrimaryKeyConstraint("archive_id", "position"),
        schema="gateway",
    )
    op.create_index("recipients_state", "recipients", ["state"], unique=False, schema="gateway")
