"""`sceau check`: what it asks, and that it does not cry wolf."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway import check
from gateway.check import Grade
from pki.addresses import canonical
from tests.pki_maker import NOW


@pytest.mark.parametrize("domain", ["justice.example", ".justice.example"])
def test_a_directory_for_all_domains_below_one_can_be_tried(
    domain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The configuration gives back "*.justice.example" as ".justice.example"."""
    asked: list[str] = []
    directory = SimpleNamespace(name="justice", domains=(domain,), url="ldaps://ldap")
    wiring: Any = SimpleNamespace(
        config=SimpleNamespace(pki=SimpleNamespace(directories=[directory])),
        directories=[SimpleNamespace(search=lambda address: asked.append(canonical(address)))],
    )
    only = [one for one in check._CHECKS if one[0] == "directories"]
    monkeypatch.setattr(check, "_CHECKS", only)
    (finding,) = check.run_checks(wiring, moment=NOW)
    assert finding.grade is Grade.GOOD
    assert asked == ["sceau-check@justice.example"]
