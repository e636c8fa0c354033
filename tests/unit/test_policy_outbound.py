"""What rules say beyond encryption, done to a mail: receipts, copies, TLS, hold, refuse, groups."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gateway.config import load_policy
from gateway.outbound.steps import Outbound
from gateway.outbound.work import Work
from gateway.policy import Encryption, Pattern, Policy, Rule, Sign, WithoutCertificate
from gateway.queue.jobs import Job
from gateway.queue.states import State
from gateway.routes import Route, Routes
from gateway.signers import Signers
from gateway.smtp.nexthop import NextHop, TlsDemand
from pki.errors import CannotTellGroups, Problem
from pki.groups import GroupSource
from pki.models import Finding
from tests.unit.signing import any_seal
from tests.unit.smime_world import NOW, Identity, openssl_decrypt, openssl_verify, world
from tests.unit.test_outbound import NONE, NoPersons, found, job

CLEAR = '\nencryption = "if-possible"\nwithout_certificate = "send-signed"\n'
NONE_ASKED: Mapping[str, Finding] = {}


class Groups:
    """A directory that knows some people; the others make it time out."""

    def __init__(self, known: dict[str, frozenset[str]]) -> None:
        self.known = known
        self.asked: list[str] = []

    def groups_of(self, address: str) -> frozenset[str]:
        self.asked.append(address)
        if address not in self.known:
            raise CannotTellGroups(Problem("directory.silent", "silent"))
        return self.known[address]


def outbound(policy: Policy | str, tmp_path: Path, groups: GroupSource | None = None) -> Outbound:
    if isinstance(policy, str):
        file = tmp_path / "policy.toml"
        file.write_text(policy, "utf-8")
        policy = load_policy(file, None).policy()
    hop = NextHop("127.0.0.1", 25, tls=TlsDemand.NONE, ca_file="/ca.pem")
    bare = NextHop("127.0.0.2", 25, tls=TlsDemand.NONE)
    return Outbound(
        hostname="sceau.example.org",
        policy=policy,
        routes=Routes(
            [Route("all", hop, (), default=True), Route("bare", bare, (), default=False)]
        ),
        signers=Signers({"example.org": world().alice.signer}, NoPersons(), any_seal),
        groups=groups,
    )


def mail(*fields: str, to: str = "bob@example.net") -> bytes:
    head = "".join(f"{field}\r\n" for field in fields)
    text = f"From: Alice <alice@example.org>\r\nTo: {to}\r\n{head}\r\nbonjour\r\n"
    return text.encode()


def sealed(maker: Outbound, to: Sequence[str], findings: Mapping[str, Finding], raw: bytes) -> Work:
    return maker.seal(job(*to), raw, findings, moment=NOW)


def record(work: Work, number: int = 0) -> dict[str, object]:
    return dict(json.loads(work.job.recipients[number].decision))


def test_a_receipt_is_asked_for_inside_the_signature_of_those_who_are_asked(tmp_path: Path) -> None:
    """openssl reads the request: who is to answer, to whom, with which identifier."""
    bob = world().bob
    text = (
        f'[[policy.rules]]\nname = "asks"\nrecipient = "{bob.address}"\n'
        'encryption = "required"\nrequest_receipt = true\n'
        f'[[policy.rules]]\nname = "rest"{CLEAR}'
    )
    other = "carol@example.net"
    raw = mail(to=f"{bob.address}, {other}")

    work = sealed(
        outbound(text, tmp_path), [bob.address, other], {bob.address: found(bob), other: NONE}, raw
    )

    asked, not_asked = work.groups
    inner = openssl_decrypt(tmp_path, asked.emitted, bob)
    printed = receipt_request(inner, tmp_path)
    assert "Receipts From: All" in printed
    assert "Receipts To:\n    email:alice@example.org" in printed
    request = record(work)["receipt-request"]
    assert isinstance(request, dict)
    identifier = bytes(request["identifier"], "ascii")
    assert identifier.hex().upper() in _hex_of(printed)
    assert identifier.startswith(b"sceau.example.org " + b"a" * 32 + b" 20")
    assert "No Receipt Request" in receipt_request(not_asked.emitted, tmp_path)
    assert "receipt-request" not in record(work, 1)
    openssl_verify(tmp_path, inner)


def receipt_request(signed: bytes, folder: Path) -> str:
    file = folder / "signed.eml"
    file.write_bytes(signed)
    done = subprocess.run(
        ["openssl", "cms", "-verify", "-noverify", "-receipt_request_print", "-in", file,
         "-out", "/dev/null"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stderr + done.stdout


def _hex_of(printed: str) -> str:
    """The octets of openssl's dump lines (0000 - 73 63 65 …)."""
    octets = []
    for line in printed.splitlines():
        place, dash, rest = line.strip().partition(" - ")
        if dash and len(place) == 4:
            octets += rest[:48].replace("-", " ").split()
    return "".join(octets).upper()


def test_those_who_are_asked_share_a_signature_only_with_others_who_are(tmp_path: Path) -> None:
    bob = world().bob
    carol = Identity("carol@example.net", bob.key, bob.certificate, bob.chain)
    text = (
        f'[[policy.rules]]\nname = "asks"\nrecipient = "{bob.address}"\n'
        'encryption = "required"\nrequest_receipt = true\n'
        '[[policy.rules]]\nname = "rest"\nencryption = "required"\n'
    )
    findings = {bob.address: found(bob), carol.address: found(carol)}
    raw = mail(to=f"{bob.address}, {carol.address}")

    work = sealed(outbound(text, tmp_path), [bob.address, carol.address], findings, raw)

    assert len(work.groups) == 2


COPY = (
    '[[policy.rules]]\nname = "watched"\nrecipient = ["@example.net", "@archive.example"]\n'
    'encryption = "required"\nwithout_certificate = "refuse"\n'
    'copy = ["registry@example.net", "second@archive.example"]\n'
)


def test_a_copy_is_a_recipient_with_a_decision_of_his_own(tmp_path: Path) -> None:
    bob = world().bob
    registry = Identity("registry@example.net", bob.key, bob.certificate, bob.chain)
    maker = outbound(COPY, tmp_path)
    waiting = job(bob.address)
    wanted = maker.addresses_to_find([waiting])
    assert set(wanted) == {bob.address, registry.address, "second@archive.example"}
    findings = {
        bob.address: found(bob), registry.address: found(registry), "second@archive.example": NONE
    }  # fmt: skip

    work = maker.seal(waiting, mail(), findings, moment=NOW)

    first, copy, second = waiting.recipients
    assert [r.position for r in waiting.recipients] == [0, 1, 2]
    assert work.copies == [copy, second]
    assert (copy.address, copy.copied_by) == (registry.address, "watched")
    # Sealed alone: nobody may see from his own copy that there is another.
    assert first.group_id != copy.group_id
    assert all(registry.address.encode() not in group.emitted for group in work.groups)
    assert json.loads(copy.decision)["copied-by"] == "watched"
    # The rule would refuse it, but nobody outside is told of a copy: it is held, visibly.
    assert second.state is State.HELD
    assert json.loads(second.decision)["tell-sender-when-held"] is False
    assert work.failures == []
    kinds = [draft.kind for draft in work.drafts]
    assert kinds.count("copied") == 2
    entry = next(draft for draft in work.drafts if draft.kind == "copied")
    assert entry.fields["of"].decode() == bob.address
    assert entry.fields["recipient.000000"].decode() == registry.address


def test_a_copy_is_sealed_apart_also_where_the_header_names_its_reader(tmp_path: Path) -> None:
    bob = world().bob
    registry = Identity("registry@example.net", bob.key, bob.certificate, bob.chain)
    maker = outbound(COPY, tmp_path)
    findings = {
        bob.address: found(bob), registry.address: found(registry), "second@archive.example": NONE
    }  # fmt: skip
    waiting = job(bob.address)
    waiting.recipients[0].notify, waiting.recipients[0].orcpt = "SUCCESS", "rfc822;bob@old.example"
    raw = mail(to=f"{bob.address}, {registry.address}")

    maker.seal(waiting, raw, findings, moment=NOW)

    first, copy, _ = waiting.recipients
    assert None not in (first.group_id, copy.group_id)
    assert first.group_id != copy.group_id
    assert (copy.notify, copy.orcpt) == ("", ""), "what the sender asked, he asked for another"


def test_copies_make_no_loop_and_nobody_gets_one_twice(tmp_path: Path) -> None:
    bob = world().bob
    registry = Identity("registry@example.net", bob.key, bob.certificate, bob.chain)
    maker = outbound(COPY, tmp_path)
    findings = {
        bob.address: found(bob), registry.address: found(registry), "second@archive.example": NONE
    }  # fmt: skip
    waiting = job(bob.address, "Registry@EXAMPLE.net")

    work = maker.seal(waiting, mail(), findings, moment=NOW)
    assert [r.address for r in work.copies] == ["second@archive.example"]

    for recipient in waiting.recipients:  # the next attempt decides them all anew
        recipient.group_id, recipient.state = None, State.QUEUED
    again = maker.seal(waiting, mail(), findings, moment=NOW)
    assert again.copies == []
    assert len(waiting.recipients) == 3


def test_a_copy_is_never_copied(tmp_path: Path) -> None:
    text = (
        f'[[policy.rules]]\nname = "one"\nrecipient = "@x.example"\ncopy = "a@y.example"{CLEAR}'
        f'[[policy.rules]]\nname = "two"\nrecipient = "@y.example"\ncopy = "b@z.example"{CLEAR}'
    )
    maker = outbound(text, tmp_path)
    waiting = job("me@x.example")
    findings = dict.fromkeys(["me@x.example", "a@y.example", "b@z.example"], NONE)
    for _ in range(2):
        maker.seal(waiting, mail(), findings, moment=NOW)
        for recipient in waiting.recipients:
            recipient.group_id = None
    assert [r.address for r in waiting.recipients] == ["me@x.example", "a@y.example"]


def test_mail_that_does_not_leave_is_not_copied(tmp_path: Path) -> None:
    work = sealed(outbound(COPY, tmp_path), ["x@example.net"], {"x@example.net": NONE}, mail())
    assert work.copies == []
    assert len(work.failures) == 1


HOLD = (
    '[[policy.rules]]\nname = "look"\nsubject_mark = "[presse]"\naction = "hold"\n'
    'text = "communiqué à relire"\nencryption = "never"\ntell_sender_when_held = false\n'
    f'[[policy.rules]]\nname = "rest"{CLEAR}'
)


def test_a_rule_holds_mail_until_a_person_has_looked_at_it(tmp_path: Path) -> None:
    maker = outbound(HOLD, tmp_path)
    waiting = job("x@example.net")
    raw = mail("Subject: [PRESSE] demain")

    work = maker.seal(waiting, raw, {"x@example.net": NONE}, moment=NOW)
    (recipient,) = waiting.recipients
    assert recipient.state is State.HELD
    reason = json.loads(recipient.reason)
    assert reason["code"] == "policy.held-by-rule"
    assert reason["facts"] == {"rule": "look", "text": "communiqué à relire"}
    assert record(work)["tell-sender-when-held"] is False

    recipient.state, recipient.released = State.QUEUED, "look"
    work = maker.seal(waiting, raw, {"x@example.net": NONE}, moment=NOW)
    assert [group.treatment for group in work.groups] == ["signed"]


def test_being_released_from_one_rule_is_not_being_released_from_another(tmp_path: Path) -> None:
    maker = outbound(HOLD, tmp_path)
    waiting = job("x@example.net")
    waiting.recipients[0].released = "another"
    maker.seal(waiting, mail("Subject: [presse]"), {}, moment=NOW)
    assert waiting.recipients[0].state is State.HELD


def test_a_rule_refuses_with_its_text(tmp_path: Path) -> None:
    text = (
        '[[policy.rules]]\nname = "no-big"\nlarger_than = "100 B"\naction = "refuse"\n'
        f'text = "passez par la plateforme"\n[[policy.rules]]\nname = "rest"{CLEAR}'
    )
    waiting = replace(job("x@example.net"), size=101)
    work = outbound(text, tmp_path).seal(waiting, mail(), NONE_ASKED, moment=NOW)
    (failure,) = work.failures
    assert failure.problem.text == "rule no-big refuses this mail: passez par la plateforme"


def test_tls_that_a_rule_demands_is_kept_with_the_sealed_octets(tmp_path: Path) -> None:
    text = (
        '[[policy.rules]]\nname = "tls"\nrecipient = "@example.net"\ntls = "verified"'
        + CLEAR
        + '[[policy.rules]]\nname = "bare"\nrecipient = "@bare.example"\ntls = "verified"\n'
        'route = "bare"' + CLEAR + '[[policy.rules]]\nname = "rest"' + CLEAR
    )
    maker = outbound(text, tmp_path)
    to = ["x@example.net", "y@other.example", "z@bare.example"]
    work = sealed(maker, to, dict.fromkeys(to, NONE), mail(to=", ".join(to)))

    strict, plain, bare = work.job.recipients
    groups = {group.id: group for group in work.groups}
    assert groups[strict.group_id or ""].tls == "verified"
    assert groups[plain.group_id or ""].tls == ""
    route = maker.routes.get("all")
    assert route is not None
    hop = route.hop_with("verified")
    assert hop is not None
    assert hop.tls is TlsDemand.VERIFIED
    # No CA to check against: nothing leaves there, and it is not sent with less.
    assert bare.group_id is None
    assert json.loads(bare.reason)["code"] == "policy.no-ca"


GROUPS = (
    '[[policy.rules]]\nname = "cabinet"\nsender_group = "cabinet"\nrecipient_group = "judges"\n'
    f'encryption = "required"\n[[policy.rules]]\nname = "rest"{CLEAR}'
)


def _asked(maker: Outbound, to: str) -> Job:
    waiting = job(to)
    maker.learn_groups([waiting])
    return waiting


def test_groups_are_asked_for_ahead_and_decide(tmp_path: Path) -> None:
    known = {"alice@example.org": frozenset({"cabinet"}), "j@x.example": frozenset({"judges"}),
             "k@x.example": frozenset({"clerks"})}  # fmt: skip
    directory = Groups(known)
    maker = outbound(GROUPS, tmp_path, directory)

    judge = _asked(maker, "j@x.example")
    work = maker.seal(judge, mail(), {"j@x.example": NONE}, moment=NOW)
    assert judge.recipients[0].state is State.HELD
    assert work.groups == []

    clerk = _asked(maker, "k@x.example")
    work = maker.seal(clerk, mail(), {"k@x.example": NONE}, moment=NOW)
    assert [group.treatment for group in work.groups] == ["signed"]


def test_a_directory_that_does_not_answer_makes_mail_wait_and_nothing_else(tmp_path: Path) -> None:
    for source in (Groups({"alice@example.org": frozenset({"cabinet"})}), Groups({}), None):
        maker = outbound(GROUPS, tmp_path, source)
        waiting = _asked(maker, "j@x.example")
        work = maker.seal(waiting, mail(), {"j@x.example": NONE}, moment=NOW)
        (recipient,) = waiting.recipients
        assert (recipient.state, work.groups, work.failures) == (State.QUEUED, [], [])
        assert [draft.kind for draft in work.drafts] == ["deferred"]
        assert json.loads(recipient.decision)["undecided-rule"] == "cabinet"


def test_directories_are_not_asked_where_no_rule_hangs_on_them(tmp_path: Path) -> None:
    directory = Groups({})
    text = GROUPS.replace("sender_group", 'recipient = "@x.example"\nsender_group')
    maker = outbound(text, tmp_path, directory)
    waiting = _asked(maker, "a@elsewhere.example")
    assert directory.asked == []
    work = maker.seal(waiting, mail(), {"a@elsewhere.example": NONE}, moment=NOW)
    assert len(work.groups) == 1


def test_every_record_names_the_policy(tmp_path: Path) -> None:
    maker = outbound(GROUPS, tmp_path, Groups({}))
    waiting = _asked(maker, "j@x.example")
    work = maker.seal(waiting, mail(), {}, moment=NOW)
    assert record(work)["policy"] == maker.policy.sha256[:16]
    rule = Rule("r", (Pattern("*"),), (Pattern("*"),), Encryption.NEVER, WithoutCertificate.HOLD,
                Sign.SEAL)  # fmt: skip
    maker = outbound(Policy([rule]), tmp_path)
    work = sealed(maker, ["x@example.net"], {}, mail())
    assert record(work)["policy"] == maker.policy.sha256[:16]


def test_who_must_sign_himself_and_cannot_waits(tmp_path: Path) -> None:
    text = f'[[policy.rules]]\nname = "own-hand"\nsign = "person-only"{CLEAR}'
    work = sealed(outbound(text, tmp_path), ["x@example.net"], {"x@example.net": NONE}, mail())
    assert work.groups == []
    assert json.loads(work.job.recipients[0].reason)["code"] == "identity.no-person"
