"""What an anchor is to be trusted for, as options of `sceau pki anchor propose` and `import`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.options import moment
from gateway.cli.output import time_text
from gateway.cli.usage import UsageError

if TYPE_CHECKING:
    from gateway.foureyes.terms import Terms


def add_terms(verb: ArgumentParser, *, named: bool) -> None:
    """What an anchor is to be trusted for. named: one anchor, which gets a name."""
    if named:
        verb.add_argument("--name", required=True, metavar="NAME", help="letters, digits, . and -")
        verb.add_argument(
            "--supersedes", default="", metavar="ID", help="the record whose place it takes"
        )
    verb.add_argument(
        "--purpose",
        action="append",
        choices=("encrypt", "sign"),
        help="what it may vouch for; needed, repeated for both",
    )
    verb.add_argument(
        "--domain",
        action="append",
        metavar="DOMAIN",
        help="address domain it may vouch for, *.DOMAIN for those below; * for all; needed",
    )
    verb.add_argument(
        "--policy", action="append", metavar="OID", help="certificate policy that is demanded"
    )
    verb.add_argument(
        "--revocation",
        default="hard-fail",
        metavar="RULE",
        help='"hard-fail", or "grace 24h" to use a CRL so much longer than it says',
    )
    verb.add_argument(
        "--sources",
        choices=("crl", "ocsp", "crl-then-ocsp", "ocsp-then-crl"),
        default="crl",
        help="where revocation is learned from",
    )
    verb.add_argument("--from", dest="from_", type=moment, metavar="RFC3339", help="trusted from")
    verb.add_argument("--until", type=moment, metavar="RFC3339", help="trusted until")
    verb.add_argument("--comment", default="", metavar="TEXT", help="where the fingerprint is from")


def terms_of(args: Namespace, name: str, supersedes: str = "") -> Terms:
    """What the options of `add_terms` say. Raises UsageError."""
    from gateway import clock
    from gateway.config import kinds
    from gateway.config.faults import Wrong
    from gateway.foureyes.terms import MAX_GRACE, Terms, is_name, is_policy
    from pki.anchors import RevocationSources
    from pki.models import Purpose

    for option, given in (("--purpose", args.purpose), ("--domain", args.domain)):
        if not given:
            raise UsageError("{names} is missing", facts={"names": option})
    try:
        domains = kinds.domains_or_all.read(list(args.domain), Path())
        grace = kinds.revocation.read(args.revocation, Path())
    except Wrong as error:
        template, facts = error.reasons[0]
        raise UsageError(template, facts=facts) from None
    if not is_name(name):
        raise UsageError(
            "{name} is no name for an anchor: small letters, digits, . and -, at most 64",
            facts={"name": name},
        )
    for oid in args.policy or ():
        if not is_policy(oid):
            raise UsageError(
                "{value} is not an object identifier",
                hint="write it with dots: 1.2.250.1.35.30.1",
                facts={"value": oid},
            )
    if grace > MAX_GRACE:
        raise UsageError("a grace is {days} days at most", facts={"days": str(MAX_GRACE.days)})
    begins, ends = args.from_, args.until
    now = clock.now()
    if ends is not None and ends <= max(begins or now, now):
        raise UsageError(
            "--until {time} would end the trust before it begins", facts={"time": time_text(ends)}
        )
    return Terms(
        name=name,
        purposes=frozenset(map(Purpose, args.purpose)),
        domains=domains,
        policies=frozenset(args.policy or ()),
        grace=grace,
        start=args.from_,
        until=args.until,
        comment=" ".join(args.comment.split()),
        sources=RevocationSources(args.sources),
        supersedes=supersedes,
    )
