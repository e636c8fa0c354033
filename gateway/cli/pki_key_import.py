"""`sceau pki key import`: one PKCS#12, or a folder of thousands."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from gateway.cli.account import operator
from gateway.cli.exits import DONE, NO, USAGE, worst
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json, config_path, count
from gateway.cli.output import Output, output_of
from gateway.cli.pki_key_consent import add_ground, ground_of, person_of
from gateway.cli.usage import UsageError

if TYPE_CHECKING:
    from gateway.key_import import Job, Result
    from gateway.wiring import Wiring
    from pki.errors import Problem
    from pki.persons import Use

# Below this many files starting processes takes longer than opening the files.
_FEW = 12
_USES = ("sign", "decrypt", "both")
_UNREADABLE = ("structure.", "limits.", "decrypt.")


def add_import(verb: ArgumentParser) -> None:
    """Options of `sceau pki key import`."""
    verb.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="PKCS#12 with key and certificate"
    )
    verb.add_argument("--address", help="the person's mail address, for a single FILE")
    verb.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="file with the password; one newline at its end is dropped",
    )
    verb.add_argument(
        "--consent-of",
        metavar="NAME",
        help="record that this person agrees that the gateway signs with the key",
    )
    add_ground(verb)
    verb.add_argument(
        "--path",
        choices=("warn", "require"),
        default="warn",
        help="what happens without a path to a trust anchor; otherwise warn",
    )
    verb.add_argument(
        "--use",
        choices=_USES,
        default="sign",
        help="what the key is for: to sign as the person, to open mail to the person, or both",
    )
    verb.add_argument(
        "--from", dest="folder", type=Path, metavar="FOLDER", help="import all PKCS#12 files in it"
    )
    verb.add_argument(
        "--passwords",
        type=Path,
        metavar="CSV",
        help="list for --from: file, password, address, consent_of, basis",
    )
    verb.add_argument(
        "--report", type=Path, metavar="FILE", help="write what came of each file there, too"
    )
    verb.add_argument(
        "--processes", type=count, metavar="N", help="for --from; otherwise one for each core"
    )
    verb.set_defaults(run=on_wiring(_run))
    add_config(verb)
    add_json(verb)


def _run(args: Namespace, wiring: Wiring) -> int:
    if args.use == "decrypt" and args.consent_of is not None:
        raise UsageError("--consent-of is for keys that sign")
    if (args.file is None) == (args.folder is None):
        raise UsageError("name one FILE, or a folder by --from")
    if args.folder is not None:
        for name in ("address", "consent_of", "basis", "form"):
            if getattr(args, name) is not None:
                raise UsageError(
                    "{name} is for a single FILE; with --from the list says it (--passwords)",
                    facts={"name": "--" + name.replace("_", "-")},
                )
        return _many(args, wiring)
    for name in ("passwords", "report", "processes"):
        if getattr(args, name) is not None:
            raise UsageError("{name} is for --from", facts={"name": f"--{name}"})
    if args.address is None:
        raise UsageError("{names} is missing", facts={"names": "--address"})
    return _one(args, wiring)


# -- one file ------------------------------------------------------------------------------------


def _one(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock, consents
    from gateway.cli.files import read_password
    from gateway.key_import import store_new
    from gateway.key_path import PathJudge
    from pki.bounded_file import LARGEST_SECRET, read_bounded
    from pki.persons import check_p12

    output = output_of(args)
    config = wiring.config
    person = None if args.consent_of is None else person_of(args.consent_of, "--consent-of")
    ground = ground_of(args)
    if person is None and (ground.basis or ground.form_sha256):
        raise UsageError("--basis and --form are for a consent: name the person by --consent-of")
    data = read_bounded(args.file, LARGEST_SECRET)
    password = read_password(args.password_file)
    who, now = operator(), clock.now()
    path = PathJudge(wiring.trust.current().material, strict=args.path == "require")
    checked = check_p12(
        data, password, name=str(args.file), address=args.address,
        domains=config.gateway.domains, keks=wiring.keks, moment=now, path=path, use=_use(args),
    )  # fmt: skip
    # One transaction: a key whose consent could not be recorded is not left behind.
    with wiring.database.write() as conn:
        address = store_new(conn, checked, by=who, moment=now)
        consent = None
        if person is not None:
            consent, draft = consents.give(
                conn, address=address, certificate_sha256=checked.certificate_sha256,
                person=person, by=who, moment=now, ground=ground, org=config.gateway.organisation,
            )  # fmt: skip
            wiring.append_with(conn, [draft])
    for remark in checked.remarks:
        output.note("{file}: {reason}", file=str(args.file), reason=output.problem(remark))
    if output.as_json:
        output.record(
            {
                "file": str(args.file),
                "address": address,
                "certificate_sha256": checked.certificate_sha256,
                "consent_of": person,
                "consent": consent.entry_id if consent else None,
                "remarks": _problems(checked.remarks),
            }
        )
        return DONE
    output.say(
        "The key of {address} is stored; its certificate is {sha256}.",
        address=address,
        sha256=checked.certificate_sha256,
    )
    if args.use != "sign":
        output.say("It opens mail that is encrypted to it.")
    if args.use == "decrypt":
        return DONE
    if consent is None:
        output.say(
            "It signs nothing without consent: sceau pki key consent {address} --person NAME",
            address=address,
        )
    else:
        output.say(
            "The consent of {person} is recorded: {id}.",
            person=consent.person,
            id=consent.entry_id or "",
        )
    return DONE


# -- a folder ------------------------------------------------------------------------------------


def _many(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock
    from gateway.cli.files import read_password
    from gateway.cli.password_list import ListFaults, jobs_of, read_list, warn_if_open
    from gateway.key_import import Rules, import_keys
    from pki.persons import prove

    output = output_of(args)
    prove(wiring.keks.current)  # one fault, not one for each file
    listed: dict[Path, Job] = {}
    if args.passwords is not None:
        warn_if_open(args.passwords, output)
        try:
            listed = read_list(args.passwords, args.folder)
        except ListFaults as faults:
            for fault in faults.problems:
                output.note(
                    "{file}: {reason}", file=str(args.passwords), reason=output.problem(fault)
                )
            raise
    jobs = list(jobs_of(args.folder, listed, read_password(args.password_file)))
    rules = Rules(
        domains=wiring.config.gateway.domains,
        moment=clock.now(),
        strict_path=args.path == "require",
        use=_use(args),
    )
    wanted = args.processes or os.cpu_count() or 1
    report = None if args.report is None else _create(args.report)
    tally: Counter[str] = Counter()
    codes = [DONE]
    said: list[str] = []  # after the bar, which it would break
    started = time.monotonic()
    try:
        with output.progress("importing", len(jobs)) as bar:
            for result in import_keys(
                jobs,
                wiring,
                config_path(args, os.environ),
                rules,
                by=operator(),
                processes=1 if len(jobs) < _FEW else wanted,
            ):
                bar.step()
                tally[result.status] += 1
                codes.append(_code(result))
                said += _tell(result, output, report)
    finally:
        # Also of a run that was stopped: what it says is stored, is stored.
        seconds = max(time.monotonic() - started, 0.001)
        text = output.text(
            "{imported} imported, {skipped} stored already, {refused} refused, of {total} files; "
            "{seconds} s, {speed} files/s",
            imported=str(tally["imported"]),
            skipped=str(tally["skipped"]),
            refused=str(tally["refused"]),
            total=str(len(jobs)),
            seconds=f"{seconds:.1f}",
            speed=f"{tally.total() / seconds:.0f}",
        )
        if report is not None:
            if not output.as_json:
                print(text, file=report)
            report.close()
        for line in said:
            output.line(line)
        if output.as_json:
            output.note("{text}", text=text)
        else:
            output.line(text)
    return worst(codes)


def _use(args: Namespace) -> Use:
    from pki.persons import Use

    return {"sign": Use.SIGN, "decrypt": Use.DECRYPT, "both": Use.SIGN | Use.DECRYPT}[args.use]


def _create(path: Path) -> TextIO:
    """A new file of this user alone: it lists who has a key. Raises FileExistsError, OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def _code(result: Result) -> int:
    if result.problem is None:
        return DONE
    return USAGE if result.problem.code.startswith(_UNREADABLE) else NO


def _tell(result: Result, output: Output, report: TextIO | None) -> list[str]:
    """Print and report. What is left to print: for people, what somebody must look at."""
    if output.as_json:
        output.record(_as_json(result))
        if report is not None:
            Output(as_json=True, out=report).record(_as_json(result))
        return []
    lines = [_line(result, output)]
    lines += [
        output.text("{file}: {reason}", file=result.file, reason=output.problem(remark))
        for remark in result.remarks
    ]
    if report is not None:
        for line in lines:
            Output(out=report).line(line)
    return lines if result.problem is not None else lines[1:]


def _line(result: Result, output: Output) -> str:
    if result.problem is not None:
        return output.text(
            "{file}: refused: {reason}", file=result.file, reason=output.problem(result.problem)
        )
    facts = {
        "file": result.file,
        "addresses": ", ".join(result.addresses),
        "sha256": result.certificate_sha256,
    }
    if result.status == "imported":
        return output.text("{file}: imported for {addresses}, {sha256}", **facts)
    return output.text("{file}: stored already for {addresses}, {sha256}", **facts)


def _as_json(result: Result) -> dict[str, object]:
    return {
        "file": result.file,
        "status": result.status,
        "addresses": list(result.addresses),
        "certificate_sha256": result.certificate_sha256 or None,
        "consents": result.consents,
        "problems": _problems(() if result.problem is None else (result.problem,)),
        "remarks": _problems(result.remarks),
    }


def _problems(problems: tuple[Problem, ...]) -> list[dict[str, str]]:
    from gateway.cli.pki_input import as_json

    return as_json(problems)
