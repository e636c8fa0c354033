"""`sceau pki cert harvest`: certificates of others out of signed mail."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.exits import VERIFICATION
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of
from gateway.i18n import message

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import sqlalchemy as sa

    from gateway.wiring import Wiring
    from pki.harvest import Gathering, SignedMail
    from pki.recipient_keys import Sighting

_OUTCOMES = {
    "suggested": message("waits for a person"),
    "accepted": message("stored"),
    "known": message("known already"),
    "dismissed": message("a person has said no"),
    "unusable": message("not usable"),
    "full": message("too many wait already"),
}


def add_harvest(verbs: argparse._SubParsersAction[ArgumentParser]) -> None:
    """The verb."""
    harvest = verbs.add_parser(
        "harvest", help="gather certificates from signed mail, as the policy says"
    )
    harvest.add_argument(
        "files", nargs="+", type=Path, metavar="MAIL", help="a mail, or a folder of them"
    )
    harvest.set_defaults(run=on_wiring(_harvest))
    add_config(harvest)
    add_json(harvest)


def _harvest(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock
    from gateway.cli.files import each_file, expand
    from gateway.cli.foreign import judging
    from gateway.guard.answer import Answer
    from gateway.harvest import signed_mail, unknown_authority
    from gateway.smime.layers import verify
    from gateway.smime.verify import Rules

    output = output_of(args)
    moment = clock.now()
    rules = Rules(material=wiring.trust.current().material, moment=moment)
    how = _how(wiring)

    def judge(data: bytes, path: Path, _output: Output) -> Answer:
        found = verify(data, rules)
        source = f"signed mail {path.name}"
        mail, unknown = signed_mail(data, found, source), unknown_authority(data, found, source)
        told = [
            (one.code, one.text)
            for several in (found.problems, *(signer.problems for signer in found.signers))
            for one in several
        ]  # of a single signer both say the same
        problems = [{"code": code, "text": text} for code, text in dict.fromkeys(told)]
        brought = None if mail is None else _plain(mail)
        asked = None if unknown is None else _plain(unknown)
        return Answer(
            {
                "status": found.status.value,
                "mail": brought,
                "unknown": asked,
                "problems": problems,
            }
        )

    files = expand(args.files)
    with judging(judge, output) as judged:

        def one(path: Path) -> dict[str, Any]:
            answer = dict(judged(path).value)
            brought = answer.pop("mail")
            if (asked := answer.pop("unknown")) is not None:
                _ask(_mail(asked), wiring)
            answer["certificates"] = []
            if brought is not None:
                answer["certificates"] = _gather(path, _mail(brought), how, wiring, output)
            elif not output.as_json:
                _nothing(path, answer, output)
            return answer

        return each_file(args, files, one, codes=VERIFICATION, empty={"certificates": []})


def _ask(mail: SignedMail, wiring: Wiring) -> None:
    """The authority becomes a question to people and nothing else: `sceau pki anchor questions`."""
    from gateway import clock
    from gateway.unknown import Unknown
    from pki.certificate import ParsedCertificate
    from pki.questions import Place, meet

    signer = ParsedCertificate(mail.signer)
    met = meet(signer, mail.others, place=Place.MAIL, source=mail.source, address=mail.address)
    Unknown(wiring.database.write, clock.now)([met])


def _how(wiring: Wiring) -> Gathering:
    from gateway import clock
    from gateway.cli.account import operator
    from gateway.key_changes import change_drafts, harvest_rule_of, rule_of
    from pki.harvest import Gathering

    by, org = operator(), wiring.config.gateway.organisation

    def changed(conn: sa.Connection, sightings: Sequence[Sighting], held: bool) -> None:
        wiring.append_with(conn, change_drafts(sightings, by=by, held=held, org=org))

    return Gathering(
        material=wiring.trust.current().material,
        rule=lambda address: harvest_rule_of(wiring.config, address),
        key_change=lambda address: rule_of(wiring.config, address),
        changed=changed,
        moment=clock.now(),
    )


def _gather(
    path: Path, mail: SignedMail, how: Gathering, wiring: Wiring, output: Output
) -> list[dict[str, Any]]:
    from gateway.cli.pki_input import as_json
    from pki.harvest import harvest

    with wiring.database.write() as conn:
        found = harvest(conn, mail, how)
    for each in found:
        output.say(
            "{file}: {address}: {outcome}: {sha256}",
            file=str(path),
            address=mail.address,
            outcome=output.text(_OUTCOMES[each.outcome.value]),
            sha256=each.certificate.sha256,
        )
        if each.reason is not None and not output.as_json:
            output.note("{file}: {reason}", file=str(path), reason=output.problem(each.reason))
    if not found:
        output.say("{file}: nothing is gathered from it", file=str(path))
    return [
        {
            "address": mail.address,
            "sha256": each.certificate.sha256,
            "outcome": each.outcome.value,
            "problems": as_json([each.reason] if each.reason else []),
        }
        for each in found
    ]


def _nothing(path: Path, answer: dict[str, Any], output: Output) -> None:
    output.say("{file}: nothing is gathered from it", file=str(path))
    for each in answer["problems"]:
        output.note("{file}: {reason}", file=str(path), reason=each["text"])


def _plain(mail: SignedMail) -> dict[str, Any]:
    return {
        "address": mail.address,
        "signer": mail.signer.hex(),
        "others": [der.hex() for der in mail.others],
        "capabilities": list(mail.capabilities),
        "source": mail.source,
    }


def _mail(plain: dict[str, Any]) -> SignedMail:
    from pki.harvest import SignedMail

    return SignedMail(
        address=plain["address"],
        signer=bytes.fromhex(plain["signer"]),
        others=tuple(map(bytes.fromhex, plain["others"])),
        capabilities=tuple(plain["capabilities"]),
        source=plain["source"],
    )
