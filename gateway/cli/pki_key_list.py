"""`sceau pki key list` and `show`: whose keys are stored, and who agreed to their use."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE
from gateway.cli.opening import on_installation, on_wiring
from gateway.cli.options import add_config, add_json, count
from gateway.cli.output import Output, output_of, time_json, time_text
from gateway.cli.pki_key_consent import consent_json, live_consent
from gateway.errors import NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from gateway.installation import Installation
    from gateway.wiring import Wiring
    from pki.decryption_keys import StoredDecryptionKey
    from pki.may_sign import MaySign, Unfit
    from pki.person_list import Listed
    from pki.persons import Consent, Ground, PersonKey


def add_list(verb: ArgumentParser) -> None:
    """Options of `sceau pki key list`."""
    verb.add_argument(
        "address", nargs="?", default="", metavar="ADDRESS", help="only for this mail address"
    )
    verb.add_argument("--domain", metavar="DOMAIN", help="only addresses of this domain")
    verb.add_argument(
        "--consent",
        choices=("given", "withdrawn", "none"),
        help="only keys with a consent in force, a withdrawn one, or none ever",
    )
    verb.add_argument(
        "--ends-within",
        type=count,
        metavar="DAYS",
        help="only certificates that are valid for fewer days, or not any more",
    )
    verb.set_defaults(run=on_installation(_list))
    add_config(verb)
    add_json(verb)


def add_show(verb: ArgumentParser) -> None:
    """Options of `sceau pki key show`."""
    verb.add_argument("address", metavar="ADDRESS", help="the person's mail address")
    verb.set_defaults(run=on_wiring(_show))
    add_config(verb)
    add_json(verb)


def _list(args: Namespace, installation: Installation) -> int:
    from gateway import clock
    from pki.addresses import canonical, canonical_domain
    from pki.person_list import Standing, Wanted, each_key, each_opening_key

    output = output_of(args)
    now = clock.now()
    wanted = Wanted(
        address=canonical(args.address) if args.address else "",
        domain=canonical_domain(args.domain) if args.domain else "",
        standing=Standing(args.consent) if args.consent else None,
        ends_before=now + timedelta(days=args.ends_within) if args.ends_within else None,
    )
    rows = []
    with installation.database.read() as conn:
        for one in each_key(conn, wanted):
            if output.as_json:
                output.record({"use": "sign", **_as_json(one)})
                continue
            key = one.key
            until = _until(key.not_after, now, output)
            use = output.text("signs")
            rows.append([key.address, use, _standing(one, output), until, key.certificate_sha256])
        # Consents are about signing: who asks for them asks for no other keys.
        opening = each_opening_key(conn, wanted) if wanted.standing is None else ()
        for stored in opening:
            if output.as_json:
                output.record(_opening_json(stored))
                continue
            until = _until(stored.not_after, now, output)
            use = output.text("opens mail")
            rows.append([stored.address, use, "-", until, stored.certificate_sha256])
    rows.sort(key=lambda row: row[0])
    output.table(["address", "use", "consent", "valid until", "fingerprint (SHA-256)"], rows)
    return DONE


def _show(args: Namespace, wiring: Wiring) -> int:
    from gateway import clock
    from pki.addresses import canonical
    from pki.certificate import ParsedCertificate
    from pki.decryption_keys import list_decryption_keys
    from pki.may_sign import judge_signer
    from pki.person_list import Wanted, each_key
    from pki.persons import chain_of

    output = output_of(args)
    address = canonical(args.address)
    now = clock.now()
    trust = wiring.trust.current()
    with wiring.database.read() as conn:
        found = list(each_key(conn, Wanted(address=address)))
        chains = [chain_of(conn, one.key) for one in found]
        opening = list_decryption_keys(conn, address)
    if not found and not opening:
        raise NotFound("no key of {address} is stored", facts={"address": address})
    for one, chain in zip(found, chains, strict=True):
        cert = ParsedCertificate(one.key.certificate)
        answer = judge_signer(cert, chain, address=address, moment=now, trust=trust).answer
        if output.as_json:
            output.record({"use": "sign", **_as_json(one), **_answer_json(answer)})
        else:
            _print(one, answer, now, output)
    for key in opening:
        if output.as_json:
            output.record(_opening_json(key))
        else:
            _print_opening(key, now, output)
    return DONE


def _print_opening(key: StoredDecryptionKey, now: datetime, output: Output) -> None:
    from pki.certificate import ParsedCertificate

    cert = ParsedCertificate(key.certificate)
    output.line(cert.subject_text)
    stored = output.text("{time} by {who}", time=time_text(key.added_at), who=key.added_by)
    left = key.departed_at
    use = (
        output.text("opens mail")
        if left is None
        else output.text("in escrow since {time}: opens nothing here", time=time_text(left))
    )
    rows = [
        ("fingerprint (SHA-256)", key.certificate_sha256),
        ("issuer", cert.issuer_text),
        ("valid until", _until(key.not_after, now, output)),
        ("key stored", stored),
        ("use", use),
    ]
    width = max(len(output.text(name)) for name, _ in rows)
    for name, value in rows:
        output.line(f"  {output.text(name):<{width}}  {value}")


def _opening_json(key: StoredDecryptionKey) -> dict[str, object]:
    left = key.departed_at
    return {
        "use": "decrypt",
        **_key_json(key),
        "departed_at": None if left is None else time_json(left),
    }


def _print(one: Listed, answer: MaySign | Unfit, now: datetime, output: Output) -> None:
    from pki.certificate import ParsedCertificate

    key = one.key
    cert = ParsedCertificate(key.certificate)
    output.line(cert.subject_text)
    rows = [
        ("fingerprint (SHA-256)", key.certificate_sha256),
        ("issuer", cert.issuer_text),
        ("valid until", _until(key.not_after, now, output)),
        (
            "key stored",
            output.text("{time} by {who}", time=time_text(key.added_at), who=key.added_by),
        ),
        ("wrapped by", key.kek),
        ("certificate", _answer(answer, output)),
        ("consent", _standing(one, output)),
    ]
    width = max(len(output.text(name)) for name, _ in rows)
    for name, value in rows:
        output.line(f"  {output.text(name):<{width}}  {value}")
    for consent in one.consents:
        for line in _history(consent, output):
            output.line(f"    {line}")


def _history(consent: Consent, output: Output) -> list[str]:
    """Who did what when, each with the ground; then where it stands in the log."""
    lines = [
        output.text(
            "{time}: {person} agreed, recorded by {who}{ground}",
            time=time_text(consent.given_at),
            person=consent.person,
            who=consent.given_by,
            ground=_ground(consent.ground, output),
        )
    ]
    if consent.withdrawn_at is not None:
        lines.append(
            output.text(
                "{time}: withdrawn, recorded by {who}{ground}",
                time=time_text(consent.withdrawn_at),
                who=consent.withdrawn_by or "-",
                ground=_ground(consent.withdrawn_ground, output),
            )
        )
    if consent.entry_id is not None:
        lines.append(output.text("in the log: sceau archive history {id}", id=consent.entry_id))
    return lines


def _ground(ground: Ground, output: Output) -> str:
    text = f": {ground.basis}" if ground.basis else ""
    if ground.form_sha256:
        text += output.text(" (form {sha256})", sha256=ground.form_sha256)
    return text


def _until(end: datetime, now: datetime, output: Output) -> str:
    until = time_text(end)
    return output.text("{time} (expired)", time=until) if now > end else until


def _standing(one: Listed, output: Output) -> str:
    """The consent in force, else the last one that was withdrawn, in words."""
    if not one.consents:
        return output.text("none: it signs nothing")
    live = live_consent(list(one.consents), one.key.certificate_sha256)
    if live is not None:
        return output.text("of {person}", person=live.person)
    return output.text("withdrawn: it signs nothing")


def _answer(answer: MaySign | Unfit, output: Output) -> str:
    """Whether it may sign now, as far as path and revocation go."""
    from pki.may_sign import MaySign

    if isinstance(answer, MaySign):
        return output.text("may sign; trusted by {anchor}", anchor=answer.anchor)
    reason = output.problem(answer.problem)
    if answer.certain:
        return output.text("must not sign: {reason}", reason=reason)
    return output.text("cannot be told: {reason}", reason=reason)


def _answer_json(answer: MaySign | Unfit) -> dict[str, object]:
    from pki.may_sign import MaySign

    if isinstance(answer, MaySign):
        return {"may_sign": True, "problem": None}
    problem = {"code": answer.problem.code, "text": answer.problem.text}
    return {"may_sign": False if answer.certain else None, "problem": problem}


def _as_json(one: Listed) -> dict[str, object]:
    return {**_key_json(one.key), "consents": [consent_json(each) for each in one.consents]}


def _key_json(key: PersonKey | StoredDecryptionKey) -> dict[str, object]:
    from pki.certificate import ParsedCertificate

    cert = ParsedCertificate(key.certificate)
    return {
        "address": key.address,
        "certificate_sha256": key.certificate_sha256,
        "subject": cert.subject_text,
        "issuer": cert.issuer_text,
        "not_before": time_json(cert.not_before),
        "not_after": time_json(cert.not_after),
        "added": time_json(key.added_at),
        "added_by": key.added_by,
        "kek": key.kek,
    }
