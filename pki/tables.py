"""Tables of `pki`. Rows carry an organisation from the start; only one, "", exists so far."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware UTC time as fixed-width text, which sorts as time and reads the same everywhere.

    (SQLite has no time zones: its DateTime would give back naive times.)
    """

    impl = sa.String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: str | None, dialect: Any) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


def _id() -> sa.Column[int]:
    # BigInteger would lose SQLite's rowid alias.
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, primary_key=True, autoincrement=True)


def _org() -> sa.Column[str]:
    return sa.Column("org", sa.String(64), nullable=False, server_default="")


# Certificates of others, one row per canonical address; taken out of use, never deleted. A row of
# "@domain" holds for all addresses of that domain (RFC 3183).
certificates = sa.Table(
    "certificates",
    metadata,
    _id(),
    _org(),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("not_before", Moment, nullable=False),
    sa.Column("not_after", Moment, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("added_at", Moment, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("removed_at", Moment),
    sa.Column("removed_by", sa.Text),
    # CA certificates that came along, DER, one after the other; OIDs of SMIMECapabilities that
    # this person signed, checked when they came.
    sa.Column("chain", sa.LargeBinary),
    sa.Column("capabilities", sa.Text),
    sa.Index("certificates_by_address", "org", "address"),
    sa.Index("certificates_by_sha256", "org", "sha256"),
    sa.Index("certificates_by_removal", "org", "removed_at"),
)

# All versions of all CRLs that were accepted, with the time from which they were known.
# series: issuer, key and scope; numbers may not go back within one.
# index_sha256: of the index of a large one (`pki.crl_index`), on whatever machine; "" for none.
crls = sa.Table(
    "crls",
    metadata,
    _id(),
    _org(),
    sa.Column("series", sa.String(64), nullable=False),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("number", sa.String(50)),  # decimal: up to 20 octets (RFC 5280 §5.2.3)
    sa.Column("this_update", Moment, nullable=False),
    sa.Column("next_update", Moment, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("known_at", Moment, nullable=False),
    sa.Column("index_sha256", sa.String(64), nullable=False, server_default=""),
    sa.UniqueConstraint("org", "sha256", name="crls_sha256"),
    sa.Index("crls_by_series", "org", "series", "this_update"),
)

# The last attempt for each configured CRL source. failures: since the last one that worked.
crl_fetches = sa.Table(
    "crl_fetches",
    metadata,
    sa.Column("org", sa.String(64), primary_key=True, server_default=""),
    sa.Column("location", sa.String(500), primary_key=True),
    sa.Column("tried_at", Moment, nullable=False),
    sa.Column("done_at", Moment),
    sa.Column("crl_sha256", sa.String(64)),
    sa.Column("problem", sa.Text),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
)

# Persons' signing keys, wrapped by the key-encryption key named by kek. key_sha256: of the
# SubjectPublicKeyInfo; source_sha256: of the PKCS#12 that brought it ("" for the first ones).
person_keys = sa.Table(
    "person_keys",
    metadata,
    _id(),
    _org(),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("certificate_sha256", sa.String(64), nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("chain", sa.LargeBinary, nullable=False),  # DER certificates, one after the other
    sa.Column("kek", sa.String(32), nullable=False),
    sa.Column("nonce", sa.LargeBinary(12), nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("added_at", Moment, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("key_sha256", sa.String(64), nullable=False, server_default=""),
    sa.Column("not_after", Moment, nullable=False, server_default=""),
    sa.Column("source_sha256", sa.String(64), nullable=False, server_default=""),
    sa.UniqueConstraint("org", "address", "certificate_sha256", name="person_keys_one"),
    sa.Index("person_keys_by_key", "org", "key_sha256"),
    sa.Index("person_keys_by_end", "org", "not_after"),
    sa.Index("person_keys_by_source", "org", "source_sha256"),
    sa.Index("person_keys_by_kek", "org", "kek"),
)

# Consents are given and withdrawn, never deleted, and a withdrawn one never lives again.
# entry_id: the id of their entries in the archive's log; NULL until they stand there, and then
# nothing is signed by them. basis: in words; form_sha256: of a signed form that was shown.
consents = sa.Table(
    "consents",
    metadata,
    _id(),
    _org(),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("certificate_sha256", sa.String(64), nullable=False),
    sa.Column("person", sa.Text, nullable=False),
    sa.Column("given_at", Moment, nullable=False),
    sa.Column("given_by", sa.Text, nullable=False),
    sa.Column("withdrawn_at", Moment),
    sa.Column("withdrawn_by", sa.Text),
    sa.Column("entry_id", sa.String(32)),
    sa.Column("basis", sa.Text, nullable=False, server_default=""),
    sa.Column("form_sha256", sa.String(64), nullable=False, server_default=""),
    sa.Column("withdrawn_basis", sa.Text, nullable=False, server_default=""),
    sa.Column("withdrawn_form_sha256", sa.String(64), nullable=False, server_default=""),
    sa.Index("consents_by_address", "org", "address"),
    sa.Index("consents_by_entry", "entry_id"),
)

# Certificates that decisions in the log name by hash (recipients' paths, signers).
used_certificates = sa.Table(
    "used_certificates",
    metadata,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("der", sa.LargeBinary, nullable=False),
)

# Certificates of others: which keys an address was seen with, what waits for a person, and keys
# that are never used again whatever certificate they stand in.

# A new one beside the known ones of an address is a change. accepted_by: an account, or "first
# use", or "policy".
recipient_keys = sa.Table(
    "recipient_keys",
    metadata,
    _id(),
    _org(),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("key_sha256", sa.String(64), nullable=False),
    sa.Column("issuer_sha256", sa.String(64), nullable=False),
    sa.Column("certificate_sha256", sa.String(64), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("accepted_by", sa.Text, nullable=False),
    sa.UniqueConstraint("org", "address", "key_sha256", "issuer_sha256", name="recipient_keys_one"),
)

# kind: "harvest", "key-change". state: "open", "accepted", "dismissed"; rows stay. code: of the
# reason why a person is asked.
suggestions = sa.Table(
    "suggestions",
    metadata,
    _id(),
    _org(),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("domain", sa.String(255), nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("chain", sa.LargeBinary),
    sa.Column("capabilities", sa.Text),
    sa.Column("key_sha256", sa.String(64), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("seen_at", Moment, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("decided_at", Moment),
    sa.Column("decided_by", sa.Text),
    sa.UniqueConstraint("org", "address", "sha256", "kind", name="suggestions_one"),
    sa.Index("suggestions_by_state", "org", "state", "domain"),
    sa.Index("suggestions_by_decision", "org", "decided_at"),
)

# By SHA-256 of the SubjectPublicKeyInfo. code, reason: as a Problem has them.
refused_keys = sa.Table(
    "refused_keys",
    metadata,
    sa.Column("org", sa.String(64), primary_key=True, server_default=""),
    sa.Column("key_sha256", sa.String(64), primary_key=True),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("refused_at", Moment, nullable=False),
    sa.Column("refused_by", sa.Text, nullable=False),
)

# OCSP: all versions of all responses that were accepted, a row for each certificate they speak of,
# with the time from which they were known; status: good, revoked or unknown.
ocsp_responses = sa.Table(
    "ocsp_responses",
    metadata,
    _id(),
    _org(),
    sa.Column("certificate", sa.String(64), nullable=False),  # SHA-256 of the one spoken of
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("responder", sa.Text, nullable=False),
    sa.Column("status", sa.String(8), nullable=False),
    sa.Column("this_update", Moment, nullable=False),
    sa.Column("next_update", Moment, nullable=False),
    sa.Column("produced_at", Moment, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("known_at", Moment, nullable=False),
    sa.UniqueConstraint("org", "certificate", "sha256", name="ocsp_responses_one"),
    sa.Index("ocsp_responses_by_certificate", "org", "certificate", "this_update"),
    sa.Index("ocsp_responses_by_sha256", "org", "sha256"),
    sa.Index("ocsp_responses_by_status", "org", "status"),
)

# Certificates that are asked about ahead of need, and the last attempt. wanted_at: when somebody
# last needed it, to the day; those that nobody needs any more are not asked about.
ocsp_questions = sa.Table(
    "ocsp_questions",
    metadata,
    sa.Column("org", sa.String(64), primary_key=True, server_default=""),
    sa.Column("certificate", sa.String(64), primary_key=True),
    sa.Column("der", sa.LargeBinary, nullable=False),
    sa.Column("issuer", sa.LargeBinary, nullable=False),  # DER of the CA's certificate
    sa.Column("wanted_at", Moment, nullable=False),
    sa.Column("due_at", Moment, nullable=False),
    sa.Column("tried_at", Moment),
    sa.Column("problem", sa.Text),
    sa.Index("ocsp_questions_by_due", "org", "due_at"),
)

# Decisions about persons and trust anchors stand in the archive's log. The row of an organisation
# is the turn to write one: whoever adds to `made` has it until his transaction ends, and readers
# see by it that something is new, or that the log has lost a decision that was made.
decision_turns = sa.Table(
    "decision_turns",
    metadata,
    sa.Column("org", sa.String(64), primary_key=True, server_default=""),
    sa.Column("made", sa.BigInteger, nullable=False, server_default="0"),
)

# Authorities that were met and are not known, one row each: a question to people, never trust.
# authority: of its key where its certificate came along, else of its name and key identifier.
# place: "store", "directory", "mail". certificate: one that it issued; above: CA certificates that
# came along, DER, one after the other.
authority_questions = sa.Table(
    "authority_questions",
    metadata,
    _id(),
    _org(),
    sa.Column("authority", sa.String(64), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("place", sa.String(16), nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("above", sa.LargeBinary, nullable=False),
    sa.Column("first_at", Moment, nullable=False),
    sa.Column("last_at", Moment, nullable=False),
    sa.Column("times", sa.BigInteger, nullable=False, server_default="1"),
    sa.Column("dismissed_at", Moment),
    sa.Column("dismissed_by", sa.Text, nullable=False, server_default=""),
    sa.Column("dismissed_why", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("org", "authority", name="authority_questions_one"),
)

# Keys that open mail to our people, all their generations, for ever; wrapped like person_keys.
# After a departure nonce and wrapped are empty: the key is in escrowed_keys, and opens nothing.
decryption_keys = sa.Table(
    "decryption_keys",
    metadata,
    _id(),
    _org(),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("certificate_sha256", sa.String(64), nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("kek", sa.String(32), nullable=False),
    sa.Column("nonce", sa.LargeBinary(12), nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sa.Column("added_at", Moment, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("key_sha256", sa.String(64), nullable=False),
    sa.Column("not_after", Moment, nullable=False),
    sa.Column("source_sha256", sa.String(64), nullable=False),
    sa.Column("departed_at", Moment),
    sa.UniqueConstraint("org", "address", "certificate_sha256", name="decryption_keys_one"),
    sa.Index("decryption_keys_by_source", "org", "source_sha256"),
    sa.Index("decryption_keys_by_kek", "org", "kek"),
    sa.Index("decryption_keys_by_end", "org", "address", "departed_at", "not_after"),
)

# By what a RecipientInfo may call a key: issuer and serial number, or key identifier, hashed.
decryption_names = sa.Table(
    "decryption_names",
    metadata,
    sa.Column("org", sa.String(64), primary_key=True, server_default=""),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("key_id", sa.BigInteger, primary_key=True),
)

# Decryption keys of those who left, sealed to the archive's recipients. entry_id: archive id of
# the log entry of the departure; sealed: AES-256-GCM; wraps: who can open it, JSON.
escrowed_keys = sa.Table(
    "escrowed_keys",
    metadata,
    _id(),
    _org(),
    sa.Column("entry_id", sa.String(32), nullable=False),
    sa.Column("address", sa.String(330), nullable=False),
    sa.Column("certificate_sha256", sa.String(64), nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("wraps", sa.Text, nullable=False),
    sa.Column("departed_at", Moment, nullable=False),
    sa.Column("departed_by", sa.Text, nullable=False),
    sa.UniqueConstraint("entry_id", "certificate_sha256", name="escrowed_keys_one"),
    sa.Index("escrowed_keys_by_address", "org", "address"),
)
