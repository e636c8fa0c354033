"""`sceau pki cert audit`: keys that are weak because others are there."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO
from gateway.cli.opening import on_installation
from gateway.cli.options import add_config, add_json, count
from gateway.cli.output import Output, output_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from gateway.installation import Installation
    from pki.audit import AuditedKey, SharedPrime

    Progress = Callable[[int, int], None]


_PARTS = 16  # of the work, at least: after each the bar moves


def add_audit(verbs: argparse._SubParsersAction[ArgumentParser]) -> None:
    """The verb."""
    audit = verbs.add_parser(
        "audit", help="look for RSA keys that share primes, and refuse them from now on"
    )
    audit.add_argument(
        "--jobs", type=count, default=1, metavar="NUMBER", help="processes that work at it"
    )
    audit.add_argument("--dry-run", action="store_true", help="check and report, and store nothing")
    audit.set_defaults(run=on_installation(_audit))
    add_config(audit)
    add_json(audit)


def _audit(args: Namespace, installation: Installation) -> int:
    from pki.audit import rsa_keys, shared_primes

    output = output_of(args)
    with installation.database.read() as conn:
        keys = rsa_keys(conn)
    with output.progress("looking for shared primes", 100) as bar:

        def progress(done: int, of: int) -> None:
            bar.step(max(done * 100 // of - bar.done, 0))

        if args.jobs == 1:
            found = shared_primes(keys, progress, parts=_PARTS)
        else:
            found = _in_processes(args.jobs, keys, progress)
    new = _refuse(found, installation) if found and not args.dry_run else []
    for each in found:
        _say(each, each.key.key_sha256 in new, output)
    if output.as_json:
        output.record({"keys": len(keys), "shared": len(found), "newly_refused": len(new)})
    else:
        output.say(
            "RSA keys looked at: {keys}; with a prime of another one: {shared}",
            keys=str(len(keys)),
            shared=str(len(found)),
        )
    return NO if found else DONE


def _in_processes(jobs: int, keys: list[AuditedKey], progress: Progress) -> list[SharedPrime]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from pki.audit import shared_primes

    # Not forked: a copy of this process would hold the database's connections too.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:

        def spread(function: Callable[..., Any], *sequences: Sequence[Any]) -> Iterable[Any]:
            size = max(1, min(map(len, sequences)) // (8 * jobs))
            return pool.map(function, *sequences, chunksize=size)

        return shared_primes(keys, progress, spread, max(_PARTS, 4 * jobs))


def _refuse(found: list[SharedPrime], installation: Installation) -> list[str]:
    """Marked and logged in one transaction; the keys that were not refused before."""
    from archive.entry import new_archive_id
    from archive.store import Draft
    from gateway import clock
    from pki.refused_keys import refuse

    by, org = operator(), installation.config.gateway.organisation
    with installation.database.write() as conn:
        new = refuse(
            conn,
            [(each.key.key_sha256, each.problem) for each in found],
            by=by,
            moment=clock.now(),
        )
        drafts = []
        for each in found:
            if each.key.key_sha256 in new:
                fields = {
                    "key.sha256": each.key.key_sha256,
                    "certificates": " ".join(each.key.certificates),
                    "addresses": " ".join(each.key.addresses),
                    "code": each.problem.code,
                    "by": by,
                }
                payload = {name: value.encode() for name, value in fields.items() if value}
                drafts.append(Draft("key-refused", org, new_archive_id(), payload))
        installation.append_with(conn, drafts)
    return new


def _say(each: SharedPrime, new: bool, output: Output) -> None:
    from gateway.cli.pki_input import as_json

    key = each.key
    if output.as_json:
        output.record(
            {
                "key_sha256": key.key_sha256,
                "certificates": list(key.certificates),
                "addresses": list(key.addresses),
                "shares_with": [other.key_sha256 for other in each.others],
                "newly_refused": new,
                "problems": as_json([each.problem]),
            }
        )
        return
    output.say(
        "the key of {addresses} (certificate {sha256}) is refused: {reason}",
        addresses=", ".join(key.addresses) or "?",
        sha256=next(iter(key.certificates), "?"),
        reason=output.problem(each.problem),
    )
