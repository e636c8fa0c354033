"""CompressedData of others and of ours; bombs are refused while they are small."""

from __future__ import annotations

import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smime import cms
from gateway.smime import compressed as compression
from gateway.smime.compressed import LIMIT, Inflated, read_compressed
from pki import der_writing as der
from pki.errors import StructureRefused
from tests.corpora import ROOT, corpus

COMPRESSED_DATA = "1.2.840.113549.1.9.16.1.9"
DATA = "1.2.840.113549.1.7.1"
ZLIB = der.algorithm("1.2.840.113549.1.9.16.3.8")
TEXT = b"Content-Type: text/plain\r\n\r\n" + b"the same words again and again\r\n" * 100


def compressed(
    deflated: bytes,
    *,
    version: int = 0,
    algorithm: bytes = ZLIB,
    content: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    octets = der.octets(deflated) if content is None else content
    explicit = der.element(0xA0, octets)
    inner = der.sequence(
        der.integer(version),
        algorithm,
        der.sequence(der.oid(DATA), explicit),
        *([more] * bool(more)),
    )
    return der.sequence(der.oid(COMPRESSED_DATA), der.element(0xA0, inner))


def inflate(data: bytes, limit: int | None = None) -> Inflated:
    info = cms.content_info(data)
    assert info.type == COMPRESSED_DATA
    return read_compressed(info.content, limit)


def code(data: bytes, limit: int | None = None) -> str:
    with pytest.raises(StructureRefused) as caught:
        inflate(data, limit)
    assert caught.value.problem.text
    return caught.value.problem.code


def test_a_structure_of_rustcrypto() -> None:
    folder = corpus("rustcrypto-cms/cms/tests/examples")

    found = inflate((folder / "compressed_data.bin").read_bytes())

    assert found == Inflated(DATA, (folder / "data.txt").read_bytes())


def test_one_piece_and_several() -> None:
    deflated = zlib.compress(TEXT)
    pieces = [der.octets(deflated[at : at + 7]) for at in range(0, len(deflated), 7)]
    indefinite = b"\x24\x80" + b"".join(pieces) + b"\0\0"

    assert inflate(compressed(deflated)) == Inflated(DATA, TEXT)
    assert inflate(compressed(b"", content=der.element(0x24, *pieces))).content == TEXT
    assert inflate(compressed(b"", content=indefinite)).content == TEXT


def test_the_parameters_may_be_null() -> None:
    null = der.algorithm("1.2.840.113549.1.9.16.3.8", b"\x05\x00")

    assert inflate(compressed(zlib.compress(TEXT), algorithm=null)).content == TEXT


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("size", [0, 1, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, 1_000_000])
def test_every_size_comes_back(level: int, size: int) -> None:
    content = (TEXT * (size // len(TEXT) + 1))[:size]

    assert inflate(compressed(zlib.compress(content, level))).content == content


@given(content=st.binary(max_size=3000), level=st.integers(-1, 9), limit=st.integers(0, 3000))
def test_the_limit_is_met_to_the_octet(content: bytes, level: int, limit: int) -> None:
    data = compressed(zlib.compress(content, level))

    if len(content) > limit:
        assert code(data, limit) == "limits.inflated"
    else:
        assert inflate(data, limit).content == content


STREAM = zlib.compress(TEXT)
FLIPPED = STREAM[:-1] + bytes((STREAM[-1] ^ 1,))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (compressed(STREAM[:-1]), "structure.inflate"),
        (compressed(STREAM[:2]), "structure.inflate"),
        (compressed(b""), "structure.inflate"),
        (compressed(FLIPPED), "structure.inflate"),
        (compressed(b"\x78\x9c" + b"\xff" * 20), "structure.inflate"),
        (compressed(TEXT), "structure.inflate"),
        (compressed(STREAM[2:-4]), "structure.inflate"),  # deflate without the frame of zlib
        (compressed(STREAM + b"\0"), "structure.trailing"),
        (compressed(STREAM + STREAM), "structure.trailing"),
        (compressed(STREAM + bytes(1 << 20)), "structure.trailing"),
        (compressed(STREAM, algorithm=der.algorithm("1.2.3")), "structure.compression"),
        (
            compressed(STREAM, algorithm=der.algorithm(compression.ZLIB, der.integer(9))),
            "structure.compression",
        ),
        (compressed(STREAM, version=1), "structure.asn1"),
        (compressed(STREAM, more=der.integer(0)), "structure.asn1"),
        (compressed(b"", content=der.integer(5)), "structure.asn1"),
        (compressed(b"", content=der.octets(STREAM) * 2), "structure.asn1"),
        (
            der.sequence(
                der.oid(COMPRESSED_DATA),
                der.element(0xA0, der.sequence(der.integer(0), ZLIB, der.sequence(der.oid(DATA)))),
            ),
            "structure.asn1",
        ),
    ],
)  # fmt: skip
def test_what_is_no_compressed_data_is_refused(data: bytes, expected: str) -> None:
    assert code(data) == expected


def test_a_preset_dictionary_is_not_ours() -> None:
    writer = zlib.compressobj(zdict=b"the same words")

    assert code(compressed(writer.compress(TEXT) + writer.flush())) == "structure.inflate"


@given(at=st.integers(0, 200), octets=st.binary(min_size=1, max_size=4), cut=st.integers(0, 200))
def test_damaged_structures_are_read_or_refused(at: int, octets: bytes, cut: int) -> None:
    data = compressed(STREAM)
    damaged = data[:at] + octets + data[at + len(octets) : len(data) - cut]
    try:
        info = cms.content_info(damaged)
        found = read_compressed(info.content)
    except StructureRefused:
        return
    assert found.content == TEXT


def _zeros(size: int) -> bytes:
    writer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    return b"".join((*(writer.compress(piece) for _ in range(size >> 20)), writer.flush()))


def test_a_bomb_is_refused() -> None:
    bomb = compressed(_zeros(200 << 20))

    assert len(bomb) < 300_000
    assert code(bomb) == "limits.inflated"
    assert code(compressed(_zeros(2 << 20)), limit=1 << 20) == "limits.inflated"


_CHILD = """
import sys
from gateway.smime import cms
from gateway.smime.compressed import read_compressed
from pki.errors import StructureRefused
from tests.peak import count_anew, peak
content = cms.content_info(sys.stdin.buffer.read()).content
before = count_anew()
try:
    read_compressed(content)
except StructureRefused as refused:
    print(refused.problem.code, peak() - before)
"""


def test_a_bomb_is_refused_while_it_is_small() -> None:
    """In a process of its own, whose peak is the bomb's. More than 100 MiB would have come out."""
    bomb = compressed(_zeros(200 << 20))

    done = subprocess.run(
        [sys.executable, "-c", _CHILD], input=bomb, capture_output=True, cwd=ROOT, check=True
    )

    found, grown = done.stdout.split()
    assert found == b"limits.inflated"
    assert int(grown) < LIMIT / 10


def test_what_compresses_well_and_is_large_may_pass() -> None:
    """The ratio alone refuses nobody who is small; the size alone refuses nobody who is dense."""
    assert len(inflate(compressed(_zeros(50 << 20))).content) == 50 << 20
