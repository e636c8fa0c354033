"""OCSP responses, kept as evidence, and the certificates that are asked about.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _text(name: str, length: int = 0) -> sa.Column[str]:
    kind = sa.String(length=length) if length else sa.Text()
    return sa.Column(name, kind, nullable=False)


def _org() -> sa.Column[str]:
    return sa.Column("org", sa.String(length=64), server_default="", nullable=False)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "ocsp_responses",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        _org(),
        _text("certificate", 64),
        _text("subject"),
        _text("issuer"),
        _text("responder"),
        _text("status", 8),
        _text("this_update", 27),
        _text("next_update", 27),
        _text("produced_at", 27),
        _text("sha256", 64),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        _text("source"),
        _text("known_at", 27),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("org", "certificate", "sha256", name="ocsp_responses_one"),
        schema="pki",
    )
    op.create_table(
        "ocsp_questions",
        _org(),
        _text("certificate", 64),
        sa.Column("der", sa.LargeBinary(), nullable=False),
        sa.Column("issuer", sa.LargeBinary(), nullable=False),
        _text("wanted_at", 27),
        _text("due_at", 27),
        sa.Column("tried_at", sa.String(length=27), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("org", "certificate"),
        schema="pki",
    )
    for name, table, columns in (
        ("ocsp_responses_by_certificate", "ocsp_responses", ["certificate", "this_update"]),
        ("ocsp_responses_by_sha256", "ocsp_responses", ["sha256"]),
        ("ocsp_responses_by_status", "ocsp_responses", ["status"]),
        ("ocsp_questions_by_due", "ocsp_questions", ["due_at"]),
    ):
        op.create_index(name, table, ["org", *columns], unique=False, schema="pki")
