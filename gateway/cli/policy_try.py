"""`sceau policy try`: other rules on mail of the past, without sending or changing anything."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.cli.account import operator
from gateway.cli.exits import DONE
from gateway.cli.opening import opened_wiring
from gateway.cli.output import Output, output_of, time_json
from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.policy import Membership, Policy
    from gateway.policytrial import Difference, Opener
    from gateway.wiring import Wiring

_COUNTS = {
    "same": message("{count} recipients: the same rule and outcome"),
    "rule": message("{count} recipients: another rule, the same outcome"),
    "outcome": message("{count} recipients: another outcome"),
    "cannot-tell": message("{count} recipients: cannot be told"),
}


def run_try(args: Namespace) -> int:
    """A line for each recipient whose mail would be treated otherwise, and the counts."""
    from gateway.cli.usage import UsageError
    from gateway.config import load_policy
    from gateway.policytrial import differences, last_mails

    output = output_of(args)
    if args.key is not None and not args.case.strip():
        raise UsageError("--key needs --case: opening the archive is logged")
    counts: Counter[str] = Counter()
    mails = 0
    rows: list[list[str]] = []
    with opened_wiring(args) as wiring:
        policy = load_policy(args.policy, wiring.config).policy()
        opener = _opener(args, policy, wiring)
        with wiring.database.read() as conn:
            past = list(last_mails(conn, args.last))

        def groups(members: set[str]) -> Mapping[str, Membership]:
            from gateway.groups import memberships

            return memberships(wiring.groups, sorted(members))

        with output.progress("trying", len(past)) as bar:
            for mail in past:
                mails += 1
                for one in differences(policy, mail, groups=groups, opener=opener):
                    counts[one.kind] += 1
                    if args.all or one.kind != "same":
                        rows.append(_shown(one, output))
                bar.step()
    _finish(rows, counts, mails, policy, output)
    return DONE


def _opener(args: Namespace, policy: Policy, wiring: Wiring) -> Opener | None:
    if args.key is None:
        return None
    from archive.access import read_content, read_fields
    from archive.fields import Open
    from archive.recipients import load_private_key
    from gateway.policytrial import Opener

    key = load_private_key(args.key)
    append, read, reader, case = wiring.append, wiring.database.read, operator(), args.case

    def fields(archive_id: str) -> Mapping[str, Open]:
        return read_fields(append, read, archive_id, key, reader=reader, case=case)

    def content(archive_id: str) -> bytes:
        return read_content(append, read, archive_id, key, reader=reader, case=case)

    return Opener(fields, content, policy.header_names())


def _shown(one: Difference, output: Output) -> list[str]:
    before, mail = one.before, one.mail
    if output.as_json:
        output.record(
            {
                "id": mail.archive_id,
                "accepted": time_json(mail.accepted),
                "from": mail.author,
                "to": before.address,
                "change": one.kind,
                "old": {
                    "rule": before.rule or None,
                    "outcome": before.outcome or None,
                    "copy": list(before.copies),
                },
                "new": {
                    "rule": one.rule or None,
                    "outcome": one.outcome or None,
                    "copy": list(one.copies),
                },
                "problem": None
                if one.problem is None
                else {"code": one.problem.code, "text": one.problem.text},
            }
        )
    why = "" if one.problem is None else output.problem(one.problem)
    if one.problem is None and not one.outcome:
        why = output.text("no certificate was looked for then")
    return [
        mail.archive_id,
        before.address,
        before.rule or "-",
        one.rule or "?",
        _outcome(before.outcome, before.copies),
        _outcome(one.outcome or "?", one.copies),
        why,
    ]


def _outcome(outcome: str, copies: tuple[str, ...]) -> str:
    return " + ".join([outcome or "-", *copies])


def _finish(
    rows: list[list[str]], counts: Counter[str], mails: int, policy: Policy, output: Output
) -> None:
    if output.as_json:
        output.record(
            {
                "mails": mails,
                "policy": policy.sha256,
                "counts": {kind: counts[kind] for kind in _COUNTS},
            }
        )
        return
    output.table(
        ["id", "recipient", "old rule", "new rule", "old outcome", "new outcome", "why"], rows
    )
    output.say("{count} mails were looked at.", count=str(mails))
    for kind, template in _COUNTS.items():
        output.say(template, count=str(counts[kind]))
