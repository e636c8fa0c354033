"""Makes tests/unit/archive_vectors.json, the test vectors of docs/archive-format.md.

`python -m tests.unit.archive_vectors` writes the file; a test compares. All salts, keys, ids and
times are fixed. The two HPKE wraps are constants, because encapsulation is random: they show how
to open, not how to make.
"""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from archive import chain
from archive.drafts import SEALED_FIELDS_SHA256, SEALED_SHA256, WORKING_WRAP_SHA256, WRAPS_SHA256
from archive.entry import encode, leaf_hash
from archive.fields import (
    NAMES,
    Open,
    commitment,
    digest_of,
    encode_payload,
    list_names,
    withhold,
)
from archive.working import WorkingKey
from archive.wrap import Wrap, bound, wraps_hash

FILE = Path(__file__).with_name("archive_vectors.json")
ORIGIN = "archive.ministere.example/2026"
MOMENT = datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
MAIL = b"From: a@ministere.example\r\nSubject: D\xc3\xa9cision\r\n\r\nBonjour.\r\n"
ARCHIVE_ID = "00112233445566778899aabbccddeeff"
CONTENT_KEY = bytes(range(32))
WORKING_SECRET = bytes(range(32, 64))
WORKING_NONCE = bytes(range(12))
SEEDS = {"mlkem768-x25519": bytes(range(64, 96)), "p256": bytes(range(96, 128))}
BATCH_KEY = bytes(range(128, 160))
# Holder and wrap of CONTENT_KEY for ARCHIVE_ID under BATCH_KEY, made once as `archive.batch` does.
HPKE_WRAPS = json.loads(FILE.with_name("archive_vectors_hpke.json").read_text("ascii"))


def _salt(label: str) -> bytes:
    return sha256(b"salt of " + label.encode()).digest()


def _salted(entry: int, values: dict[str, bytes]) -> dict[str, Open]:
    return {name: Open(_salt(f"{entry}/{name}"), value) for name, value in values.items()}


def build() -> dict[str, Any]:
    """All vectors, as JSON types."""
    sealing = _sealing()
    first = _salted(
        0,
        {
            "envelope.from": b"a@ministere.example",
            "envelope.to.0": b"b@autre.example",
            "content.sha256": sha256(MAIL).hexdigest().encode(),
            "content.size": str(len(MAIL)).encode(),
            SEALED_SHA256: sealing["sealed.sha256"].encode(),
            SEALED_FIELDS_SHA256: sealing["sealed-fields.sha256"].encode(),
            WRAPS_SHA256: sealing["wraps.sha256"].encode(),
            WORKING_WRAP_SHA256: sealing["working-wrap.sha256"].encode(),
        },
    )
    subject = _subject()
    names = list_names([*first, *subject])
    whole = {**first, **subject, **_salted(0, {NAMES: names})}
    payloads = [withhold(whole, subject), _salted(1, {"recipient": b"b@autre.example"})]
    payloads[1] = {**payloads[1], **_salted(1, {NAMES: list_names(payloads[1])})}

    tip = chain.start(ORIGIN)
    entries = []
    for number, payload in enumerate(payloads):
        entry, data, tip = chain.link(
            tip,
            time=MOMENT + timedelta(microseconds=number * 1500),
            kind=("accepted", "delivered")[number],
            org="ministere",
            archive_id=ARCHIVE_ID,
            commitment=commitment(payload),
        )
        assert encode(entry) == data
        entries.append(
            {
                "digests": {name: digest_of(name, payload[name]).hex() for name in sorted(payload)},
                "payload": encode_payload(payload).decode("ascii"),
                "commitment": commitment(payload),
                "entry": data.decode("ascii"),
                "hash": sha256(data).hexdigest(),
                "leaf": leaf_hash(data),
            }
        )
    without_sender = withhold(payloads[0], ["envelope.from"])
    return {
        "origin": ORIGIN,
        "first_prev": chain.start(ORIGIN).prev,
        "entries": entries,
        "payload_0_without_sender": encode_payload(without_sender).decode("ascii"),
        "sealing": sealing,
    }


def _subject() -> dict[str, Open]:
    return _salted(0, {"header.subject": "Décision".encode()})


def _sealing() -> dict[str, Any]:
    aead = AESGCM(CONTENT_KEY)
    sealed = aead.encrypt((1).to_bytes(12, "big"), b"\0" + MAIL, bound("content", ARCHIVE_ID))
    fields = encode_payload(_subject())
    sealed_fields = aead.encrypt((2).to_bytes(12, "big"), fields, bound("fields", ARCHIVE_ID))
    working = WorkingKey.of(MOMENT.date(), WORKING_SECRET)
    about = bound("working", ARCHIVE_ID, working.id)
    wrapped = AESGCM(WORKING_SECRET).encrypt(WORKING_NONCE, CONTENT_KEY, about)
    working_wrap = Wrap(working.id, WORKING_NONCE + wrapped)
    wraps = [Wrap(one["holder"], bytes.fromhex(one["wrapped"])) for one in HPKE_WRAPS]
    return {
        "archive_id": ARCHIVE_ID,
        "mail_base64": b64encode(MAIL).decode("ascii"),
        "content_key": CONTENT_KEY.hex(),
        "sealed": sealed.hex(),
        "sealed.sha256": sha256(sealed).hexdigest(),
        "sealed_fields": sealed_fields.hex(),
        "sealed-fields.sha256": sha256(sealed_fields).hexdigest(),
        "working_secret": WORKING_SECRET.hex(),
        "working_wrap": {"holder": working.id, "wrapped": working_wrap.wrapped.hex()},
        "working-wrap.sha256": wraps_hash([working_wrap]),
        "batch_key": BATCH_KEY.hex(),
        "private_keys": {kind: seed.hex() for kind, seed in SEEDS.items()},
        "wraps": HPKE_WRAPS,
        "wraps.sha256": wraps_hash(wraps),
    }


def text() -> str:
    """The file as it is to be."""
    return json.dumps(build(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "ascii")
