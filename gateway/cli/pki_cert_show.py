"""`sceau pki cert show`: what is in a certificate, of a file or of one that is kept here."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE, USAGE, worst
from gateway.cli.opening import opened_wiring
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.cli.pki_input import Input
    from gateway.wiring import Wiring


@dataclass(frozen=True, slots=True)
class _Kept:
    """A place in which a certificate is kept. record: for programs; text: for people."""

    der: bytes
    record: dict[str, object]
    text: str


def run_show(args: Namespace) -> int:
    """Show the certificates of a file or folder, or the one with a fingerprint."""
    from gateway.cli.pki_input import file_or_fingerprint, inputs

    output = output_of(args)
    what = file_or_fingerprint(args.what)
    if isinstance(what, str):
        return _show_kept(args, what, output)
    return worst(_show_file(each, output) for each in inputs([what]))


def _show_file(file: Input, output: Output) -> int:
    from gateway import clock
    from gateway.cli.pki_facts import certificate_facts, facts_json, print_facts, validity_note
    from gateway.cli.pki_input import as_json, certificates_in

    certs, problems = certificates_in(file)
    if output.as_json:
        facts = [facts_json(certificate_facts(cert)) for cert in certs]
        output.record(
            {"file": str(file.path), "certificates": facts, "problems": as_json(problems)}
        )
        return USAGE if problems else DONE
    now = clock.now()
    for cert in certs:
        output.line(f"{file.path} {validity_note(cert, now, output)}".rstrip())
        print_facts(certificate_facts(cert), output)
    for each in problems:
        output.note("{file}: {reason}", file=str(file.path), reason=output.problem(each))
    return USAGE if problems else DONE


def _show_kept(args: Namespace, sha256: str, output: Output) -> int:
    from gateway import clock
    from gateway.cli.pki_facts import certificate_facts, facts_json, print_facts, validity_note
    from pki.certificate import ParsedCertificate

    with opened_wiring(args) as wiring:
        kept = list(_places(wiring, sha256, output))
    if not kept:
        raise NotFound(
            "no certificate {sha256} is known here: neither in the configuration nor in the "
            "local store, and no stored key or decision names it",
            facts={"sha256": sha256},
        )
    cert = ParsedCertificate(kept[0].der)
    if output.as_json:
        facts = facts_json(certificate_facts(cert))
        places = [place.record for place in kept]
        output.record({"file": None, "certificates": [{**facts, "kept": places}], "problems": []})
        return DONE
    output.line(f"{sha256} {validity_note(cert, clock.now(), output)}".rstrip())
    print_facts(certificate_facts(cert), output)
    for place in kept:
        output.line(f"  {place.text}")
    return DONE


def _places(wiring: Wiring, sha256: str, output: Output) -> Iterator[_Kept]:
    """Every place in which this certificate is kept."""
    from hashlib import sha256 as digest

    from gateway.cli.pki_anchor import STATES
    from gateway.foureyes.desk import book_of
    from pki.anchors import load_certificates
    from pki.evidence import certificate
    from pki.persons import list_keys
    from pki.store import certificate_history

    for anchor in wiring.anchors:
        if anchor.sha256 == sha256:
            yield _Kept(
                anchor.certificate,
                {"place": "anchor", "name": anchor.name},
                output.text("It is the trust anchor {name}.", name=anchor.name),
            )
    for record in book_of(wiring).ledger.anchors.values():
        if record.certificate.sha256 == sha256:
            state = output.text(STATES[record.state.value])
            yield _Kept(
                record.certificate.der,
                {
                    "place": "anchor",
                    "name": record.terms.name,
                    "id": record.id,
                    "state": record.state.value,
                },
                output.text(
                    "It is the trust anchor {name} ({id}): {state}.",
                    name=record.terms.name,
                    id=record.id,
                    state=state,
                ),
            )
    for path in wiring.config.pki.intermediates:
        for der in load_certificates(path):
            if digest(der).hexdigest() == sha256:
                yield _Kept(
                    der,
                    {"place": "intermediate", "file": str(path)},
                    output.text("It is an intermediate, from {file}.", file=str(path)),
                )
    with wiring.database.read() as conn:
        stored = certificate_history(conn, sha256)
        keys = list_keys(conn, certificate_sha256=sha256)
        named = certificate(conn, sha256)
    for row in stored:
        text = output.text(
            "In the local store for {address} since {time}, from {source}, by {by}.",
            address=row.address,
            time=time_text(row.added_at),
            source=row.source,
            by=row.added_by,
        )
        if row.removed_at is not None:
            text += " " + output.text(
                "Out of use since {time}, by {by}.",
                time=time_text(row.removed_at),
                by=row.removed_by or "-",
            )
        yield _Kept(
            row.der,
            {
                "place": "store",
                "address": row.address,
                "source": row.source,
                "added": time_json(row.added_at),
                "added_by": row.added_by,
                "removed": time_json(row.removed_at) if row.removed_at else None,
                "removed_by": row.removed_by,
            },
            text,
        )
    for key in keys:
        yield _Kept(
            key.certificate,
            {"place": "key", "address": key.address},
            output.text("The key of {address} that belongs to it is stored.", address=key.address),
        )
    if named is not None:
        yield _Kept(
            named, {"place": "decision"}, output.text("A decision about a mail rested on it.")
        )
