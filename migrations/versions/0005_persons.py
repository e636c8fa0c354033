"""Persons: consents as log entries, keys by their public key, end and key-encryption key.

Revision: 0005
"""

import hashlib

import sqlalchemy as sa
from alembic import op
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

revision = "0005"
down_revision = "0003"
branch_labels = None
depends_on = None


def _schema() -> str | None:
    # Alembic's ALTER TABLE and plain table() pass over the translation of names for SQLite.
    return "pki" if op.get_bind().dialect.name == "postgresql" else None


def _add(table: str, column: sa.Column[str]) -> None:
    op.add_column(table, column, schema=_schema())


def _text(name: str, kind: sa.types.TypeEngine[str]) -> sa.Column[str]:
    return sa.Column(name, kind, server_default="", nullable=False)


def upgrade() -> None:
    """Add the columns, and fill what the stored certificates say.

    Consents get their entry in the log from the gateway's keeper when it starts.
    """
    _add("person_keys", _text("key_sha256", sa.String(64)))
    _add("person_keys", _text("not_after", sa.String(27)))
    _add("person_keys", _text("source_sha256", sa.String(64)))
    _add("consents", sa.Column("entry_id", sa.String(32), nullable=True))
    _add("consents", _text("basis", sa.Text()))
    _add("consents", _text("form_sha256", sa.String(64)))
    _add("consents", _text("withdrawn_basis", sa.Text()))
    _add("consents", _text("withdrawn_form_sha256", sa.String(64)))
    _fill()
    for name, column in (
        ("person_keys_by_key", "key_sha256"),
        ("person_keys_by_end", "not_after"),
        ("person_keys_by_source", "source_sha256"),
        ("person_keys_by_kek", "kek"),
    ):
        op.create_index(name, "person_keys", ["org", column], unique=False, schema="pki")
    op.create_index("consents_by_entry", "consents", ["entry_id"], unique=False, schema="pki")


def _fill() -> None:
    conn = op.get_bind()
    keys = sa.table(
        "person_keys",
        sa.column("id", sa.BigInteger),
        sa.column("certificate", sa.LargeBinary),
        sa.column("key_sha256", sa.String),
        sa.column("not_after", sa.String),
        schema=_schema(),
    )
    last = 0
    while True:
        rows = conn.execute(
            sa.select(keys.c.id, keys.c.certificate)
            .where(keys.c.id > last)
            .order_by(keys.c.id)
            .limit(500)
        ).all()
        for row in rows:
            certificate = x509.load_der_x509_certificate(row.certificate)
            spki = certificate.public_key().public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
            ends = certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            conn.execute(
                sa.update(keys)
                .where(keys.c.id == row.id)
                .values(key_sha256=hashlib.sha256(spki).hexdigest(), not_after=ends)
            )
        if not rows:
            return
        last = rows[-1].id
