"""What a decision about an anchor would change, as commands print it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.i18n import message

if TYPE_CHECKING:
    from gateway.cli.output import Output
    from gateway.foureyes.effect import Change, Effect
    from gateway.foureyes.ledger import Ledger
    from gateway.foureyes.request import Request
    from gateway.wiring import Wiring


def effect_of_request(wiring: Wiring, ledger: Ledger, request: Request) -> Effect | None:
    """For a request about an anchor; None for any other."""
    from gateway import clock
    from gateway.foureyes.effect import effect_of
    from gateway.foureyes.request import Act
    from gateway.foureyes.terms import read_terms

    adds = ends = None
    match request.act:
        case Act.TRUST:
            terms = read_terms(request.changes)
            adds = terms.anchor(request.certificates[0], request.subjects[0])
            if terms.supersedes in ledger.anchors:
                ends = ledger.anchors[terms.supersedes].anchor
        case Act.SUSPEND:
            ends = ledger.anchors[request.subjects[0]].anchor
        case Act.RESUME:
            adds = ledger.anchors[request.subjects[0]].anchor
        case _:
            return None
    material = wiring.trust.current().material
    with wiring.database.read() as conn:
        return effect_of(conn, material, adds=adds, ends=ends, moment=clock.now())


def effect_json(effect: Effect | None) -> dict[str, object] | None:
    """For programs: counts, and the first addresses."""
    from gateway.cli.output import time_json

    if effect is None:
        return None

    def change(one: Change) -> dict[str, object]:
        return {"count": one.count, "examples": one.first}

    return {
        "become_valid": change(effect.valid),
        "become_unknown": change(effect.unknown),
        "become_invalid": change(effect.invalid),
        "looked_at": effect.looked_at,
        "left_out": effect.left_out,
        "begins": None if effect.begins is None else time_json(effect.begins),
        "later": effect_json(effect.later),
    }


def print_effect(effect: Effect | None, output: Output) -> None:
    """For people."""
    if effect is None:
        return
    _print_changes(effect, output)
    output.say("  certificates looked at: {count}", count=str(effect.looked_at))
    if effect.left_out:
        output.say("  not looked at, too many: {count}", count=str(effect.left_out))


def _print_changes(effect: Effect, output: Output) -> None:
    from gateway.cli.output import time_text

    for change, template in (
        (effect.valid, message("  certificates become usable: {count} ({names})")),
        (effect.unknown, message("  certificates wait for a CRL: {count} ({names})")),
        (effect.invalid, message("  certificates stop being usable: {count} ({names})")),
    ):
        if change.count:
            more = ", …" if change.count > len(change.first) else ""
            names = ", ".join(change.first) + more
            output.say(template, count=str(change.count), names=names)
    if not (effect.valid.count or effect.unknown.count or effect.invalid.count):
        output.say("  nothing changes for any certificate that is known here")
    if effect.later is not None and effect.begins is not None:
        output.say("  from {date} on, when the trust begins:", date=time_text(effect.begins))
        _print_changes(effect.later, output)
