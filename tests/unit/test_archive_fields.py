"""Commitments: bound to every bit, blind to what is withheld."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.errors import PayloadMalformed
from archive.fields import (
    Open,
    Withheld,
    commit,
    commitment,
    decode_payload,
    encode_payload,
    field_digest,
    list_names,
    names_agree,
    salted,
    tree_hash,
    withhold,
)

names = st.from_regex(r"[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}", fullmatch=True)
values = st.dictionaries(names, st.binary(max_size=40), min_size=1, max_size=20)


def rfc_9162(inputs: list[bytes]) -> bytes:
    """MTH as RFC 9162 §2.1.1 writes it: split at the largest power of two below n."""
    if not inputs:
        return hashlib.sha256(b"").digest()
    if len(inputs) == 1:
        return hashlib.sha256(b"\0" + inputs[0]).digest()
    k = 1
    while k * 2 < len(inputs):
        k *= 2
    return hashlib.sha256(b"\1" + rfc_9162(inputs[:k]) + rfc_9162(inputs[k:])).digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_tree_is_the_tree_of_the_rfc(inputs: list[bytes]) -> None:
    assert tree_hash(inputs) == rfc_9162(inputs)


@given(names, st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_the_digest_is_the_one_of_the_design(name: str, salt: bytes, value: bytes) -> None:
    n = name.encode()
    long_form = b"sceau/field/1\0" + struct.pack(">I", len(n)) + n + salt
    long_form += struct.pack(">Q", len(value)) + value
    assert field_digest(name, salt, value) == hashlib.sha256(long_form).digest()


@given(values, st.data())
def test_withholding_keeps_the_commitment_and_hides_the_value(values, data) -> None:
    payload = salted(values)
    some = data.draw(st.sets(st.sampled_from(sorted(values))))
    partial = withhold(payload, some)
    assert commitment(partial) == commitment(payload)
    assert decode_payload(encode_payload(partial)) == partial
    assert all(isinstance(partial[name], Withheld) for name in some)


@given(values, st.data())
def test_any_other_value_salt_or_name_has_another_commitment(values, data) -> None:
    payload = salted(values)
    name = data.draw(st.sampled_from(sorted(values)))
    one = payload[name]
    others = [
        {**payload, name: Open(one.salt, one.value + b"\0")},
        {**payload, name: Open(bytes([one.salt[0] ^ 1]) + one.salt[1:], one.value)},
        {k: v for k, v in payload.items() if k != name},
        {**{k: v for k, v in payload.items() if k != name}, name + "x": one},
    ]
    assert commitment(payload) not in [commitment(other) for other in others]


def test_equal_values_have_unlike_digests() -> None:
    first, second = salted({"to": b"a@b"}), salted({"to": b"a@b"})
    assert withhold(first, ["to"]) != withhold(second, ["to"])


@given(st.integers(0, 10_000))
def test_a_flipped_bit_in_a_stored_payload_is_noticed(bit: int) -> None:
    values = {"a": b"1", "b.c": b"22", "d": b""}
    payload = salted({**values, "names": list_names([*values, "e"])})
    payload = {**payload, "e": Withheld(bytes(range(32)))}
    stored = bytearray(encode_payload(payload))
    bit %= len(stored) * 8
    stored[bit // 8] ^= 1 << bit % 8
    try:
        found = decode_payload(bytes(stored))
    except PayloadMalformed:
        return
    assert commitment(found) != commitment(payload) or not names_agree(found)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{} ",
        b'{"a":{"digest":"00"}}',
        b'{"a":{"digest":"' + b"AB" * 32 + b'"}}',
        b'{"a":{"digest":"' + b"ab" * 32 + b'","value":""}}',
        b'{"a":{"salt":"' + b"00" * 31 + b'","value":""}}',
        b'{"a":{"salt":"' + b"00" * 32 + b'","value":"YQ"}}',
        b'{"a":{"salt":"' + b"00" * 32 + b'","value":"YR=="}}',  # other bits, same byte
        b'{"a":{"salt":"' + b"00" * 32 + b'","value":"YQ==\\n"}}',
        b'{"a":{"value":"YQ==","salt":"' + b"00" * 32 + b'"}}',
        b'{"A":{"digest":"' + b"ab" * 32 + b'"}}',
        b'{"b":{"digest":"%b"},"a":{"digest":"%b"}}' % (b"ab" * 32, b"ab" * 32),
        b'{"a":{"digest":"%b"},"a":{"digest":"%b"}}' % (b"ab" * 32, b"ab" * 32),
    ],
)
def test_another_form_of_a_payload_is_refused(data: bytes) -> None:
    with pytest.raises(PayloadMalformed):
        decode_payload(data)


@pytest.mark.parametrize("name", ["", "A", "a b", "a..b", "é", 'a"', "a" * 101, "a\n"])
def test_names_that_could_be_misread_are_refused(name: str) -> None:
    with pytest.raises(PayloadMalformed):
        salted({name: b""})


@given(
    st.dictionaries(st.sampled_from(["a", "b.c", "d-1", "e"]), st.binary(max_size=80)),
    st.dictionaries(st.sampled_from(["w.1", "c"]), st.binary(min_size=32, max_size=32)),
)
def test_what_is_committed_in_one_pass_is_what_the_parts_say(values, digests) -> None:
    withheld = {name: Withheld(digest) for name, digest in digests.items()}
    committed, encoded = commit(values, withheld)
    payload = decode_payload(encoded)
    assert payload == {**payload, **withheld}
    assert {name: one.value for name, one in payload.items() if isinstance(one, Open)} == values
    assert commitment(payload) == committed
    assert encode_payload(payload) == encoded
    salts = [one.salt for one in payload.values() if isinstance(one, Open)]
    assert len(set(salts)) == len(salts)
