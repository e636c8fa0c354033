"""Base64 is read by the faster of two libraries where both are of one mind."""

from __future__ import annotations

import base64
import binascii
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime import transfer
from gateway.mime.transfer import decode_base64


def careful(data: bytes) -> bytes:
    """As `binascii` reads it, and what is torn as far as it goes."""
    try:
        return binascii.a2b_base64(data)
    except binascii.Error:
        text = re.sub(rb"[^A-Za-z0-9+/]", b"", data)
        tail = text[len(text) & ~3 :]
        end = tail + b"=" * (4 - len(tail)) if len(tail) > 1 else b""
        return binascii.a2b_base64(text[: len(text) & ~3] + end)


PIECES = st.lists(st.sampled_from([b"QUJD", b"RA==", b"REU=", b"\r\n", b"=", b"A", b"-", b" "]))


@pytest.mark.parametrize("large", [5, 8, 1 << 20])
def test_whatever_stands_there(monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(transfer, "_LARGE", large)

    @given(PIECES)
    def same(pieces: list[bytes]) -> None:
        data = b"".join(pieces)
        assert decode_base64(data) == decode_base64(memoryview(data)) == careful(data)

    same()


@pytest.mark.parametrize("lines", [0, 1, 63, 64, 65, 128, 200])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_lines_are_cut_where_python_cuts_them(
    lines: int, more: int, kind: Callable[[bytes], bytes]
) -> None:
    data = random.Random(1).randbytes(max(lines * 57 + more, 0))
    wanted = base64.encodebytes(data).replace(b"\n", b"\r\n")
    assert transfer.encode_base64(kind(data)) == wanted
