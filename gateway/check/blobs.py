"""`sceau check`: the blob store, tried with an object of our own."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import datetime

from archive.blob_names import blob_name
from archive.blobs import Blobs
from archive.errors import BlobMissing, BlobStoreForeign, BlobTrouble, Problem
from gateway import clock
from gateway.check.finding import Finding, error, good, warning
from gateway.config.blob_sections import BlobsSection
from gateway.i18n import message
from gateway.wiring import Wiring

_SUBJECT = "blobs"
_PROBE_SIZE = 70_000  # more than one packet, one page, one block

# What S3 calls it → what to do about it.
_ADVICE = (
    ("NoSuchBucket", message("make the bucket, or name another: archive.blobs.s3.bucket")),
    ("SignatureDoesNotMatch", message("the secret key in archive.blobs.s3.credentials is another")),
    ("InvalidAccessKeyId", message("there is no access key as in archive.blobs.s3.credentials")),
    ("AccessDenied", message("these credentials need the right to list, read, write and delete")),
    ("RequestTimeTooSkewed", message("the clocks of this machine and of the store differ")),
    ("CERTIFICATE_VERIFY_FAILED", message("archive.blobs.s3.ca did not issue its certificate")),
    ("No space left", message("make room on its disk")),
    ("Permission denied", message("it must belong to the user who runs sceau serve")),
)
_ADVICE_ELSE = message("large mail is answered 451 until it is back")


def blobs(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Put, read, compare, delete; free space; rights. Nothing where no store is configured."""
    section, found = wiring.config.archive.blobs, wiring.blobs
    if section is None or found is None:
        return
    yield from _secrets(section)
    try:
        found.prepare()
        _try(found)
    except BlobStoreForeign as fault:
        yield error(
            _SUBJECT,
            fault.problem.code,
            fault.problem.template,
            advice="give each installation a folder, or a prefix, of its own",
            **fault.problem.facts,
        )
        return
    except BlobTrouble as fault:
        yield error(
            _SUBJECT,
            fault.problem.code,
            fault.problem.template,
            advice=_advice(fault),
            **fault.problem.facts,
        )
        return
    yield good(
        _SUBJECT,
        "{place} stores, gives back and deletes; content above {above} bytes lies there",
        place=found.store.place,
        above=str(section.above),
    )
    yield from _checksums(section, found)
    yield from _room(wiring, found)


def _advice(error: BlobTrouble) -> str:
    text = error.problem.text
    return next((what for said, what in _ADVICE if said in text), _ADVICE_ELSE)


def _try(blobs: Blobs) -> None:
    """Raises BlobTrouble when the store does not do what it is there for."""
    data = os.urandom(_PROBE_SIZE)
    digest = hashlib.sha256(data).hexdigest()
    name = blob_name(digest, clock.now())
    blobs.store.put(name, data, digest)
    try:
        blobs.fetch(name)
        found = [one.name for one in blobs.store.names(name.partition("/")[0])]
    finally:
        blobs.store.delete(name)
    if name not in found:
        raise BlobTrouble(
            Problem(
                "blobs.not-listed",
                "{place} does not list what it has stored: orphans could not be swept",
                {"place": blobs.store.place},
            )
        )
    try:
        blobs.store.get(name)
    except BlobMissing:
        return
    raise BlobTrouble(
        Problem(
            "blobs.not-deleted",
            "{place} still gives back what was deleted",
            {"place": blobs.store.place},
        )
    )


def _secrets(section: BlobsSection) -> Iterator[Finding]:
    if section.s3 is not None and section.s3.credentials.stat().st_mode & 0o077:
        yield error(
            _SUBJECT,
            "blobs.readable",
            "{file} can be read by other users",
            advice="take the rights of others away from it (chmod 600)",
            file=str(section.s3.credentials),
        )
    if section.folder is not None and section.folder.is_dir():
        mode = section.folder.stat().st_mode & 0o777
        if mode & 0o077:
            yield error(
                _SUBJECT,
                "blobs.readable",
                "{folder} can be read by other users (mode {mode})",
                advice="take the rights of others away from it (chmod 700)",
                folder=str(section.folder),
                mode=f"{mode:o}",
            )


def _checksums(section: BlobsSection, blobs: Blobs) -> Iterator[Finding]:
    if section.s3 is None:
        return
    from archive.blob_s3 import S3Store

    if isinstance(blobs.store, S3Store) and not blobs.store.compares():
        yield warning(
            _SUBJECT,
            "blobs.not-compared",
            "{place} does not compare what it stores with the SHA-256 it is told: each blob is "
            "read back, at twice the traffic",
            advice="a newer server of the same kind may do it",
            place=blobs.store.place,
        )


def _room(wiring: Wiring, blobs: Blobs) -> Iterator[Finding]:
    free = blobs.store.free()
    if free is None:
        return
    need = wiring.mail_room
    facts = {"free": f"{free // 1_000_000}", "need": f"{need // 1_000_000}"}
    if free < need:
        yield error(
            _SUBJECT,
            "blobs.full",
            "{free} MB are free; below {need} MB mail is answered 452",
            advice="make room, or lower listen.max_size",
            **facts,
        )
    else:
        yield good(_SUBJECT, "{free} MB are free ({need} MB are needed)", **facts)
