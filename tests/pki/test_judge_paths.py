"""Made-up chains before us and openssl: the same verdict, or one of the reasons that are known.

`python -m tests.judges.paths` asks Bouncy Castle, too, and of thousands of chains.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pki import path_steps
from pki.constraints import NameConstraintState
from pki.crl import Crl
from pki.policies import PolicyState
from tests.judges.paths.compare import openssl_peer
from tests.judges.paths.generate import case
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
    "dates go unchecked": (path_steps, "_check_dates", lambda _cert, _moment: None, {"dates"}),
    "nobody is revoked": (Crl, "find", lambda _self, _cert: None, {"revoked"}),
    "lengths go unchecked": (
        path_steps, "_prepare", lambda _cert, _policies, _names, length: length,
        {"path-length", "not-a-ca", "ca-usage"}),
}  # fmt: skip


@cache
def _traits() -> list[frozenset[str]]:
    return [case(SEED, n).traits for n in range(250)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_ours_is_found(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name, wrong, traits = FAULTS[fault]
    monkeypatch.setattr(where, name, wrong)
    chosen = [n for n, done in enumerate(_traits()) if done & traits][:12]

    found = run(SEED, chosen, [openssl_peer()], tmp_path)

    assert [one for one in found.unclassified if one.ours.valid and not one.theirs.valid]


def test_a_seed_gives_the_same_chains() -> None:
    again = [(case(7, n).traits, len(case(7, n).others), len(case(7, n).crls)) for n in range(20)]
    assert again == [
        (one.traits, len(one.others), len(one.crls)) for one in (case(7, n) for n in range(20))
    ]
    assert len({traits for traits, _, _ in again}) > 10
