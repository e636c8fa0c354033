"""Importing persons' keys by the thousand: opened and checked by several processes, stored here.

Memory is bounded: a file is read when a process is free for it, and what was checked is stored in
batches. It can be stopped at any time and started again: what is stored is recognised by the hash
of its file, or by the fingerprint of its certificate, and skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from archive.store import Draft
from gateway import consents
from gateway.installation import Installation
from gateway.key_crew import Checker, Crew, Found, Job, Known, Rules
from pki.decryption_keys import StoredDecryptionKey, opening_sources, store_decryption_key
from pki.errors import PkiError, PrivateKeyError, Problem, problem
from pki.p12 import MAX_OCTETS
from pki.persons import CheckedKey, Ground, PersonKey, Use, consents_of, store_key, stored_sources

__all__ = ["Job", "Result", "Rules", "import_keys"]

_AT_ONCE = 100  # stored in one transaction: while it runs, mail waits for its turn to write


@dataclass(slots=True)
class Result:
    """What came of a file. status: "imported", "skipped" (stored already) or "refused".

    consents: archive ids of consents that were recorded. remarks: worth a look, not refused.
    """

    file: str
    status: str
    addresses: tuple[str, ...] = ()
    certificate_sha256: str = ""
    consents: list[str] = field(default_factory=list)
    problem: Problem | None = None
    remarks: tuple[Problem, ...] = ()


def import_keys(
    jobs: Iterable[Job],
    installation: Installation,
    config: Path,
    rules: Rules,
    *,
    by: str,
    processes: int,
) -> Iterator[Result]:
    """Import all; results in the order of `jobs`, each after it is committed.

    config: the configuration's file, which the processes read too.
    Raises KekTrouble, SceauError: nothing of the batch under way is stored then, all before is.
    """
    with ExitStack() as stack:
        if processes > 1:
            crew = stack.enter_context(Crew(processes, config, rules))
            found = crew.check_all(_read(jobs, installation, rules.use))
        else:
            check = stack.enter_context(Checker(config, rules))
            found = (
                (job, check(job, data) if isinstance(data, bytes) else data)
                for job, data in _read(jobs, installation, rules.use)
            )
        while batch := list(islice(found, _AT_ONCE)):
            yield from _store(batch, installation, rules, by)


def _read(
    jobs: Iterable[Job], installation: Installation, use: Use
) -> Iterator[tuple[Job, bytes | Known | Problem]]:
    """The octets of each file, or what can be told without opening it."""
    jobs = iter(jobs)
    while chunk := list(islice(jobs, _AT_ONCE)):
        contents = [_content(job.file) for job in chunk]
        hashes = [
            hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else "" for data in contents
        ]
        with installation.database.read() as conn:
            known = _known(conn, [one for one in hashes if one], use)
        for job, data, digest in zip(chunk, contents, hashes, strict=True):
            keys = known.get(digest, {}) if digest else {}
            if keys and (job.address is None or job.address in keys):
                yield job, Known(tuple(keys), next(iter(keys.values())))
            else:
                yield job, data


def _known(conn: sa.Connection, sources: list[str], use: Use) -> dict[str, dict[str, str]]:
    """Address to fingerprint of the keys that came from these files and are stored for all uses."""
    each: list[Mapping[str, Sequence[PersonKey | StoredDecryptionKey]]] = []
    if Use.SIGN in use:
        each.append(stored_sources(conn, sources))
    if Use.DECRYPT in use:
        each.append(opening_sources(conn, sources))
    return {
        source: {
            key.address: key.certificate_sha256
            for key in each[0][source]
            if all(key.address in {one.address for one in found[source]} for found in each)
        }
        for source in sources
        if all(source in found for found in each)
    }


def _content(file: Path) -> bytes | Problem:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_OCTETS + 1)
    except OSError as error:
        return problem(
            "structure.file",
            "{file} cannot be read: {why}",
            file=file.name,
            why=error.strerror or type(error).__name__,
        )


def _store(
    batch: list[tuple[Job, Found]], installation: Installation, rules: Rules, by: str
) -> list[Result]:
    """One transaction: keys, consents, and the log entries of the consents."""
    results: list[Result] = []
    drafts: list[Draft] = []
    org = installation.config.gateway.organisation
    with installation.database.write() as conn:
        for job, found in batch:
            result = Result(str(job.file), "refused")
            results.append(result)
            if isinstance(found, Problem):
                result.problem = found
                continue
            if isinstance(found, CheckedKey):
                result.addresses = found.addresses
                result.remarks = found.remarks
                try:
                    # Both or neither, and the other files of the batch none the less.
                    with conn.begin_nested():
                        stored = _store_both(conn, found, by, rules.moment)
                except PkiError as error:
                    result.problem = error.problem
                    continue
                result.status = "imported" if stored else "skipped"
            else:
                result.addresses = found.addresses
                result.status = "skipped"
            result.certificate_sha256 = found.certificate_sha256
            if not job.consent_of:
                continue
            before = consents_of(conn, list(result.addresses))
            for address in result.addresses:
                # One that was withdrawn is not given again by a second run of the same list.
                if (address, found.certificate_sha256) in before:
                    continue
                consent, draft = consents.give(
                    conn,
                    address=address,
                    certificate_sha256=found.certificate_sha256,
                    person=job.consent_of,
                    by=by,
                    moment=rules.moment,
                    ground=Ground(job.basis),
                    org=org,
                )
                drafts.append(draft)
                result.consents.append(consent.entry_id or "")
        installation.append_with(conn, drafts)
    return results


def store_new(conn: sa.Connection, key: CheckedKey, *, by: str, moment: datetime) -> str:
    """Store a key of one address, which must be new for one of its uses; returns the address.

    Raises PrivateKeyError where it is stored already.
    """
    stored = _store_both(conn, key, by, moment)
    if stored:
        return stored[0]
    raise PrivateKeyError(
        problem(
            "structure.key-known",
            "the key for the certificate {sha256} of {address} is stored already",
            sha256=key.certificate_sha256,
            address=key.addresses[0],
        )
    )


def _store_both(conn: sa.Connection, key: CheckedKey, by: str, moment: datetime) -> tuple[str, ...]:
    """The addresses for which something new is stored. Raises PrivateKeyError."""
    return (
        *(store_key(conn, key, by=by, moment=moment) if key.wraps else ()),
        *(store_decryption_key(conn, key, by=by, moment=moment) if key.opening else ()),
    )
