"""docs/senders.md and samples/senders: the same text, a configuration that loads, real commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.cli import user
from gateway.cli.usage import SceauParser
from gateway.config import AuthDemand, ConfigFaults, load
from gateway.errors import SceauError
from gateway.wiring import Wiring
from tests.corpora import ROOT
from tests.unit.config_files import FILES, GOOD, write_good

TEXT = (ROOT / "docs" / "senders.md").read_text("utf-8")
SAMPLES = ROOT / "samples" / "senders"


def sample() -> str:
    """A whole configuration with the sample in the place of its own [listen] and [[relays]]."""
    own = (SAMPLES / "sceau.toml").read_text("utf-8")
    own = re.sub(r"^.*?(?=\[listen\])", "", own, flags=re.DOTALL)
    before, rest = GOOD.split("[listen]")
    return before + own + "\n[archive]" + rest.split("[archive]")[1]


def write(folder: Path, text: str) -> Path:
    more = ("keys/smtp.crt", "keys/smtp.key", "keys/users", "keys/staff.password",
            "anchors/ldap-ca.crt", "anchors/clients-ca.crt")  # fmt: skip
    path = write_good(folder, text)
    assert set(more).isdisjoint(FILES)
    for name in more:
        (folder / name).write_bytes(b"x")
    return path


def test_the_sample_loads(tmp_path: Path) -> None:
    config = load(write(tmp_path, sample()))
    assert config.listen.auth is AuthDemand.OFFERED
    assert [relay.from_is_envelope for relay in config.relays] == [False, True, False]
    assert [relay.xclient for relay in config.relays] == [False, False, True]
    assert len(config.auth.directories[0].url) == 2


@pytest.mark.parametrize("name", ["main.cf", "master.cf", "nginx.conf"])
def test_the_manual_shows_the_samples(name: str) -> None:
    assert (SAMPLES / name).read_text("utf-8") in TEXT


@pytest.mark.parametrize("line", re.findall(r"(?m)^    sceau (user .+?)(?:\s+#.*)?$", TEXT))
def test_a_command_is_one(line: str) -> None:
    noun, *words = shlex.split(line)
    parser = SceauParser(prog=f"sceau {noun}")
    user.configure(parser)
    assert callable(parser.parse_args(words).run)


FAULTS = [
    ('auth = "offered"', 'auth = "none"', "there are logins, but AUTH is not offered"),
    ('tls_certificate = "keys/smtp.crt"\ntls_key = "keys/smtp.key"\n', "", "over TLS only"),
    ('users = "keys/users"', 'users = "keys/nobody"', "there is no file"),
    ('"ldaps://ldap1.interior.example"', '"ldap://ldap1.interior.example"', "in clear text"),
    ('ca = "anchors/ldap-ca.crt"\nbind_dn', "bind_dn", "TLS needs the CA"),
    ('password_file = "keys/staff.password"', "", "bind_dn and password_file go together"),
    ("(uid={login})", "(uid=x)", "is not a filter with {login} in it"),
    ('login_attribute = "uid"', 'login_attribute = "u id"', "not the name of an attribute"),
    ('names = ["crm.interior.example"]', "", "which certificates of this CA are meant?"),
    ('names = ["crm.interior.example"]', 'names = ["crm interior"]', "is not a host name"),
    ('login = ["anna", "bruno"]', "", "for whom is this rule?"),
    ('login = ["anna", "bruno"]', 'login = ["an na"]', "cannot be a login"),
    ('login = ["anna", "bruno"]', 'login = "anna"\nclient = "crm"', "write two rules"),
    ('client = "crm"', 'client = "crn"', "there is no [[clients]] entry crn; there are: crm"),
    ('"press@interior.example"', '"press@elsewhere.example"', "is not one of our domains"),
    ('"press@interior.example"', '"*.elsewhere.example"', "is not one of our domains"),
    ('name = "press"\nlogin', 'name = "own-address"\nlogin', "is the name of a built-in rule"),
    ('name = "crm"\nclient', 'name = "press"\nclient', "another one is already called press"),
    ("[[senders]]", "[[sender]]", "did you mean senders?"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "says"), FAULTS)
def test_what_cannot_be_meant(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = sample()
    assert old in text
    with pytest.raises(ConfigFaults) as faults:
        load(write(tmp_path, text.replace(old, new)))
    assert says in str(faults.value)


def test_without_relays_people_alone_may_send(tmp_path: Path) -> None:
    text = re.sub(r"\[\[relays\]\].*?\n\n", "", sample(), flags=re.DOTALL)
    assert load(write(tmp_path, text)).relays == ()


def test_a_rule_for_a_group_needs_somebody_who_knows_groups(tmp_path: Path) -> None:
    class Knowing(Wiring):
        groups = "a source"  # type: ignore[assignment]

    without = load(write(tmp_path, sample()))
    assert Knowing(without).login_groups is None  # nobody is asked for nothing
    (tmp_path / "sceau.toml").write_text(
        sample().replace('login = ["anna"', 'group = "G"\nlogin = ["anna"')
    )
    config = load(tmp_path / "sceau.toml")
    assert config.senders[0].group == ("g",)
    with pytest.raises(SceauError, match="names a group, and no directory tells"):
        _ = Knowing(config).login_groups
    groups = SimpleNamespace(groups=SimpleNamespace(base="ou=groups"))
    told = replace(config, pki=replace(config.pki, directories=(groups,)))
    assert Knowing(told).login_groups == "a source"


def test_own_and_everything_below_are_rights(tmp_path: Path) -> None:
    text = sample().replace(
        'addresses = ["press@interior.example"]',
        'addresses = ["own", "*", "*.interior.example", "@interior.example"]',
    )
    assert len(load(write(tmp_path, text)).senders[0].addresses) == 4
