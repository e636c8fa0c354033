"""An outside verifier of the archive, written from docs/archive-format.md alone.

Standard library only, nothing of the product: `python stranger_verify.py archive.db [blobs]` prints
one line and exits 0 if the log is whole, or names the first bad entry and exits 1. Needs no key.
"""

import base64
import hashlib
import json
import pathlib
import re
import sqlite3
import sys

ENTRY_KEYS = {
    "commitment", "epoch", "id", "index", "kind", "org", "origin", "prev", "time", "v",
}  # fmt: skip


def sha256(data):
    return hashlib.sha256(data).digest()


def canonical(data):
    """Parse JSON and insist that it is in its one canonical form."""
    found = json.loads(data)
    again = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if again.encode() != data:
        raise ValueError("not canonical JSON")
    return found


def tree(leaves):
    """RFC 9162 section 2.1.1."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + tree(leaves[:k]) + tree(leaves[k:]))


def values_of(payload_bytes, commitment):
    """Values of the open fields, after the commitment was checked."""
    payload = canonical(payload_bytes)
    values, digests = {}, []
    for name in sorted(payload):
        one = payload[name]
        if set(one) == {"digest"}:
            digests.append(bytes.fromhex(one["digest"]))
            continue
        salt, value = bytes.fromhex(one["salt"]), base64.b64decode(one["value"], validate=True)
        n = name.encode()
        digests.append(
            sha256(
                b"sceau/field/1\x00" + len(n).to_bytes(4, "big") + n + salt
                + len(value).to_bytes(8, "big") + value
            )
        )  # fmt: skip
        values[name] = value
    if tree(digests).hex() != commitment:
        raise ValueError("payload is not the committed one")
    if "names" in values:
        others = [name for name in sorted(payload) if name != "names"]
        if values["names"] != "\n".join(others).encode():
            raise ValueError("names of fields were changed")
    return values


def wraps_hash(wraps):
    hashed = hashlib.sha256()
    for holder, wrapped in sorted(wraps):
        hashed.update(len(holder).to_bytes(4, "big") + holder.encode())
        hashed.update(len(wrapped).to_bytes(4, "big") + wrapped)
    return hashed.hexdigest().encode()


def blob(db, archive_id, folder):
    """Ciphertext that lies outside the database, by its name."""
    row = db.execute("SELECT name FROM log_blobs WHERE archive_id = ?", (archive_id,)).fetchone()
    if row is None or not re.fullmatch(r"\d{4}-\d{2}-\d{2}/[0-9a-f]{64}", row[0]):
        raise ValueError("content is missing")
    if folder is None:
        raise ValueError(f"content is in the blob {row[0]}: name the folder")
    try:
        return (pathlib.Path(folder) / row[0]).read_bytes()
    except FileNotFoundError:
        raise ValueError(f"blob {row[0]} is missing") from None


def check_content(db, archive_id, values, folder):
    row = db.execute(
        "SELECT sealed, sealed_fields FROM log_contents WHERE archive_id = ?", (archive_id,)
    ).fetchone()
    if row is None:
        raise ValueError("content is missing")
    sealed = row[0] or blob(db, archive_id, folder)
    for name, data in (("sealed.sha256", sealed), ("sealed-fields.sha256", row[1])):
        if sha256(data).hex().encode() != values[name]:
            raise ValueError(f"{name} does not fit")
    for name, table in (
        ("wraps.sha256", "log_content_keys"),
        ("working-wrap.sha256", "log_working_wraps"),
    ):
        wraps = db.execute(
            f"SELECT holder, wrapped FROM {table} WHERE archive_id = ?",
            (archive_id,),
        ).fetchall()
        erased = name == "working-wrap.sha256" and not wraps
        if not erased and wraps_hash(wraps) != values[name]:
            raise ValueError(f"{name} does not fit")


def verify(path, folder=None):
    """Number of entries. Raises ValueError("entry N: …")."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return verify_log(db, folder)
    finally:
        db.close()


def verify_log(db, folder=None):
    """The same of an open database whose `execute` takes ? for parameters."""
    ((epoch, origin, size, head),) = db.execute("SELECT epoch, origin, size, prev FROM log_head")
    prev, index = sha256(origin.encode()).hex(), 0
    for stored_index, stored_id, raw in db.execute(
        "SELECT entry_index, archive_id, entry FROM log_entries "
        "WHERE epoch = ? ORDER BY entry_index",
        (epoch,),
    ):
        try:
            entry = canonical(raw)
            place = (entry["v"], entry["origin"], entry["epoch"], entry["index"], entry["prev"])
            if set(entry) != ENTRY_KEYS or place != (1, origin, epoch, index, prev):
                raise ValueError("does not join the entry before")
            if (stored_index, stored_id) != (index, entry["id"]):
                raise ValueError("is filed in the wrong place")
            row = db.execute(
                "SELECT payload FROM log_payloads WHERE commitment = ?", (entry["commitment"],)
            ).fetchone()
            if row is None:
                raise ValueError("payload is missing")
            values = values_of(row[0], entry["commitment"])
            if "sealed.sha256" in values:
                check_content(db, entry["id"], values, folder)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"entry {index}: {error}") from error
        prev, index = sha256(raw).hex(), index + 1
    if (index, prev) != (size, head):
        raise ValueError(f"entry {min(index, size)}: the head of the log does not agree")
    return index


if __name__ == "__main__":
    try:
        print(f"valid: {verify(*sys.argv[1:3])} entries")
    except ValueError as fault:
        sys.exit(f"invalid: {fault}")
