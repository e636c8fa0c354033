"""`sceau pki directory`: which servers are asked for certificates and groups, and how they do."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from gateway.cli.exits import CANNOT_TELL, DONE, NO, worst
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.wiring import Wiring
    from pki.directory import Directory
    from pki.health import ServerTrial
    from pki.ldap import DirectoryAnswer, DirectoryClient


def add_directory(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki directory`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the directories of the configuration")
    listing.set_defaults(run=on_wiring(_list))
    test = verbs.add_parser("test", help="ask each server, and look an address up")
    test.add_argument("name", metavar="NAME", nargs="?", help="this directory only")
    test.add_argument("--address", metavar="ADDRESS", help="look this address up")
    test.set_defaults(run=on_wiring(_test))
    for verb in (listing, test):
        add_config(verb)
        add_json(verb)


def _list(args: Namespace, wiring: Wiring) -> int:
    output = output_of(args)
    rows = []
    for client in wiring.directories:
        directory = client.directory
        if output.as_json:
            output.record(_as_json(directory))
            continue
        rows += [
            [
                directory.name if number == 0 else "",
                url,
                ", ".join(directory.domains) if number == 0 else "",
                _login(directory, output),
                output.text("yes") if directory.groups else output.text("no"),
            ]
            for number, url in enumerate(directory.urls)
        ]
    if not output.as_json:
        output.table(["name", "server", "domains", "logs in as", "groups"], rows)
        if not rows:
            output.note("There is no directory: only stored certificates are found.")
    return DONE


def _test(args: Namespace, wiring: Wiring) -> int:
    from pki.addresses import canonical, in_domain

    output = output_of(args)
    address = canonical(args.address) if args.address else ""
    clients = [
        client for client in wiring.directories if args.name in (None, client.directory.name)
    ]
    if args.name and not clients:
        raise NotFound(
            "there is no directory {name}; there are: {names}",
            facts={
                "name": args.name,
                "names": ", ".join(each.directory.name for each in wiring.directories) or "-",
            },
        )
    codes = []
    for client in clients:
        directory = client.directory
        asked = bool(address) and any(in_domain(address, domain) for domain in directory.domains)
        codes.append(_try(client, address if asked else "", output))
        if address and not asked and args.name:
            # S20: not for a test either does a server hear of an address it is not asked for.
            output.note(
                "{name} is not asked for {address}: its domains are {domains}",
                name=directory.name,
                address=address,
                domains=", ".join(directory.domains),
            )
    return worst(codes)


def _try(client: DirectoryClient, address: str, output: Output) -> int:
    """One directory: each server, then the address; the exit code."""
    from pki.errors import CannotTellGroups, DirectoryTrouble

    name = client.directory.name
    trials = client.try_servers()
    record: dict[str, object] = {
        "directory": name,
        "servers": [_trial_json(trial) for trial in trials],
    }
    for trial in trials:
        _say_trial(name, trial, output)
    codes = [DONE if trial.problem is None else CANNOT_TELL for trial in trials]
    if address:
        try:
            answer = client.search(address)
            groups = _groups(client, address)
        except (DirectoryTrouble, CannotTellGroups) as error:
            output.say(
                "  {address}: {reason}", address=address, reason=output.problem(error.problem)
            )
            record |= {"address": address, "status": "indeterminate"}
            record["problems"] = [{"code": error.problem.code, "text": error.problem.text}]
            codes.append(CANNOT_TELL)
        else:
            record |= _answer_json(address, answer, groups)
            _say_answer(address, answer, groups, output)
            codes.append(DONE if answer.candidates else NO)
    if output.as_json:
        output.record(record)
    return worst(codes)


def _groups(client: DirectoryClient, address: str) -> list[str] | None:
    from gateway.directories import make_groups

    if client.directory.groups is None:
        return None
    return sorted(make_groups([client]).groups_of(address))


def _as_json(directory: Directory) -> dict[str, object]:
    groups = directory.groups
    return {
        "name": directory.name,
        "servers": list(directory.urls),
        "order": directory.order.value,
        "base": directory.base,
        "domains": list(directory.domains),
        "login": "external" if directory.external else "simple" if directory.bind_dn else "none",
        "bind_dn": directory.bind_dn,
        "tls": bool(directory.ca_file),
        "certificate_attributes": list(directory.attributes),
        "address_attributes": list(directory.mail_attributes),
        "time_limit_seconds": directory.time_limit,
        "groups": None if groups is None else groups.base,
    }


def _login(directory: Directory, output: Output) -> str:
    if directory.external:
        return output.text("its client certificate")
    return directory.bind_dn or output.text("nobody")


def _trial_json(trial: ServerTrial) -> dict[str, object]:
    reason = trial.problem
    return {
        "url": trial.url,
        "answers": reason is None,
        "milliseconds": round(trial.seconds * 1000),
        "problems": [] if reason is None else [{"code": reason.code, "text": reason.text}],
    }


def _say_trial(name: str, trial: ServerTrial, output: Output) -> None:
    milliseconds = f"{trial.seconds * 1000:.0f}"
    if trial.problem is None:
        output.say(
            "{name}: {url} answers ({milliseconds} ms)",
            name=name,
            url=trial.url,
            milliseconds=milliseconds,
        )
    else:
        output.say(
            "{name}: {url} fails: {reason} ({milliseconds} ms)",
            name=name,
            url=trial.url,
            reason=output.problem(trial.problem),
            milliseconds=milliseconds,
        )


def _answer_json(
    address: str, answer: DirectoryAnswer, groups: list[str] | None
) -> dict[str, object]:
    import hashlib

    return {
        "address": address,
        "status": "found" if answer.candidates else "none",
        "server": answer.server,
        "certificates": [
            {
                "sha256": hashlib.sha256(each.der).hexdigest(),
                "source": each.source,
                "chain": len(each.chain),
                "signed_capabilities": len(each.capabilities),
            }
            for each in answer.candidates
        ],
        "refused": [
            {"sha256": each.sha256, "source": each.source, "code": each.problem.code}
            for each in answer.refused
        ],
        "groups": groups,
        "problems": [],
    }


def _say_answer(
    address: str, answer: DirectoryAnswer, groups: list[str] | None, output: Output
) -> None:
    import hashlib

    output.say(
        "  {address}: certificates found, not checked: {count} (by {server})",
        address=address,
        count=str(len(answer.candidates)),
        server=answer.server,
    )
    for each in answer.candidates:
        output.say(
            "    {sha256}  {source}",
            sha256=hashlib.sha256(each.der).hexdigest(),
            source=each.source,
        )
    for refusal in answer.refused:
        output.say("    refused: {reason}", reason=output.problem(refusal.problem))
    if groups is not None:
        output.say("  groups: {names}", names=", ".join(groups) or "-")
