"""Entries that are to be written: their fields, salted and hashed. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from archive.blob_names import digest_in
from archive.entry import check_subject
from archive.errors import PayloadMalformed, Problem
from archive.fields import NAMES, Withheld, commit, list_names
from archive.seal import Sealed
from archive.wrap import wraps_hash

CONTENT_KIND = "accepted"

# Fields that are added to the payload of an entry with sealed content.
CONTENT_SHA256 = "content.sha256"
CONTENT_SIZE = "content.size"
SEALED_SHA256 = "sealed.sha256"
SEALED_FIELDS_SHA256 = "sealed-fields.sha256"
WRAPS_SHA256 = "wraps.sha256"
WORKING_WRAP_SHA256 = "working-wrap.sha256"


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry to be written. fields: name → value, committed to with a salt each.

    sealed: content that comes into the archive with this entry; once for an archive id, and with
        the kind `CONTENT_KIND` only, so that a reader of the log knows where content begins.
    """

    kind: str
    org: str
    archive_id: str
    fields: Mapping[str, bytes] = field(repr=False)
    sealed: Sealed | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """A draft whose hashes are computed: all that needs neither database nor place in the log."""

    draft: Draft
    commitment: str
    payload: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes that will be written, about."""
        sealed = self.draft.sealed
        return len(self.payload) + (len(sealed.content) + len(sealed.fields) if sealed else 0)


def prepare(draft: Draft) -> Prepared:
    """Salt the fields and compute the commitment. Pure; call it before the transaction.

    Raises PayloadMalformed (names), EntryMalformed (kind, org, id).
    """
    # Everything an entry can be refused for is found here, so that one bad draft shows before it
    # shares a transaction with others.
    check_subject(draft.kind, draft.org, draft.archive_id)
    values = dict(draft.fields)
    withheld: Mapping[str, Withheld] = {}
    if draft.sealed is not None:
        if draft.kind != CONTENT_KIND:
            raise _clash(f"content comes with an entry of kind {CONTENT_KIND} only")
        own = _sealed_values(draft.sealed)
        withheld = draft.sealed.withheld
        if draft.sealed.archive_id != draft.archive_id:
            raise _clash("the content was sealed for another archive id")
        if not own.keys().isdisjoint(values) or not (own.keys() | values).isdisjoint(withheld):
            raise _clash("a name stands for two fields")
        values |= own
    if NAMES in values or NAMES in withheld:
        raise _clash(f'"{NAMES}" is written with every payload')
    values[NAMES] = list_names((*values, *withheld))
    return Prepared(draft, *commit(values, withheld))


def _sealed_values(sealed: Sealed) -> dict[str, bytes]:
    values = {
        CONTENT_SHA256: sealed.content_sha256.encode("ascii"),
        CONTENT_SIZE: str(sealed.content_size).encode("ascii"),
        SEALED_SHA256: _sealed_sha256(sealed).encode("ascii"),
        SEALED_FIELDS_SHA256: hashlib.sha256(sealed.fields).hexdigest().encode("ascii"),
        WRAPS_SHA256: wraps_hash(sealed.wraps).encode("ascii"),
    }
    if sealed.working is not None:
        values[WORKING_WRAP_SHA256] = wraps_hash([sealed.working]).encode("ascii")
    return values


def _sealed_sha256(sealed: Sealed) -> str:
    if sealed.blob is not None:
        return digest_in(sealed.blob)  # a blob is named by the hash of the ciphertext
    return hashlib.sha256(sealed.content).hexdigest()


def _clash(why: str) -> PayloadMalformed:
    return PayloadMalformed(
        Problem("payload.clash", "these fields cannot be in one payload: {why}", {"why": why})
    )
