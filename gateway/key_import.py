"""Importing persons' keys by the thousand: opened and checked by several processes, stored here.

Memory is bounded: a file is read when a process is free for it, and what was checked is stored in
batches. It can be stopped at any time and started again: what is stored is recognised by the hash
of its file, or by the fingerprint of its certificate, and skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from archive.store import Draft
from gateway import consents
from gateway.installation import Installation
from gateway.key_crew import Checker, Crew, Found, Job, Known, Rules
from pki.errors import PkiError, Problem, problem
from pki.p12 import MAX_OCTETS
from pki.persons import CheckedKey, Ground, consents_of, store_key, stored_sources

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
            found = crew.check_all(_read(jobs, installation))
        else:
            check = stack.enter_context(Checker(config, rules))
            found = (
                (job, check(job, data) if isinstance(data, bytes) else data)
                for job, data in _read(jobs, installation)
            )
        while batch := list(islice(found, _AT_ONCE)):
            yield from _store(batch, installation, rules, by)


def _read(
    jobs: Iterable[Job], installation: Installation
) -> Iterator[tuple[Job, bytes | Known | Problem]]:
    """The octets of each file, or what can be told without opening it."""
    jobs = iter(jobs)
    while chunk := list(islice(jobs, _AT_ONCE)):
        contents = [_content(job.file) for job in chunk]
        hashes = [
            hashlib.sha256(data).hexdigest() if isinstance(data, bytes) else "" for data in contents
        ]
        with installation.database.read() as conn:
            known = stored_sources(conn, [one for one in hashes if one])
        for job, data, digest in zip(chunk, contents, hashes, strict=True):
            keys = known.get(digest, []) if digest else []
            if keys and (job.address is None or job.address in {key.address for key in keys}):
                yield job, Known(tuple(key.address for key in keys), keys[0].certificate_sha256)
            else:
                yield job, data


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
                result.addresses = tuple(one.address for one in found.wraps)
                result.remarks = found.remarks
                try:
                    stored = store_key(conn, found, by=by, moment=rules.moment)
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
