"""Paths that may stand between angle brackets, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.smtp.routed import has_route
from gateway.smtp.syntax import is_mailbox


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org",
        "first.last+tag@sub.example.org",
        "!#$%&'*+-/=?^_`{|}~@example.org",
        '"quoted \\" local"@example.org',
        '""@example.org',
        "a@localhost",
        "a@host_name.example.org",
        "a@[192.0.2.1]",
        "a@[IPv6:::1]",
        "é@exämple.org",
        "用户@例子.公司",
        "a" * 64 + "@example.org",
        "a@" + "b" * 63 + ".org",
    ],
)
def test_addresses_that_are_taken(address: str) -> None:
    assert is_mailbox(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a",
        "@example.org",
        "a@",
        "a@b@example.org",
        ".a@example.org",
        "a.@example.org",
        "a..b@example.org",
        "a b@example.org",
        "a@exa mple.org",
        "a@example.org.",
        "a@.example.org",
        "a@-example.org",
        "a@example-.org",
        "a@[1.2.3]",
        "a@[01.2.3.4]",
        "a@[IPv6:fe80::1%eth0]",
        "a@[x-tag:y]",
        "a@[]",
        '"a@example.org',
        '"a"b@example.org',
        '"a\\"@example.org',
        "a<b@example.org",
        "a@example.org>",
        "a\u202eb@example.org",
        "a\u00a0b@example.org",
        "a\u0085@example.org",
        "a\ufeff@example.org",
        "\ud800@example.org",
        "a" * 65 + "@example.org",
        "é" * 33 + "@example.org",
        "a@" + "b" * 64 + ".org",
        "a@" + "b." * 127 + "org",
        "a" * 60 + "@" + ("b" * 60 + ".") * 3 + "example.org",
    ],
)
def test_addresses_that_are_not(address: str) -> None:
    assert not is_mailbox(address)


@given(st.text(max_size=40), st.sampled_from("\r\n\0\t <>\x7f\x1b\u2028"), st.text(max_size=40))
def test_nothing_that_could_end_a_path_is_ever_taken(before: str, bad: str, after: str) -> None:
    for address in (f"{before}{bad}{after}@example.org", f"a@{before}{bad}{after}"):
        if is_mailbox(address):
            # only within quotes, and there only what quotes may hold
            assert address.startswith('"')
            assert bad in " <>"


@pytest.mark.parametrize("separator", ["%", "!", "@", "\uff20", "\ufe6b", "\uff05", "\uff01"])
def test_a_route_may_be_written_in_look_alikes(separator: str) -> None:
    """Software that prepares addresses (RFC 8264) makes these of them."""
    assert has_route(f"amelie{separator}justice.example@interieur.example")
    assert not has_route("amélie.roux@interieur.example")
