"""Sealing: what came in comes out, to the right keys only, and every change is noticed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archive.entry import new_archive_id
from archive.errors import Damaged, NotMine, PayloadMalformed, RecipientRefused
from archive.seal import (
    WorkingUnwrapper,
    Wrap,
    generate_recipient,
    load_private_key,
    load_recipient,
    open_content,
    open_fields,
    seal,
)
from archive.working import WorkingKeys
from archive.wrap import bound
from tests.unit.archive_world import MAIL, MOMENT, World


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("seal")) as world:
        yield world


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=3000))
def test_every_key_gives_back_what_came(world: World, content: bytes) -> None:
    sealed = world.seal(content, {"header.subject": b"s", "header.to": content})
    escrow = load_private_key(world.folder / "escrow.key")
    for key in (world.authority, escrow, world.gateway):
        assert open_content(sealed, key) == content
        assert open_fields(sealed, key)["header.to"].value == content


def test_text_is_stored_smaller_and_noise_is_not_stored_larger(world: World) -> None:
    assert len(world.seal(b"Bonjour. " * 1000).content) < 200
    assert len(world.seal(os.urandom(5000)).content) == 5000 + 1 + 16


def test_nothing_of_the_mail_stands_in_clear(world: World) -> None:
    sealed = world.seal(b"CANARY-BODY" * 9, {"header.subject": b"CANARY-SUBJECT"})
    stored = sealed.content + sealed.fields + b"".join(one.wrapped for one in sealed.wraps)
    assert b"CANARY" not in stored
    assert "CANARY" not in repr(sealed) + repr(world.authority) + repr(
        world.working.current(MOMENT)
    )


@pytest.mark.parametrize("part", ["content", "fields"])
def test_any_flipped_bit_of_the_ciphertext_is_damage(world: World, part: str) -> None:
    sealed = world.seal()
    whole = getattr(sealed, part)
    for position in (0, 1, len(whole) // 2, len(whole) - 1):
        changed = bytearray(whole)
        changed[position] ^= 1
        bad = replace(sealed, **{part: bytes(changed)})
        with pytest.raises(Damaged):
            (open_content if part == "content" else open_fields)(bad, world.authority)


def test_a_ciphertext_or_wrap_of_another_mail_does_not_open(world: World) -> None:
    one, two = world.seal(), world.seal()
    for swapped in (
        replace(one, wraps=two.wraps),
        replace(one, content=two.content),
        replace(one, archive_id=two.archive_id),
        replace(one, content=one.fields),
    ):
        with pytest.raises(Damaged):
            open_content(swapped, world.authority)
    with pytest.raises(Damaged):
        open_content(replace(one, working=two.working), world.gateway)


def test_not_my_key_is_told_apart_from_damage(world: World, tmp_path: Path) -> None:
    generate_recipient("stranger", tmp_path / "s.pub", tmp_path / "s.key")
    stranger = load_private_key(tmp_path / "s.key")
    sealed = world.seal()
    with pytest.raises(NotMine):
        open_content(sealed, stranger)
    assert open_content(sealed, stranger, world.authority) == MAIL
    with pytest.raises(NotMine):
        open_content(replace(sealed, working=None), world.gateway)
    wrapped = sealed.wraps[0].wrapped
    broken = Wrap(sealed.wraps[0].holder, wrapped[:-1] + bytes([wrapped[-1] ^ 1]))
    with pytest.raises(Damaged):
        open_content(replace(sealed, wraps=(broken,)), world.authority)


def test_a_working_key_made_anew_for_the_same_day_is_another_key(
    world: World, tmp_path: Path
) -> None:
    other = WorkingKeys(tmp_path / "working")
    other.current(MOMENT)
    with pytest.raises(NotMine):
        open_content(world.seal(), WorkingUnwrapper(other))


def test_content_that_is_not_the_committed_one_is_never_returned(world: World) -> None:
    sealed = world.seal()
    for other in (
        replace(sealed, content_sha256="0" * 64),
        replace(sealed, content_size=sealed.content_size - 1),
        replace(sealed, content_size=sealed.content_size + 1),
    ):
        with pytest.raises(Damaged):
            open_content(other, world.authority)


def test_a_decompression_bomb_stops_at_the_committed_size(world: World) -> None:
    archive_id = new_archive_id()
    sealed = seal(b"x" * 10, {}, world.recipients, world.working.current(MOMENT), archive_id)
    key = world.authority.unwrap(archive_id, sealed.wraps[0])
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    packed = AESGCM(key).encrypt(
        (1).to_bytes(12, "big"), b"\1" + bomb, bound("content", archive_id)
    )
    with pytest.raises(Damaged):
        open_content(replace(sealed, content=packed), world.authority)


def test_fewer_than_two_different_recipients_are_refused(world: World) -> None:
    working = world.working.current(MOMENT)
    authority = world.recipients[0]
    for chosen in ([], [authority], [authority, authority]):
        with pytest.raises(RecipientRefused, match="at least two"):
            seal(b"", {}, chosen, working, new_archive_id())


def test_a_field_name_that_cannot_be_stored_is_refused(world: World) -> None:
    with pytest.raises(PayloadMalformed):
        world.seal(b"", {"Subject": b""})


@pytest.mark.parametrize("kind", ["mlkem768-x25519", "p256"])
def test_key_files(tmp_path: Path, kind: str) -> None:
    public, private = tmp_path / "a.pub", tmp_path / "a.key"
    generate_recipient("authority", public, private, kind=kind)
    assert private.stat().st_mode & 0o777 == 0o600
    assert load_private_key(private).recipient == load_recipient(public)
    with pytest.raises(FileExistsError):
        generate_recipient("authority", public, private, kind=kind)
    with pytest.raises(RecipientRefused, match="holds a private key"):
        load_recipient(private)
    with pytest.raises(RecipientRefused, match="public file"):
        load_private_key(public)
    windows = tmp_path / "windows.pub"
    windows.write_bytes(public.read_bytes().replace(b"\n", b"\r\n"))
    assert load_recipient(windows) == load_recipient(public)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-30],
        lambda text: text.replace("Kind: mlkem768-x25519", "Kind: rot13"),
        lambda text: text.replace("Kind: mlkem768-x25519", "Kind: p256"),
        lambda text: text.replace("Name: authority", "Name: a b\u00e9"),
        lambda text: text.replace("\n\n", "\n\n" + "A" * 64 + "\n"),
        lambda text: "\x00" * 100,
    ],
)
def test_a_broken_key_file_is_refused_in_words(tmp_path: Path, damage) -> None:
    generate_recipient("authority", tmp_path / "a.pub", tmp_path / "a.key")
    broken = tmp_path / "b.pub"
    broken.write_text(damage((tmp_path / "a.pub").read_text()))
    with pytest.raises(RecipientRefused):
        load_recipient(broken)
