"""The 7-bit form: nothing a relay has a reason to change, everything a reader sees unchanged."""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mime.canonical import CannotConvert, to_7bit
from gateway.mime.transfer import decode, encode_base64, encode_quoted_printable


def _leaf(body: bytes, kind: bytes = b"text/plain; charset=utf-8", cte: bytes = b"") -> bytes:
    label = b"Content-Transfer-Encoding: " + cte + b"\r\n" if cte else b""
    return b"Content-Type: " + kind + b"\r\n" + label + b"\r\n" + body


def _multipart(*parts: bytes, kind: bytes = b"mixed", fields: bytes = b"") -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    return b"Content-Type: multipart/" + kind + b"; boundary=b\r\n" + fields + b"\r\n" + body


def _contents(entity: bytes) -> list[tuple[str, bytes]]:
    """Type and decoded octets of every leaf, as Python's email package reads them (a judge)."""
    message = email.message_from_bytes(entity, policy=email.policy.compat32)
    return [
        (part.get_content_type(), bytes(part.get_payload(decode=True)))
        for part in message.walk()
        if not part.is_multipart()
    ]


def _safe(entity: bytes) -> bool:
    return (
        entity.isascii()
        and b"\0" not in entity
        and max(map(len, entity.split(b"\r\n"))) <= 998
        and not re.search(rb"\r\nFrom ", entity)
    )


CLEAN = [
    _leaf(b"plain\r\n"),
    b"\r\nno fields\r\n",
    _leaf(b"=C3=A9\r\n", cte=b"quoted-printable"),
    _leaf(encode_base64(bytes(range(256)) * 40), b"application/pdf", b"base64"),
    _multipart(
        _leaf(b"a\r\n"),
        _multipart(_leaf(b"b\r\n"), kind=b"alternative")
        .replace(b"--b", b"--c")
        .replace(b"=b", b"=c"),
    ),
    _leaf(b"x" * 998 + b"\r\n"),
]


@pytest.mark.parametrize("entity", CLEAN)
def test_what_survives_is_not_touched(entity: bytes) -> None:
    result, changes = to_7bit(entity)

    assert result is entity
    assert changes == ()


FRAGILE = [
    _leaf("été\r\n".encode(), cte=b"8bit"),
    _leaf("été\r\n".encode()),
    "\r\nété sans champ\r\n".encode(),
    _leaf(b"x" * 999 + b"\r\n"),
    _leaf(b"x" * 100_000 + b"\r\n"),
    _leaf(b"From the start\r\n"),
    _leaf(b"a\r\nFrom here on\r\n"),
    _leaf(b"-- \r\nsignature\r\n"),
    _leaf(b"tab\t\r\nend "),
    _leaf(b"{\r\nFrom \r\n", b"application/json"),
    _leaf(b"a\0b\r\n"),
    _leaf("日本語のメール\r\n".encode("shift_jis") * 5, b"text/plain; charset=shift_jis"),
    _leaf(bytes(range(14, 256)) * 30, b"application/octet-stream", b"binary"),
    _leaf(encode_base64(b"x" * 3000).replace(b"\r\n", b"") + b"\r\n", b"image/png", b"base64"),
    _multipart(
        _leaf("é\r\n".encode()), _leaf(b"clean\r\n"), fields=b"Content-Transfer-Encoding: 8bit\r\n"
    ),
    _multipart(
        _leaf(b"in\r\n" + "é".encode() * 300),
        b"Content-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\n" + "é\r\n".encode(),
    ),
]


@pytest.mark.parametrize("entity", FRAGILE, ids=range(len(FRAGILE)))
def test_what_does_not_survive_is_encoded_and_reads_the_same(entity: bytes) -> None:
    result, changes = to_7bit(entity)

    assert _safe(result)
    assert _contents(result) == _contents(entity)
    assert changes
    assert to_7bit(result) == (result, ())


def test_each_transformation_names_part_labels_and_hashes() -> None:
    good, bad = _leaf(b"clean\r\n"), _leaf("été\r\n".encode(), cte=b"8bit")
    entity = _multipart(good, bad)

    result, (change,) = to_7bit(entity)

    new = result.split(b"--b\r\n")[2].partition(b"\r\n--b--")[0]
    assert (change.part, change.before, change.after) == ("2", "8bit", "base64")
    assert change.sha256_before == hashlib.sha256(bad).hexdigest()
    assert change.sha256_after == hashlib.sha256(new).hexdigest()
    assert result == entity.replace(bad, new)  # everything around it kept its octets


def test_mostly_ascii_text_stays_readable() -> None:
    entity = _leaf("Une réunion aura lieu demain dans la grande salle.\r\n".encode() * 3)

    result, (change,) = to_7bit(entity)

    assert change.after == "quoted-printable"
    assert b"Une r=C3=A9union aura lieu demain" in result


def test_labels_go_where_nothing_needs_them() -> None:
    """Relays without 8BITMIME convert by label, whatever is inside."""
    entity = _multipart(
        _leaf(b"clean\r\n", cte=b"8bit"), fields=b"Content-Transfer-Encoding: binary\r\n"
    )

    result, changes = to_7bit(entity)

    assert b"8bit" not in result
    assert b"binary" not in result
    assert [(one.part, one.after) for one in changes] == [("1", "7bit"), ("", "7bit")]


SIGNED = _multipart(
    _leaf("é\r\n".encode()), _leaf(b"sig", b"application/pkcs7-signature"), kind=b"signed"
)


@pytest.mark.parametrize(
    ("entity", "part"),
    [
        (SIGNED, "1"),
        (
            _multipart(
                _leaf("é\r\n".encode()), SIGNED.replace(b"--b", b"--c").replace(b"=b", b"=c")
            ),
            "2.1",
        ),
        (_multipart(_leaf(b"x" * 2000), kind=b"encrypted"), "1"),
        (_leaf("é".encode(), b"message/delivery-status"), ""),
        (_leaf("é".encode(), b"message/partial"), ""),
        (_leaf("é".encode(), cte=b"x-uuencode"), ""),
        (_multipart(_leaf(b"x"), fields="Content-Description: é\r\n".encode()), ""),
        (_multipart(_leaf(b"x")).replace(b"\r\n\r\n--b", "\r\n\r\né\r\n--b".encode(), 1), ""),
        (_multipart("Content-Type: text/plain; name=é\r\n\r\nx".encode()), "1"),
    ],
)
def test_what_must_not_be_changed_is_refused_by_name(entity: bytes, part: str) -> None:
    with pytest.raises(CannotConvert) as refusal:
        to_7bit(entity)

    assert refusal.value.part == part


def test_a_signed_part_that_survives_is_left_alone_even_with_fragile_lines() -> None:
    signed = SIGNED.replace("é".encode(), b"From a \r\nFrom b \r\n")
    entity = _multipart(
        _leaf("é\r\n".encode()), signed.replace(b"--b", b"--c").replace(b"=b", b"=c")
    )

    result, (change,) = to_7bit(entity)

    assert change.part == "1"
    assert signed.replace(b"--b", b"--c").replace(b"=b", b"=c") in result


def test_hostile_nesting_and_numbers_end_soon() -> None:
    started = time.process_time()
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(2000)
    )
    with pytest.raises(CannotConvert, match="deep"):
        to_7bit(nested)
    with pytest.raises(CannotConvert, match="deep"):
        to_7bit(b"Content-Type: message/rfc822\r\n\r\n" * 5000)
    many = _multipart(*[b"\r\nx "] * 20_000)
    assert len(to_7bit(many)[1]) == 20_000
    to_7bit(_leaf(b"a" * 5_000_000))

    assert time.process_time() - started < 5


@given(st.binary(max_size=300), st.sampled_from([b"text/plain", b"application/x"]))
def test_any_leaf_reads_the_same(content: bytes, kind: bytes) -> None:
    body = re.sub(rb"\r\n|\r|\n", b"\r\n", content)
    entity = _leaf(body, kind)

    result, _ = to_7bit(entity)

    assert _safe(result)
    head, _, after = result.partition(b"\r\n\r\n")
    label = re.search(rb"Encoding: (\S+)", head)
    assert decode(after, label[1].decode() if label else "7bit") == body


@given(
    st.lists(
        st.sampled_from([b"a", b" ", b"\t", b"=", b"\xe9", b"From ", b".", b"\r\n", b"x" * 75])
    )
)
def test_quoted_printable_against_the_standard_library(pieces: list[bytes]) -> None:
    import quopri

    text = b"".join(pieces)
    encoded = encode_quoted_printable(text)

    assert quopri.decodestring(encoded) == text
    for line in encoded.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.endswith((b" ", b"\t"))
        assert not line.startswith(b"From ")
