"""Made-up chains before us and openssl: the same verdict, or one of the reasons that are known.

`python -m tests.judges.paths` asks Bouncy Castle, too, and of thousands of chains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pki import path_steps, usage
from pki.constraints import NameConstraintState
from pki.crl import Crl
from pki.crl_entries import Entry
from pki.path_revocation import Witnesses
from pki.policies import PolicyState
from tests.judges.paths.classes import class_of
from tests.judges.paths.compare import Peer, bouncy_castle, compare, openssl_peer
from tests.judges.paths.generate import case, world
from tests.judges.paths.model import DAY, NOW, World
from tests.judges.paths.peers import Java, java_missing, write
from tests.judges.paths.run import run

SEED = 20_261_122


def test_openssl_agrees_or_we_know_why(tmp_path: Path) -> None:
    found = run(SEED, range(150), [openssl_peer()], tmp_path)

    assert [
        (one.case.number, sorted(one.case.traits), one.ours.why, one.theirs.why)
        for one in found.unclassified
    ] == []
    assert found.verdicts["openssl", True, True] >= 40
    assert found.verdicts["openssl", False, False] >= 40


# A fault in ours, as somebody might make it, and the chains that have to do with it.
FAULTS: dict[str, tuple[object, str, Callable[..., Any], set[str]]] = {
    "names go unchecked": (
        NameConstraintState, "violation", lambda _self, _cert: "", {"name-constraints"}),
    "policies go unchecked": (
        PolicyState, "finish", lambda _self, _cert: frozenset(), {"policy-inputs", "no-policies"}),
    "dates go unchecked": (
        path_steps, "_check_dates", lambda _cert, _moment: None, {"dates"}),
    "nobody is revoked": (
        Crl, "find", lambda _self, _cert: None,
        {"revoked", "older-revokes", "newer-revokes", "delta-revokes", "indirect-revokes"}),
    "lengths go unchecked": (
        path_steps, "_prepare", lambda _cert, _policies, _names, length: length,
        {"path-length", "not-a-ca", "ca-usage"}),
    "usages go unchecked": (usage, "_key_usage_problem", lambda _cert, _for: None, {"leaf-usage"}),
    "purposes go unchecked": (
        usage, "extended_usage_problem", lambda _cert: None, {"leaf-eku", "ca-eku"}),
    "addresses go unchecked": (
        usage, "address_problem", lambda _cert, _address: None,
        {"asked-address"}),
    "anybody signs CRLs": (
        Witnesses, "_trusted_crl_signer", lambda _self, _signer, _cert, _anchor: True,
        {"crl-signer-expired", "crl-signer-revoked"}),
}  # fmt: skip


@cache
def _traits() -> list[set[str]]:
    return [world(SEED, n)[0].traits for n in range(3000)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_ours_is_in_no_class(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we say valid by a fault, and openssl refuses, looks like nothing that is known."""
    where, name, wrong, traits = FAULTS[fault]
    chosen = [n for n, done in enumerate(_traits()) if done and done <= traits][:8]
    right = {}
    for number in chosen:
        write(case(SEED, number), tmp_path)
        right[number] = compare(case(SEED, number), openssl_peer(), tmp_path)
    monkeypatch.setattr(where, name, wrong)
    found = []
    for number, before in right.items():
        write(before.case, tmp_path)
        after = compare(before.case, openssl_peer(), tmp_path)
        if after.ours.valid and not before.ours.valid and not after.theirs.valid:
            found.append((number, class_of(after)))

    assert found
    assert [(number, known.key) for number, known in found if known is not None] == []


@pytest.mark.parametrize("trait", ["self-issued", "indirect-quiet", "delta-quiet", "newer-revokes"])
def test_who_stands_in_no_list_and_is_revoked_is_in_no_class(
    trait: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other direction: several CRLs speak, which explains much, and none lists anybody."""
    chosen = [n for n, done in enumerate(_traits()) if done == {trait}][:2]
    monkeypatch.setattr(Crl, "find", lambda _self, _cert: Entry(NOW - DAY, "keyCompromise"))
    found = []
    for number in chosen:
        made = case(SEED, number, (_nobody_is_listed,))
        write(made, tmp_path)
        one = compare(made, openssl_peer(), tmp_path)
        if one.theirs.valid and not one.ours.valid:
            found.append(class_of(one))

    assert found
    assert set(found) == {None}


def _nobody_is_listed(made: World) -> None:
    for cert in [*made.chain, *made.apart]:
        for crl in cert.crls:
            crl.revoked = {}


# Chains of a seed, what was done to them, what only the peer accepts, and the class.
KNOWN = [
    (77, 2395, {"self-issued", "stale-crl"}, "key-clears-itself"),
    (77, 4516, {"indirect-quiet", "revoked"}, "one-crl-is-enough"),
    (77, 4096, {"crl-all-reasons", "delta-revokes"}, "delta-without-base"),
    (1, 781, {"indirect-revokes"}, "certificate-issuer"),
]


@pytest.fixture(scope="module")
def castle() -> Iterator[Peer]:
    if absent := java_missing():
        pytest.skip(f"Bouncy Castle cannot be asked: {absent}")
    java = Java()
    yield bouncy_castle(java)
    java.close()


@pytest.mark.parametrize(("seed", "number", "done", "key"), KNOWN)
def test_what_one_peer_accepts_is_known_by_asking_again(
    seed: int, number: int, done: set[str], key: str, tmp_path: Path, castle: Peer
) -> None:
    made = case(seed, number)
    assert done <= made.traits, "the generator makes other chains now: find one with these traits"
    write(made, tmp_path)
    both = [compare(made, peer, tmp_path) for peer in (openssl_peer(), castle)]
    accepting = [one for one in both if one.theirs.valid]

    assert not both[0].ours.valid
    assert key in [known.key for one in accepting if (known := class_of(one)) is not None]


def test_a_seed_gives_the_same_chains() -> None:
    again = [(case(7, n).traits, len(case(7, n).others), len(case(7, n).crls)) for n in range(20)]
    assert again == [
        (one.traits, len(one.others), len(one.crls)) for one in (case(7, n) for n in range(20))
    ]
    assert len({traits for traits, _, _ in again}) > 10
