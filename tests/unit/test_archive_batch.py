"""Batch keys: cheaper, and nothing that was promised of a wrap is given up."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from archive.batch import BatchKeys, batch_key
from archive.entry import new_archive_id
from archive.errors import Damaged
from archive.seal import Wrap, open_content, seal
from tests.unit.archive_world import MOMENT, World


@pytest.fixture
def world(tmp_path: Path):
    with World(tmp_path) as world:
        yield world


def test_mails_of_one_batch_open_each_for_itself_and_none_by_the_wrap_of_another(world) -> None:
    batch = batch_key(world.recipients)
    working = world.working.current(MOMENT)
    one, two = (seal(body, {}, batch, working, new_archive_id()) for body in (b"one", b"two"))
    assert (open_content(one, world.authority), open_content(two, world.authority)) == (
        b"one",
        b"two",
    )
    with pytest.raises(Damaged):
        open_content(replace(one, wraps=two.wraps), world.authority)
    authority, escrow = one.wraps
    swapped = Wrap(authority.holder, authority.wrapped[:-60] + escrow.wrapped[-60:])
    with pytest.raises(Damaged):
        open_content(replace(one, wraps=(swapped,)), world.authority)


@pytest.mark.parametrize("length", [0, 59, 60, 61, 500])
def test_a_wrap_of_any_length_is_refused_as_damage(world: World, length: int) -> None:
    sealed = world.seal()
    broken = Wrap(sealed.wraps[0].holder, os.urandom(length))
    with pytest.raises(Damaged):
        open_content(replace(sealed, wraps=(broken,)), world.authority)


def test_a_batch_key_ends_with_the_mails_it_is_for(world: World) -> None:
    keys = BatchKeys(world.recipients)
    with keys.lease() as first:
        with keys.lease() as second:
            assert second is first
        with keys.lease() as third:
            assert third is first
    with keys.lease() as later:
        assert later is not first
    assert keys._key is None


def test_a_batch_key_wraps_256_mails_at_most(world: World) -> None:
    keys = BatchKeys(world.recipients)
    seen = set()
    with keys.lease():
        for _ in range(600):
            with keys.lease() as key:
                seen.add(key.encapsulated)
    assert len(seen) == 3
