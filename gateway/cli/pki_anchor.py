"""`sceau pki anchor`: whom the configuration trusts, and for what."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE
from gateway.cli.opening import on_wiring
from gateway.cli.options import add_config, add_json
from gateway.cli.output import Output, output_of, time_text
from gateway.errors import NotFound

if TYPE_CHECKING:
    from gateway.wiring import Wiring
    from pki.anchors import Anchor
    from pki.certificate import ParsedCertificate


def add_anchor(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki anchor`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    listing = verbs.add_parser("list", help="the trust anchors of the configuration")
    listing.set_defaults(run=on_wiring(_list))
    show = verbs.add_parser("show", help="one trust anchor with its certificate")
    show.add_argument("name", metavar="NAME|FINGERPRINT", help="as in the configuration")
    show.set_defaults(run=on_wiring(_show))
    for verb in (listing, show):
        add_config(verb)
        add_json(verb)


def _list(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock
    from gateway.cli.pki_facts import validity_note

    output = output_of(args)
    now = clock.now()
    rows = []
    for anchor, cert in _anchors(wiring):
        if output.as_json:
            output.record(_as_json(anchor, cert))
            continue
        rows.append(
            [
                anchor.name,
                _purposes(anchor, output),
                _domains(anchor, output),
                _revocation(anchor, output),
                f"{time_text(cert.not_after)} {validity_note(cert, now, output)}".rstrip(),
                cert.subject_text,
            ]
        )
    if not output.as_json:
        output.table(["name", "trusted to", "domains", "CRLs", "valid until", "subject"], rows)
        if not rows:
            output.note("There is no trust anchor: no certificate can be used.")
    return DONE


def _show(args: Namespace, wiring: Wiring) -> int:
    from gateway.cli.pki_facts import certificate_facts, print_facts
    from gateway.cli.pki_input import fingerprint

    output = output_of(args)
    sha256 = fingerprint(args.name)
    anchors = _anchors(wiring)
    for anchor, cert in anchors:
        if args.name != anchor.name and sha256 != anchor.sha256:
            continue
        if output.as_json:
            output.record(_as_json(anchor, cert))
            return DONE
        output.line(anchor.name)
        output.say("  trusted to {purposes}", purposes=_purposes(anchor, output))
        output.say("  for {domains}", domains=_domains(anchor, output))
        output.say("  revocation learned from: {sources}", sources=anchor.sources.value)
        output.say("  when a CRL is too old: {rule}", rule=_revocation(anchor, output))
        if anchor.comment:
            output.line(f"  {anchor.comment}")
        output.line("")
        print_facts(certificate_facts(cert), output)
        return DONE
    raise NotFound(
        "there is no trust anchor {name}; there are: {names}",
        facts={"name": args.name, "names": ", ".join(anchor.name for anchor, _ in anchors) or "-"},
    )


def _anchors(wiring: Wiring) -> list[tuple[Anchor, ParsedCertificate]]:
    from pki.certificate import ParsedCertificate

    return [(anchor, ParsedCertificate(anchor.certificate)) for anchor in wiring.anchors]


def _as_json(anchor: Anchor, cert: ParsedCertificate) -> dict[str, object]:
    from gateway.cli.pki_facts import certificate_facts, facts_json

    return {
        "name": anchor.name,
        "purposes": sorted(purpose.value for purpose in anchor.purposes),
        "domains": list(anchor.domains) or ["*"],
        "grace_seconds": int(anchor.grace.total_seconds()),
        "revocation_sources": anchor.sources.value,
        "comment": anchor.comment,
        **facts_json(certificate_facts(cert)),
    }


def _purposes(anchor: Anchor, output: Output) -> str:
    names = {"encrypt": output.text("encrypt"), "sign": output.text("sign")}
    return ", ".join(sorted(names[purpose.value] for purpose in anchor.purposes))


def _domains(anchor: Anchor, output: Output) -> str:
    return ", ".join(anchor.domains) or output.text("all domains")


def _revocation(anchor: Anchor, output: Output) -> str:
    if not anchor.grace:
        return output.text("hard fail")
    return output.text("grace of {hours} h", hours=f"{anchor.grace.total_seconds() / 3600:g}")
