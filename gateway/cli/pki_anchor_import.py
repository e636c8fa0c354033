"""`sceau pki anchor import`, `import-system`: from a list of roots to proposals, never further."""

from __future__ import annotations

import re
import unicodedata
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.deciding import add_signing, ask, new_request
from gateway.cli.exits import DONE, worst
from gateway.cli.opening import on_wiring
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.pki_anchor_terms import add_terms, terms_of
from gateway.cli.usage import UsageError
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.wiring import Wiring
    from pki.certificate import ParsedCertificate


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A certification authority in the list. state: "" where nothing is known of it yet."""

    certificate: ParsedCertificate
    state: str


def add_import(verbs: Any) -> None:
    """Both verbs."""
    system = verbs.add_parser("import-system", help="list the system's roots, propose chosen ones")
    system.set_defaults(run=on_wiring(_import), files=())
    bring = verbs.add_parser("import", help="list the roots in files, propose chosen ones")
    bring.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="PEM, DER or PKCS#7, or a folder"
    )
    bring.set_defaults(run=on_wiring(_import))
    for verb in (system, bring):
        verb.add_argument(
            "--choose",
            action="append",
            default=[],
            metavar="SHA256",
            help="propose this one, by the fingerprint you have from elsewhere",
        )
        verb.add_argument("--all", action="store_true", help="propose all that are not known yet")
        add_terms(verb, named=False)
        add_signing(verb)


def _import(args: Namespace, wiring: Wiring) -> int:
    from gateway.cli.pki_input import certificates_in, code_of, inputs

    output = output_of(args)
    codes = []
    certs: dict[str, ParsedCertificate] = {}
    for file in inputs(list(args.files) or [_system()]):
        found, problems = certificates_in(file)
        certs |= {cert.sha256: cert for cert in found if cert.is_ca or cert.basic is None}
        for each in problems:
            output.note("{file}: {reason}", file=str(file.path), reason=output.problem(each))
        codes.append(code_of(problems))
    candidates = _candidates(wiring, certs)
    if not args.choose and not args.all:
        _print(candidates, output)
        return worst(codes or [DONE])
    chosen = _chosen(candidates, args)
    if args.write is not None and len(chosen) > 1:
        raise UsageError("--write takes one request: choose one certificate")
    codes += [_propose(args, wiring, one.certificate) for one in chosen]
    return worst(codes or [DONE])


def _system() -> Path:
    from pki.systemroots import system_bundle

    found = system_bundle()
    if found is None:
        raise NotFound("no list of root certificates of the system was found: set SSL_CERT_FILE")
    return found


def _candidates(wiring: Wiring, certs: dict[str, ParsedCertificate]) -> list[_Candidate]:
    from gateway.cli.deciding import fate_of
    from gateway.foureyes.desk import book_of
    from gateway.foureyes.records import State
    from gateway.foureyes.request import Act

    ledger = book_of(wiring).ledger
    states = {
        asked.request.subjects[0]: "proposed"
        for asked in ledger.requests.values()
        if asked.request.act is Act.TRUST and fate_of(asked) == "proposed"
    }
    states |= {
        one.certificate.sha256: one.state.value
        for one in ledger.anchors.values()
        if one.state is not State.SUPERSEDED
    }
    states |= {anchor.sha256: "configured" for anchor in wiring.anchors}
    found = [_Candidate(cert, states.get(sha256, "")) for sha256, cert in certs.items()]
    return sorted(found, key=lambda one: one.certificate.subject_text.casefold())


def _chosen(candidates: Sequence[_Candidate], args: Namespace) -> list[_Candidate]:
    from gateway.cli.pki_input import fingerprint_of

    if args.all:
        return [one for one in candidates if not one.state]
    by_hash = {one.certificate.sha256: one for one in candidates}
    chosen = []
    for text in args.choose:
        sha256 = fingerprint_of(text)
        if sha256 not in by_hash:
            raise NotFound("no certificate {sha256} is in this list", facts={"sha256": sha256})
        chosen.append(by_hash[sha256])
    return chosen


def _propose(args: Namespace, wiring: Wiring, cert: ParsedCertificate) -> int:
    from gateway.foureyes.request import Act
    from gateway.foureyes.terms import read_terms

    changes = terms_of(args, _name(cert)).changes()
    read_terms(changes)
    request = new_request(wiring, Act.TRUST, changes, certificates=(cert.der,))
    return ask(args, wiring, request)


def _name(cert: ParsedCertificate) -> str:
    """A name out of the subject; the end of the fingerprint keeps two of the same subject apart."""
    common = re.search(r"(?:CN|OU|O)=([^,]+)", cert.subject_text)
    text = unicodedata.normalize("NFKD", common[1] if common else "root").casefold()
    words = re.sub(r"[^a-z0-9]+", "-", text).strip("-")[:40].strip("-") or "root"
    return f"{words}-{cert.sha256[:8]}"


def _print(candidates: Sequence[_Candidate], output: Output) -> None:
    from gateway.cli.pki_anchor import STATES

    rows = []
    for one in candidates:
        cert = one.certificate
        if output.as_json:
            output.record(
                {
                    "sha256": cert.sha256,
                    "subject": cert.subject_text,
                    "self_signed": cert.self_issued,
                    "not_after": time_json(cert.not_after),
                    "state": one.state or None,
                }
            )
            continue
        state = output.text(STATES[one.state]) if one.state else "-"
        rows.append([cert.sha256, time_text(cert.not_after), state, cert.subject_text])
    if not output.as_json:
        output.table(["fingerprint (SHA-256)", "valid until", "state", "subject"], rows)
        output.note(
            "None of these is trusted by being in this list. To propose one: --choose SHA256, with "
            "--purpose, --domain, and --as"
        )
