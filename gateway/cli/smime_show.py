"""`sceau smime inspect`: what a message is made of, for people and for programs."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from gateway.cli.files import FileProblem, each_file, expand
from gateway.cli.foreign import judging
from gateway.cli.output import Output, output_of
from gateway.guard.answer import Answer
from gateway.smime.inspect import Inspection, inspect
from gateway.smime.reading import Layer


def inspect_files(args: Namespace) -> int:
    """`smime inspect`."""
    with judging(_judge, output_of(args)) as judged:
        return each_file(args, expand(args.files), lambda path: dict(judged(path).value))


def _judge(data: bytes, path: Path, output: Output) -> Answer:
    """Raises FileProblem."""
    found = inspect(data)
    if found.problems and not found.layers:
        raise FileProblem("malformed", found.problems[0])
    if not output.as_json:
        _show(output, path, found)
    status = "malformed" if found.problems else "read"
    return Answer({"status": status, **found.as_dict()})


def _show(output: Output, path: Path, found: Inspection) -> None:
    output.say("{file}: {size} octets", file=str(path), size=str(found.size))
    if not found.layers:
        output.say("  no S/MIME")
    for number, layer in enumerate(found.layers, 1):
        output.line(f"  {number}  {layer.kind}{_details(layer)}")
        _people(output, layer)
    if found.inner:
        output.say("  inside: {type}", type=found.inner)
    for problem in found.problems:
        output.line("  " + output.problem(problem))
    output.say("Nothing was verified.")


def _details(layer: Layer) -> str:
    """Machine names only: the same in every language."""
    facts = layer.facts
    shown = [
        str(facts[key]) for key in ("smime_type", "micalg", "cipher", "algorithm") if facts.get(key)
    ]
    return f"  ({', '.join(shown)})" if shown else ""


def _people(output: Output, layer: Layer) -> None:
    facts = layer.facts
    for signer in facts.get("signers", ()):
        output.say(
            "     signer {who}: {signature}, {digest}",
            who=_who(signer),
            signature=signer["signature"],
            digest=signer["digest"],
        )
        if signer["signed_attributes"]:
            output.say("       attributes: {names}", names=", ".join(signer["signed_attributes"]))
    for recipient in facts.get("recipients", ()):
        output.say(
            "     recipient {who}: {algorithm}",
            who=_who(recipient),
            algorithm=recipient.get("algorithm", recipient["kind"]),
        )
    for certificate in facts.get("certificates", ()):
        output.say(
            "     certificate {subject} of {issuer}, until {until}",
            subject=certificate.get("subject", "?"),
            issuer=certificate.get("issuer", "?"),
            until=certificate.get("not_after", "?"),
        )


def _who(facts: dict[str, Any]) -> str:
    if "issuer" in facts:
        return f"{facts['issuer']} #{facts['serial']}"
    return str(facts.get("key_identifier", "?"))
