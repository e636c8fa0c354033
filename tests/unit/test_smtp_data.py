"""Reading the mail after DATA: equal to a plain line by line reader, and never fooled."""

from __future__ import annotations

import ast
import itertools
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.smtp.data import DataScanner, double_dots, has_line_over, unsafe_octets
from tests.corpora import corpus

FOLLOWING = b"QUIT\r\n"


def scan(chunks: list[bytes], *, max_size: int = 10**6, max_line: int = 10**5) -> tuple[str, bytes]:
    """("250" or a refusal's code and status, content), as a session would have it."""
    scanner = DataScanner(max_size, max_line)
    buffer = bytearray()
    done = False
    for chunk in chunks:
        buffer += chunk
        if not done:
            done = scanner.scan(buffer)
    assert done, "the end was not found"
    assert buffer == FOLLOWING, "what follows the mail must stay for the next command"
    try:
        return "250", scanner.content()
    except Refusal as refusal:
        return f"{refusal.code} {refusal.status}", b""


def by_lines(stream: bytes, max_size: int, max_line: int) -> tuple[str, bytes]:
    """The same by the book, line by line (RFC 5321 §4.5.2)."""
    lines = []
    while True:
        line, _, stream = stream.partition(b"\r\n")
        if line == b".":
            break
        lines.append(line[1:] if line.startswith(b".") else line)
    content = b"".join(line + b"\r\n" for line in lines)
    if len(content) > max_size:
        return "552 5.3.4", b""
    if any(c in line for line in lines for c in (b"\r", b"\n", b"\0")):
        return "550 5.6.0", b""
    if any(len(line) > max_line for line in lines):
        return "550 5.6.0", b""
    return "250", content


PIECES = st.sampled_from(
    [b"\r\n", b"\r\n", b".", b"..", b"\r", b"\n", b"\0", b"a", b"text ", b"\r\n.", b"\xe9", b".\r"]
)


@settings(max_examples=400)
@given(
    pieces=st.lists(PIECES, max_size=40),
    cuts=st.lists(st.integers(0, 120), max_size=12),
    max_size=st.integers(1, 80),
    max_line=st.integers(1, 12),
)
def test_it_reads_as_a_line_by_line_reader_does_however_the_stream_is_cut(
    pieces: list[bytes], cuts: list[int], max_size: int, max_line: int
) -> None:
    stream = b"".join(pieces) + b"\r\n.\r\n"
    # The pieces may have an end marker of their own: the mail ends at the first.
    end = (b"\r\n" + stream).index(b"\r\n.\r\n") + 3
    stream = stream[:end] + FOLLOWING
    places = sorted({0, *(min(c, len(stream)) for c in cuts), len(stream)})
    chunks = [stream[a:b] for a, b in itertools.pairwise(places)]
    got = scan(chunks, max_size=max_size, max_line=max_line)
    assert got == by_lines(stream, max_size, max_line)


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
def test_only_crlf_dot_crlf_ends_a_mail(step: int) -> None:
    for row in corpus("smtp-smuggling/EOD.tsv").read_text().splitlines():
        if row.startswith("#") or not row:
            continue
        name, escaped = row.split("\t")
        sequence: bytes = ast.literal_eval(f'b"{escaped}"')
        stream = b"From: a@x\r\n\r\nfirst" + sequence + b"MAIL FROM:<evil@x>\r\n.\r\n" + FOLLOWING
        chunks = [stream[i : i + step] for i in range(0, len(stream), step)]
        verdict, content = scan(chunks)
        # One mail, and one that is refused: no reading of it by a server behind us can differ.
        assert verdict == "550 5.6.0", name
        assert content == b""


@pytest.mark.parametrize(
    ("stream", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\r\n...b\r\n.\r\n", b"a\r\n..b\r\n"),
    ],
)
def test_dots_at_the_start_of_lines(stream: bytes, content: bytes) -> None:
    assert scan([stream + FOLLOWING]) == ("250", content)
    assert double_dots(content).endswith(b"\r\n") or content == b""


@given(st.lists(st.sampled_from([b".", b"..", b"a.", b".b", b"", b"text"]), max_size=20))
def test_what_is_doubled_is_undoubled(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    assert scan([double_dots(content) + b".\r\n" + FOLLOWING]) == ("250", content)


def test_the_size_is_counted_without_doubled_dots() -> None:
    content = b".\r\n" * 1000
    stream = double_dots(content) + b".\r\n" + FOLLOWING
    assert scan([stream], max_size=3000)[0] == "250"
    assert scan([stream], max_size=2999)[0] == "552 5.3.4"


def test_what_is_too_large_is_not_kept_in_memory() -> None:
    scanner = DataScanner(max_size=10_000, max_line=1000)
    buffer = bytearray()
    most = 0
    for _ in range(2000):
        buffer += b"x" * 98 + b"\r\n"
        assert not scanner.scan(buffer)
        most = max(most, len(buffer))
    buffer += b".\r\n" + FOLLOWING
    assert scanner.scan(buffer)
    assert buffer == FOLLOWING
    assert most < 14_000
    with pytest.raises(Refusal) as caught:
        scanner.content()
    assert (caught.value.code, caught.value.status) == (552, "5.3.4")


@given(
    lengths=st.lists(st.integers(0, 30), max_size=30),
    limit=st.integers(1, 30),
)
def test_the_longest_line_is_found_without_walking_lines(lengths: list[int], limit: int) -> None:
    data = b"".join(b"x" * n + b"\r\n" for n in lengths)
    assert has_line_over(data, limit) == any(n > limit for n in lengths)


@given(
    pieces=st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"a", b"\0"]), max_size=14),
    step=st.integers(2, 5),
)
def test_unsafe_octets_are_found_wherever_the_pieces_are_cut(
    pieces: list[bytes], step: int
) -> None:
    data = b"".join(pieces)
    rest = data.replace(b"\r\n", b"")
    with mock.patch("gateway.mime.lines._STEP", step):
        assert bool(unsafe_octets(data)) == any(c in rest for c in b"\r\n\0")


def test_fifty_received_fields_are_a_loop_but_not_in_the_body() -> None:
    def mail(fields: int) -> bytes:
        return b"RECEIVED: from x\r\n" * fields + b"Subject: s\r\n\r\n" + b"Received: y\r\n" * 80

    assert scan([mail(49) + b".\r\n" + FOLLOWING])[0] == "250"
    assert scan([mail(50) + b".\r\n" + FOLLOWING])[0] == "554 5.4.6"
