"""`sceau check`: whether persons can sign: the key-encryption keys, certificates, consents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from gateway.check.finding import Finding, error, good, unknown, warning
from gateway.keks import place_of
from gateway.signing_watch import People, look_at_all
from gateway.wiring import Wiring
from pki.decryption_keys import opening_ends
from pki.errors import KekTrouble
from pki.kek import Kek, prove
from pki.person_list import count_by_kek, ending, without_usable_key

_SOON = timedelta(days=30)
_NAMED = 3
_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def findings(wiring: Wiring, moment: datetime) -> Iterator[Finding]:
    """All about persons. Nothing is changed. Raises PrivateKeyError (a key file)."""
    section = wiring.config.pki
    keks = wiring.keks
    with wiring.database.read() as conn:
        counts = count_by_kek(conn)
        ended, first_ended = ending(
            conn, datetime.min.replace(tzinfo=moment.tzinfo), moment, _NAMED
        )
        soon, first_soon = ending(conn, moment, moment + _SOON, _NAMED)
        lacking, first_lacking = without_usable_key(conn, moment, _NAMED)
        closing, first_closing = opening_ends(conn, moment, moment + _SOON, _NAMED)
    if closing:
        yield warning(
            "persons",
            "persons.opening-ends",
            "the last certificates by which people are written to end within 30 days, people: "
            "{count}: {names}",
            meaning="their partners stop encrypting, or go on with a certificate that is over; "
            "the keys stay and open what was sent",
            advice="get new ones, import them (sceau pki key import --use decrypt), publish them",
            **_named(closing, [f"{address} ({end:%Y-%m-%d})" for address, end in first_closing]),
        )
    yield _proved(keks.current, place_of(section.key_encryption_key))
    if section.former_key_encryption_key is not None:
        left = counts.get(keks.former[0].name, 0)
        if left:
            yield _proved(keks.former[0], place_of(section.former_key_encryption_key))
        yield _former(left)
    known = {kek.name for kek in (keks.current, *keks.former)}
    yield from _unknown({name: n for name, n in counts.items() if name not in known})
    if soon:
        yield warning(
            "persons",
            "persons.ending",
            "{count} certificates that sign for people end within 30 days: {names}",
            **_named(soon, [f"{address} ({end:%Y-%m-%d})" for address, end in first_soon]),
            advice="get new ones and import them: "
            "sceau pki key list --consent given --ends-within 30",
        )
    if lacking:
        yield warning(
            "persons",
            "persons.no-certificate",
            "{count} people agreed to be signed for and have no valid certificate: {names}",
            **_named(lacking, first_lacking),
            advice="the seal signs for them; import a new key and record a consent for it, or "
            "withdraw",
        )
    people = look_at_all(wiring.database.read, wiring.trust.current(), moment)
    yield from _may_sign(people)
    if ended and not lacking:
        yield good(
            "persons",
            "{count} certificates have ended; each of these people has a newer one: {names}",
            **_named(ended, [address for address, _ in first_ended]),
        )
    if counts and not (soon or lacking or people.unfit or people.cannot_tell):
        yield good("persons", "{count} keys are stored", count=str(sum(counts.values())))


def _may_sign(people: People) -> Iterator[Finding]:
    """Path and revocation of those whose certificates are still valid."""
    refused = {
        address: reason.code
        for address, reason in people.refused.items()
        if reason.code != "path.expired"  # told above
    }
    if refused:
        yield error(
            "persons",
            "persons.refused",
            "people agreed to be signed for, and their certificates must not sign: {names}",
            names=_reasons(refused),
            meaning="the seal signs for them where a rule says person; where it says person-only "
            "the mail is held",
            advice="sceau pki key show ADDRESS says why; import a new key, or withdraw",
        )
    if people.cannot_tell:
        unknown_ = {address: reason.code for address, reason in people.unknown.items()}
        yield unknown(
            "persons",
            "persons.cannot-tell",
            "whether the certificates of {count} people are revoked cannot be told: {names}",
            count=str(people.cannot_tell),
            names=_reasons(unknown_),
            meaning="mail that they are to sign waits",
            advice="sceau pki crl list, then sceau pki crl refresh",
        )


def _reasons(people: dict[str, str]) -> str:
    first = [f"{address} ({code})" for address, code in list(people.items())[:_NAMED]]
    return ", ".join(first) + (", …" if len(people) > _NAMED else "")


def _proved(kek: Kek, place: str) -> Finding:
    try:
        prove(kek)
    except KekTrouble as trouble:
        # Which of the two it is, a token cannot say: mail of people waits either way.
        return error(
            "key-encryption key",
            trouble.problem.code,
            trouble.problem.template,
            meaning="mail that people are to sign waits until it can be used",
            **trouble.problem.facts,
        )
    return good("key-encryption key", "{place} wraps and opens", place=place)


def _former(left: int) -> Finding:
    if left:
        return warning(
            "key-encryption key",
            "kek.former-used",
            "{count} keys are still wrapped by the former key-encryption key",
            count=str(left),
            advice="sceau pki kek rotate",
        )
    return warning(
        "key-encryption key",
        "kek.former-unused",
        "no key is wrapped by the former key-encryption key any more",
        advice="take pki.former_key_encryption_key out of the configuration",
    )


def _unknown(counts: dict[str, int]) -> Iterator[Finding]:
    for name, number in counts.items():
        yield error(
            "key-encryption key",
            "kek.unknown",
            "{count} keys are wrapped by {kek}, which is not configured: they sign nothing",
            count=str(number),
            kek=name,
            advice="name it as pki.former_key_encryption_key, then sceau pki kek rotate",
        )


def _named(number: int, first: list[str]) -> dict[str, str]:
    names = ", ".join(first)
    return {"count": str(number), "names": names + (", …" if number > len(first) else "")}
