"""A right configuration becomes typed objects."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from ipaddress import IPv4Address, ip_network
from pathlib import Path

import pytest

from gateway.config import Language, Tls, load
from gateway.policy import Crypto, Decision, Encryption, Mail, Pattern, WithoutCertificate
from pki.models import Purpose
from tests.unit.config_files import GOOD, write_good


def test_every_value_arrives_with_its_type(tmp_path: Path) -> None:
    config = load(write_good(tmp_path))

    assert config.gateway.organisation == "interior"
    assert config.gateway.domains == ("interior.example", "police.interior.example")
    assert config.gateway.language is Language.FRENCH
    assert config.database.url == f"sqlite:///{tmp_path}/data/sceau.db"
    assert config.listen.address == IPv4Address("127.0.0.1")
    assert config.relays[0].networks == (ip_network("10.1.2.3/32"), ip_network("2001:db8::/64"))
    assert config.archive.recipients == (tmp_path / "a.pub", tmp_path / "b.pub")
    assert config.pki.intermediates == (tmp_path / "anchors",)
    anchor = config.pki.anchors[0]
    assert anchor.sha256 == "5f" * 32
    assert anchor.purposes == (Purpose.ENCRYPT,)
    assert anchor.domains == ("justice.example", ".justice.example")
    assert anchor.revocation == timedelta(hours=24)
    assert config.pki.fetch.allow == ("crl.justice.example:80",)
    assert config.seals[0].password_file == tmp_path / "keys/seal.password"
    rule = config.policy.rules[0]
    assert rule.sender == (Pattern("press@interior.example"),)
    assert rule.recipient == (Pattern("@news.example"), Pattern("*.news.example"))
    assert rule.encryption is Encryption.IF_POSSIBLE
    assert rule.without_certificate is WithoutCertificate.SEND_SIGNED
    assert config.policy.partners[0].crypto is Crypto.MODERN
    assert config.routes[0].tls is Tls.VERIFIED


def test_what_is_not_said_has_the_documented_default(tmp_path: Path) -> None:
    config = load(write_good(tmp_path))

    assert config.listen.max_size == 50_000_000
    assert config.listen.timeout == timedelta(minutes=5)
    assert config.listen.require_tls is False
    assert config.queue.retry[0] == timedelta(minutes=5)
    assert config.queue.expire == timedelta(days=5)
    assert config.workers.intake == "auto"
    assert config.pki.crls[0].every == timedelta(hours=1)
    assert config.routes[0].port == 25


def test_the_loaded_policy_decides(tmp_path: Path) -> None:
    policy = load(write_good(tmp_path)).policy.policy()

    decision = policy.decide(Mail("minister@interior.example"), "judge@justice.example")
    assert isinstance(decision, Decision)

    assert (decision.rule, decision.encryption) == ("justice", Encryption.REQUIRED)
    assert decision.without_certificate is WithoutCertificate.HOLD
    assert decision.crypto is Crypto.MODERN
    assert decision.route == "justice"


def test_paths_are_relative_to_the_file_not_to_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_good(tmp_path)
    monkeypatch.chdir(tmp_path.parent)

    config = load(Path(tmp_path.name) / "sceau.toml")

    assert config.archive.index == tmp_path / "data/index"


def test_a_star_alone_lets_an_anchor_vouch_for_every_domain(tmp_path: Path) -> None:
    text = GOOD.replace('domains = ["justice.example", "*.justice.example"]', 'domains = ["*"]')

    assert load(write_good(tmp_path, text)).pki.anchors[0].domains == ()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1 B", 1),
        ("5kB", 5_000),
        ("50 MB", 50_000_000),
        ("1 GB", 1_000_000_000),
        ("1 KiB", 1024),
        ("50 MiB", 52_428_800),
        ("1 GiB", 1_073_741_824),
    ],
)
def test_sizes(tmp_path: Path, written: str, meant: int) -> None:
    text = GOOD.replace("port = 10025", f'max_size = "{written}"')

    assert load(write_good(tmp_path, text)).listen.max_size == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("24h", timedelta(days=1)),
        ("5 d", timedelta(days=5)),
    ],
)
def test_durations(tmp_path: Path, written: str, meant: timedelta) -> None:
    text = GOOD.replace("port = 10025", f'timeout = "{written}"')

    assert load(write_good(tmp_path, text)).listen.timeout == meant


def test_international_domains_and_capitals_become_one_form(tmp_path: Path) -> None:
    text = GOOD.replace('"@news.example", "*.news.example"', '"@MÜNCHEN.Example"')

    rule = load(write_good(tmp_path, text)).policy.rules[0]

    assert rule.recipient == (Pattern("@xn--mnchen-3ya.example"),)


def test_objects_cannot_be_changed(tmp_path: Path) -> None:
    config = load(write_good(tmp_path))

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.listen.port = 25  # type: ignore[misc]


@pytest.mark.parametrize("url", ["ldap://127.0.0.1:3389", "ldap://[::1]", "ldap://localhost"])
def test_a_directory_on_this_machine_may_be_asked_without_tls(tmp_path: Path, url: str) -> None:
    text = GOOD.replace("ldaps://ldap.justice.example", url)

    assert load(write_good(tmp_path, text)).pki.directories[0].url == (url,)


def test_places_to_fetch_from_are_as_the_fetcher_compares_them(tmp_path: Path) -> None:
    text = GOOD.replace("http://crl.justice.example/", "http://[::1]:8080/").replace(
        '"crl.justice.example:80"', '"CRL.Justice.example:443", "[::1]:8080"'
    )

    allow = load(write_good(tmp_path, text)).pki.fetch.allow

    assert allow == ("crl.justice.example:443", "::1:8080")
