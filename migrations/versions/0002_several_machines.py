"""Several machines on one PostgreSQL: signs of life, news of queued mail, smaller indexes.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add `processes`; look for due and for claimed messages by indexes of just those."""
    op.create_table(
        "processes",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=128), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("takeover", sa.BigInteger(), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.Column("indexed", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
        schema="gateway",
    )
    op.drop_index("messages_due", "messages", schema="gateway")
    waiting = sa.text("claimed_by IS NULL AND due_at IS NOT NULL")
    claimed = sa.text("claimed_by IS NOT NULL")
    op.create_index(
        "messages_waiting",
        "messages",
        ["due_at"],
        schema="gateway",
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_index(
        "messages_claimed",
        "messages",
        ["claimed_by"],
        schema="gateway",
        sqlite_where=claimed,
        postgresql_where=claimed,
    )
    if op.get_bind().dialect.name == "postgresql":
        # A trigger, not a statement of the program: no question more before the 250.
        op.execute(
            "CREATE FUNCTION gateway.announce_messages() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_notify('sceau_messages', ''); RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER messages_announced AFTER INSERT ON gateway.messages "
            "FOR EACH STATEMENT EXECUTE FUNCTION gateway.announce_messages()"
        )
