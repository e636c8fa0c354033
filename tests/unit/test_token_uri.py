"""PKCS#11 URIs (RFC 7512)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pki.errors import PrivateKeyError
from pki.token_uri import is_token_uri, parse_token_uri

_END = "?module-path=/lib/m.so&pin-source=file:/etc/pin"


def test_all_that_is_known() -> None:
    found = parse_token_uri(
        "pkcs11:token=My%20token;serial=A1;object=cl%C3%A9;id=%01%ab;type=private"
        "?pin-source=file:///etc/sceau/pin&module-path=/usr/lib/m.so"
    )
    assert found.access.token == "My token"
    assert found.access.serial == "A1"
    assert found.access.module == Path("/usr/lib/m.so")
    assert found.access.pin_file == Path("/etc/sceau/pin")
    assert (found.label, found.id) == ("clé", b"\x01\xab")
    assert str(found) == "token My token, key clé, id 01ab"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pkcs11:object=k" + _END, "token is missing"),
        ("pkcs11:token=t?pin-source=file:/p", "module-path is missing"),
        ("pkcs11:token=t?module-path=/m", "pin-source is missing"),
        ("pkcs11:token=t;token=u" + _END, "token stands in it twice"),
        ("pkcs11:token=t;slot-id=1" + _END, "slot-id is not known here"),
        ("pkcs11:token=t;type=cert" + _END, "no private key"),
        ("pkcs11:token=t%2" + _END, "not percent-encoded"),
        ("pkcs11:token=%ff" + _END, "not UTF-8"),
        ("pkcs11:token=t?module-path=/m&pin-source=|cat", "has to name a file"),
        ("pkcs11:token=t?module-path=/m&pin-value=123456", "put it into a file"),
    ],
)
def test_what_is_refused(uri: str, words: str) -> None:
    with pytest.raises(PrivateKeyError, match=words) as refused:
        parse_token_uri(uri)
    assert "123456" not in str(refused.value)


def test_what_is_one() -> None:
    assert is_token_uri("PKCS11:token=x")
    assert not is_token_uri("pkcs11.pem")
