"""`sceau policy explain`: which rule decides, why none before it did, what would be done.

It asks the same function as the gateway itself (`Policy.decide`), with the same facts.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.exits import CANNOT_TELL, DONE, worst
from gateway.cli.output import Output, output_of, time_json
from gateway.cli.policy_source import base_config, policy_section

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.policy import Decision, Header, Mail, Membership, Policy, Step, Verdict
    from gateway.wiring import Wiring
    from pki.errors import Problem
    from pki.models import Finding


@dataclass(frozen=True, slots=True)
class _Explained:
    """One recipient. finding: None where nobody looked for a certificate."""

    recipient: str
    verdict: Verdict
    steps: list[Step]
    finding: Finding | None


def run_explain(args: Namespace) -> int:
    """Explain for each recipient; 3 where something that is not known here decides."""
    from gateway import clock
    from gateway.cli.opening import opened_wiring
    from gateway.policy import Mail
    from pki.addresses import canonical

    output = output_of(args)
    policy = policy_section(args, args.policy).policy()
    config = base_config(args)
    author, size, header = _mail_of(args)
    mail = Mail(author, size, args.at or clock.now(), header)
    recipients = [canonical(address) for address in args.to]
    if config is not None and author.rpartition("@")[2] not in config.gateway.domains:
        output.note(
            "{address} is not in one of our domains: mail From it is not taken", address=author
        )
    if args.find or policy.asks_groups:
        with opened_wiring(args) as wiring:
            codes = [_one(policy, mail, each, output, config, wiring, args) for each in recipients]
    else:
        codes = [_one(policy, mail, each, output, config, None, args) for each in recipients]
    return worst(codes)


def _mail_of(args: Namespace) -> tuple[str, int | None, Header]:
    """Author, size and header of the mail that is asked about. Raises UsageError, SceauError."""
    from gateway.cli.files import read
    from gateway.cli.usage import UsageError
    from gateway.mime.entity import split, with_crlf
    from gateway.mime.headers import from_addresses
    from gateway.policy import NO_HEADER, WholeHeader
    from pki.addresses import canonical

    if args.file is None:
        if args.author is None:
            raise UsageError("--from is missing, and no mail says who wrote it")
        return canonical(args.author), None, NO_HEADER
    raw = with_crlf(read(args.file))
    message = split(raw)
    author = args.author
    if author is None:
        found = from_addresses(message)
        if len(found) != 1:
            raise UsageError(
                "{file} has {count} From addresses, and the gateway takes mail with exactly one",
                facts={"file": str(args.file), "count": str(len(found))},
            )
        author = found[0]
    return canonical(author), len(raw), WholeHeader(message)


def _one(
    policy: Policy,
    mail: Mail,
    recipient: str,
    output: Output,
    config: Config | None,
    wiring: Wiring | None,
    args: Namespace,
) -> int:
    from dataclasses import replace

    from gateway.policy import Decision, Undecided
    from pki.models import CannotTell

    groups = _groups(policy, mail, recipient, wiring)
    steps: list[Step] = []
    verdict = policy.decide(replace(mail, groups=groups), recipient, steps)
    finding = None
    if args.find and wiring is not None and isinstance(verdict, Decision):
        assert mail.moment is not None
        finding = wiring.finder.find(recipient, moment=mail.moment)
    found = _Explained(recipient, verdict, steps, finding)
    if output.as_json:
        output.record(_as_json(policy, mail, found))
    else:
        _print(mail, found, config, output)
    unsure = isinstance(verdict, Undecided) or isinstance(finding, CannotTell)
    return CANNOT_TELL if unsure else DONE


def _groups(
    policy: Policy, mail: Mail, recipient: str, wiring: Wiring | None
) -> Mapping[str, Membership]:
    from gateway.groups import memberships

    members = policy.group_members(mail, recipient)
    return memberships(None if wiring is None else wiring.groups, sorted(members))


def _print(mail: Mail, found: _Explained, config: Config | None, output: Output) -> None:
    from gateway.policy import Undecided

    output.say("{sender} to {recipient}:", sender=mail.author or "<>", recipient=found.recipient)
    for step in found.steps:
        facts = {"level": step.level.value, "rule": step.rule.name}
        if step.matched:
            output.say("  ✓ {rule} ({level}): matches", **facts)
        else:
            assert step.why is not None
            reason = output.problem(step.why)
            if step.matched is None:
                output.say("  ? {rule} ({level}): {reason}", **facts, reason=reason)
            else:
                output.say("  – {rule} ({level}): {reason}", **facts, reason=reason)
    verdict = found.verdict
    if isinstance(verdict, Undecided):
        output.say(
            "  Nobody can tell whether the rule {rule} decides: the mail would wait.",
            rule=verdict.rule,
        )
        return
    for name, value in _said(verdict, config, output):
        output.line(f"  {output.text(name)}: {value}")
    if found.finding is not None:
        _print_certificate(verdict, found.finding, output)


def _said(decision: Decision, config: Config | None, output: Output) -> list[tuple[str, str]]:
    """What is done, as names (templates) and values of the configuration."""
    from gateway.i18n import message
    from gateway.policy import Action, Encryption, HeaderProtection

    if decision.action is Action.REFUSE:
        return [(message("refused"), f"{decision.text} ({decision.action_rule})")]
    said: list[tuple[str, str]] = []
    if decision.action is Action.HOLD:
        text = f"{decision.text} ({decision.action_rule})".strip()
        said.append((message("held for a person"), text))
    by = decision.encryption_rule
    value = decision.encryption.value + ("" if by == decision.rule else f" ({by})")
    said.append((message("encryption"), value))
    if decision.encryption is not Encryption.NEVER:
        said.append((message("without a certificate"), decision.without_certificate.value))
        said.append((message("algorithms"), decision.crypto.value))
    said.append((message("signed by"), decision.sign.value))
    if decision.header_protection is not HeaderProtection.OFF:
        said.append((message("protection of header fields"), decision.header_protection.value))
    if decision.receipt:
        said.append((message("a signed receipt is asked for"), decision.sender))
    route = decision.route or (_route(decision.recipient, config) if config else "")
    if route:
        said.append((message("by the route"), route))
    if decision.tls is not None:
        said.append((message("TLS at least"), decision.tls.value))
    said += [(message("copy to"), f"{copy.address} ({copy.rule})") for copy in decision.copies]
    if not decision.tell_held:
        said.append((message("when it is held"), output.text("the sender is not told")))
    return said


def _route(recipient: str, config: Config) -> str:
    """The route by domain, as `gateway.routes` takes it."""
    from gateway.routes import Route, Routes
    from gateway.smtp.nexthop import NextHop

    hop = NextHop("localhost")
    routes = Routes([Route(r.name, hop, r.domains, r.default) for r in config.routes])
    found = routes.find(recipient)
    return "" if found is None else found.name


def _print_certificate(decision: Decision, finding: Finding, output: Output) -> None:
    from gateway.policy import Encrypt, Hold, Refuse, SendPlain, settle
    from gateway.smime.choose import DomainCrypto, choose, choose_outer
    from gateway.smime.choose import Treatment as Algorithms
    from pki.models import Certified

    if isinstance(finding, Certified):
        subject = finding.certificate.certificate.subject.rfc4514_string()
        output.say(
            "  certificate: {subject}, from {source}",
            subject=subject,
            source=finding.certificate.source,
        )
    else:
        output.say("  certificate: {reason}", reason=output.problem(finding.problem))
    treatment = settle(decision, finding)
    if isinstance(treatment, Encrypt):
        algorithms = choose(treatment.certificate, DomainCrypto(decision.crypto.value))
        if not isinstance(algorithms, Algorithms):
            reason = output.text(algorithms.reason.template, **algorithms.reason.facts)
            output.say("  It would be held: {reason}", reason=reason)
            return
        output.say(
            "  It would be encrypted: {cipher}, {transport}.",
            cipher=algorithms.cipher.value,
            transport=algorithms.transport.value,
        )
        if treatment.post_quantum is not None:
            around = choose_outer(treatment.post_quantum)
            output.say(
                "  Around it a second envelope: {cipher}, {transport}, for {subject}.",
                cipher=around.cipher.value,
                transport=around.transport.value,
                subject=treatment.post_quantum.certificate.subject.rfc4514_string(),
            )
    elif isinstance(treatment, Refuse):
        output.say("  It would be refused: {reason}", reason=output.problem(treatment.reason))
    elif isinstance(treatment, Hold):
        reason = output.problem(treatment.reason)
        if treatment.temporary:
            output.say("  It would wait and be tried again: {reason}", reason=reason)
        else:
            output.say("  It would be held: {reason}", reason=reason)
    elif isinstance(treatment, SendPlain):
        output.say("  It would leave in clear text, unsigned.")
    else:
        output.say("  It would leave in clear text, signed.")


def _as_json(policy: Policy, mail: Mail, found: _Explained) -> dict[str, object]:
    from gateway.policy import Undecided

    verdict = found.verdict
    record: dict[str, object] = {
        "from": mail.author,
        "to": found.recipient,
        "at": None if mail.moment is None else time_json(mail.moment),
        "policy": policy.sha256,
        "status": "undecided" if isinstance(verdict, Undecided) else "decided",
        "rule": verdict.rule,
        "steps": [
            {
                "level": step.level.value,
                "rule": step.rule.name,
                "matched": step.matched,
                "why": None if step.why is None else _problem(step.why),
            }
            for step in found.steps
        ],
    }
    if isinstance(verdict, Undecided):
        return {**record, "problem": _problem(verdict.problem)}
    return {**record, **_decided(verdict), "certificate": _finding(found.finding)}


def _decided(decision: Decision) -> dict[str, object]:
    return {
        "rules": list(decision.rules),
        "encryption": decision.encryption.value,
        "without_certificate": decision.without_certificate.value,
        "encryption_rule": decision.encryption_rule,
        "sign": decision.sign.value,
        "crypto": decision.crypto.value,
        "header_protection": decision.header_protection.value,
        "request_receipt": decision.receipt,
        "route": decision.route,
        "tls": None if decision.tls is None else decision.tls.value,
        "action": decision.action.value,
        "text": decision.text,
        "copy": [copy.address for copy in decision.copies],
        "tell_sender_when_held": decision.tell_held,
    }


def _finding(finding: Finding | None) -> dict[str, object] | None:
    from pki.errors import Problem
    from pki.models import Certified, CheckedCertificate, NoCertificate

    if finding is None:
        return None
    looked = list(finding.looked_in)
    if isinstance(finding, Certified):
        second = finding.post_quantum
        beside = second.sha256 if isinstance(second, CheckedCertificate) else None
        return {
            "status": "found",
            "sha256": finding.certificate.sha256,
            "post_quantum_sha256": beside,
            "looked_in": looked,
            "problem": _problem(second) if isinstance(second, Problem) else None,
        }
    status = "none" if isinstance(finding, NoCertificate) else "cannot-tell"
    problem = _problem(finding.problem)
    return {
        "status": status,
        "sha256": None,
        "post_quantum_sha256": None,
        "looked_in": looked,
        "problem": problem,
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"code": problem.code, "text": problem.text}
