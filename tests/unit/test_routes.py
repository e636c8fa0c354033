"""The next hop of an address, as the configuration writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import load
from gateway.routes import Route, Routes
from gateway.smtp.nexthop import NextHop
from tests.unit.config_files import GOOD, write_good


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("a@justice.example", "justice"),
        ("a@lyon.justice.example", "courts"),
        ("a@x.lyon.justice.example", "courts"),
        ("a@paris.justice.example", "paris"),
        ("a@nojustice.example", "onward"),
        ("a@justice.example.evil.example", "onward"),
        ("a@elsewhere.example", "onward"),
    ],
)
def test_the_most_exact_domain_decides(tmp_path: Path, address: str, name: str) -> None:
    more = "".join(
        f'[[routes]]\nname = "{name}"\ndomains = ["{domain}"]\nhost = "{name}.example"\n'
        'tls = "none"\n\n'
        for name, domain in (("courts", "*.justice.example"), ("paris", "paris.justice.example"))
    )
    config = load(write_good(tmp_path, GOOD + "\n" + more))
    routes = Routes(
        [
            Route(each.name, NextHop(host=each.host, port=each.port), each.domains, each.default)
            for each in config.routes
        ]
    )

    found = routes.find(address)

    assert found is not None
    assert found.name == name
