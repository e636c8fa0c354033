"""Certificates of others: known keys of recipients, suggestions for a person, refused keys.

Revision: 0011
"""

import hashlib

import sqlalchemy as sa
from alembic import op
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

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
    """Add columns and tables; the keys of stored certificates are those that are known."""
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
    _known_keys(schema)
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
    op.create_index(
        "suggestions_by_decision",
        "suggestions",
        ["org", "decided_at"],
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


def _known_keys(schema: str | None) -> None:
    conn = op.get_bind()
    stored = sa.table(
        "certificates",
        *(sa.column(name) for name in ("id", "org", "address", "sha256", "der", "source")),
        *(sa.column(name) for name in ("added_at", "added_by", "removed_at")),
        schema=schema,
    )
    known = sa.table(
        "recipient_keys",
        *(sa.column(name) for name in ("org", "address", "key_sha256", "issuer_sha256")),
        *(sa.column(name) for name in ("certificate_sha256", "source", "seen_at", "accepted_by")),
        schema=schema,
    )
    last = 0
    seen: set[tuple[str, str, str, str]] = set()
    while True:
        rows = conn.execute(
            sa.select(stored)
            .where(stored.c.id > last, stored.c.removed_at.is_(None))
            .order_by(stored.c.id)
            .limit(500)
        ).all()
        for row in rows:
            certificate = x509.load_der_x509_certificate(row.der)
            try:
                spki = certificate.public_key().public_bytes(
                    Encoding.DER, PublicFormat.SubjectPublicKeyInfo
                )
            except (ValueError, UnsupportedAlgorithm):
                continue  # no mail was ever encrypted to it
            key = hashlib.sha256(spki).hexdigest()
            issuer = hashlib.sha256(certificate.issuer.public_bytes()).hexdigest()
            if (row.org, row.address, key, issuer) in seen:
                continue
            seen.add((row.org, row.address, key, issuer))
            conn.execute(
                sa.insert(known).values(
                    org=row.org,
                    address=row.address,
                    key_sha256=key,
                    issuer_sha256=issuer,
                    certificate_sha256=row.sha256,
                    source=row.source,
                    seen_at=row.added_at,
                    accepted_by=row.added_by,
                )
            )
        if not rows:
            return
        last = rows[-1].id
