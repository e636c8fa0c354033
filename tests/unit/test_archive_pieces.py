"""Ids in statements: none is lost, and few lengths come to be."""

from __future__ import annotations

from itertools import chain

import pytest

from archive.pieces import pieces


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 511, 512, 513, 1025, 3000])
def test_every_id_is_asked_for_and_nothing_else(count: int) -> None:
    ids = [f"{n:032x}" for n in range(count)]
    found = list(pieces(ids))

    assert set(chain.from_iterable(found)) == set(ids)
    assert sum(len(set(piece)) for piece in found) == count


def test_there_are_few_lengths() -> None:
    lengths = {len(piece) for count in range(2000) for piece in pieces(["x"] * count)}

    assert lengths == {1 << n for n in range(10)}
