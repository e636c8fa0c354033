"""`sceau check`: whether persons can sign: the key-encryption keys, certificates, consents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from gateway.check import Finding, Grade
from gateway.keks import place_of
from gateway.wiring import Wiring
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
    yield _proved(keks.current, place_of(section.key_encryption_key))
    if section.former_key_encryption_key is not None:
        left = counts.get(keks.former[0].name, 0)
        if left:
            yield _proved(keks.former[0], place_of(section.former_key_encryption_key))
        yield _former(left)
    known = {kek.name for kek in (keks.current, *keks.former)}
    yield from _unknown({name: n for name, n in counts.items() if name not in known})
    if soon:
        yield Finding(
            "persons",
            Grade.WARNING,
            "{count} certificates that sign for people end within 30 days: {names}",
            _named(soon, [f"{address} ({end:%Y-%m-%d})" for address, end in first_soon]),
            "get new ones and import them: sceau pki key list --consent given --ends-within 30",
        )
    if lacking:
        yield Finding(
            "persons",
            Grade.WARNING,
            "{count} people agreed to be signed for and have no valid certificate: {names}",
            _named(lacking, first_lacking),
            "the seal signs for them; import a new key and record a consent for it, or withdraw",
        )
    elif ended:
        yield Finding(
            "persons",
            Grade.GOOD,
            "{count} certificates have ended; each of these people has a newer one: {names}",
            _named(ended, [address for address, _ in first_ended]),
        )
    if counts and not soon and not lacking:
        total = str(sum(counts.values()))
        yield Finding("persons", Grade.GOOD, "{count} keys are stored", {"count": total})


def _proved(kek: Kek, place: str) -> Finding:
    try:
        prove(kek)
    except KekTrouble as error:
        # Which of the two it is, a token cannot say: mail of people waits either way.
        return Finding(
            "key-encryption key",
            Grade.BAD,
            error.problem.template,
            error.problem.facts,
            "mail that people are to sign waits until it can be used",
        )
    return Finding("key-encryption key", Grade.GOOD, "{place} wraps and opens", {"place": place})


def _former(left: int) -> Finding:
    if left:
        return Finding(
            "key-encryption key",
            Grade.WARNING,
            "{count} keys are still wrapped by the former key-encryption key",
            {"count": str(left)},
            "sceau pki kek rotate",
        )
    return Finding(
        "key-encryption key",
        Grade.WARNING,
        "no key is wrapped by the former key-encryption key any more",
        advice="take pki.former_key_encryption_key out of the configuration",
    )


def _unknown(counts: dict[str, int]) -> Iterator[Finding]:
    for name, number in counts.items():
        yield Finding(
            "key-encryption key",
            Grade.BAD,
            "{count} keys are wrapped by {kek}, which is not configured: they sign nothing",
            {"count": str(number), "kek": name},
            "name it as pki.former_key_encryption_key, then sceau pki kek rotate",
        )


def _named(number: int, first: list[str]) -> dict[str, str]:
    names = ", ".join(first)
    return {"count": str(number), "names": names + (", …" if number > len(first) else "")}
