"""docs/install.md: what `./dev try-install` would find only after ten minutes on three machines."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from gateway.cli import NOUNS
from gateway.cli.usage import SceauParser
from gateway.config import Config, load
from tests.corpora import ROOT
from tests.install.__main__ import MACHINES
from tests.install.page import Block, blocks

PATH = ROOT / "docs" / "install.md"
PAGE = blocks(PATH)
_COMMAND = re.compile(r"(?:^|[ (])sceau ((?!--)[a-z]+(?: [^|&;)\n]+)?)")


def commands() -> list[str]:
    """Every command line of sceau, in shell blocks and between back-ticks in the text."""
    text = "".join(block.text for block in PAGE if block.language == "sh").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if re.search(r"runuser -u sceau -- sceau", line)]
    found = [match[1] for line in lines for match in _COMMAND.finditer(line)]
    found += re.findall(r"`sceau ([^`\n]+)`", PATH.read_text("utf-8"))
    return list(dict.fromkeys(line.partition(" 2>")[0].strip() for line in found))


@pytest.mark.parametrize("line", commands())
def test_a_command_is_one(line: str) -> None:
    noun, *words = shlex.split(line)
    parser = SceauParser(prog=f"sceau {noun}")
    import_module(NOUNS[noun][0]).configure(parser)
    words += ["ID"] if line.startswith("archive show") else []  # xargs adds them
    assert callable(parser.parse_args(words).run)


def test_the_commands_were_found() -> None:
    assert len(commands()) > 10
    assert {"init", "check", "queue", "archive", "pki", "user", "policy", "upgrade"} <= {
        line.split()[0] for line in commands()
    }


def test_every_shell_block_runs_on_one_of_the_machines() -> None:
    for block in PAGE:
        assert block.machine in {*MACHINES, ""}, block.line
        assert block.machine or block.language != "sh", block.line


@pytest.mark.parametrize("block", [b for b in PAGE if b.machine], ids=lambda b: f"line-{b.line}")
def test_a_shell_understands_what_is_run(block: Block) -> None:
    done = subprocess.run(["bash", "-n", "-c", block.script], capture_output=True, text=True)
    assert done.stderr == ""


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What samples/trial/pki.sh makes."""
    folder = tmp_path_factory.mktemp("trial") / "pki"
    subprocess.run(["sh", ROOT / "samples" / "trial" / "pki.sh", folder], check=True, timeout=120)
    return folder


def test_the_made_up_pki_is_one_for_openssl(trial: Path) -> None:
    for name, ca, purpose in (
        ("bruno", "justice-root", "smimeencrypt"),
        ("seal", "interior-root", "smimesign"),
        ("sceau", "interior-root", "sslserver"),
        ("border", "interior-root", "sslserver"),
        ("mail", "interior-root", "sslserver"),
        ("crm", "interior-root", "sslclient"),
    ):
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", f"{ca}.crt",
             "-CRLfile", f"{ca}.crl.pem", "-crl_check", f"{name}.crt"],
            cwd=trial, check=True, capture_output=True,
        )  # fmt: skip
    for path in trial.iterdir():
        assert path.stat().st_mode & 0o077 == (0o044 if path.suffix in {".crt", ".pem"} else 0)


def configured(folder: Path, trial: Path) -> Config:
    """The configuration of the page's pieces, with what the trial's commands put beside it."""
    text = "".join(b.text for b in PAGE if ">>/etc/sceau/sceau.toml" in b.words)
    told = subprocess.run(
        ["openssl", "x509", "-in", trial / "justice-root.crt", "-noout", "-fingerprint", "-sha256"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    text = text.replace("FINGERPRINT", told.strip().partition("=")[2])
    text = text.replace("/var/lib/sceau", str(folder / "data"))
    for name in ("anchors", "crls", "intermediates", "keys", "recipients", "data"):
        (folder / name).mkdir()
    for name in ("anchors/justice-root.crt", "anchors/interior-root.crt", "keys/sceau.crt",
                 "intermediates/interior-root.crt", "crls/justice-root.crl.pem",
                 "crls/interior-root.crl.pem", "keys/sceau.key", "keys/seal.p12",
                 "keys/seal.password"):  # fmt: skip
        shutil.copy(trial / Path(name).name, folder / name)
    for name in ("recipients/authority.pub", "recipients/escrow.pub", "keys/kek", "data/users"):
        (folder / name).write_bytes(name.encode())
        (folder / name).chmod(0o600)
    (folder / "sceau.toml").write_text(text)
    return load(folder / "sceau.toml")


def test_the_pieces_are_a_configuration(tmp_path: Path, trial: Path) -> None:
    config = configured(tmp_path, trial)

    assert [relay.name for relay in config.relays] == ["mail"]
    assert [route.name for route in config.routes] == ["home", "border"]
    assert [rule.name for rule in config.policy.rules] == ["justice", "everybody-else"]
    assert config.listen.require_tls


def test_the_addresses_are_those_of_the_machines() -> None:
    text = "".join(block.text for block in PAGE)
    assert set(re.findall(r"\b10\.1\.2\.\d+", text)) == set(MACHINES.values())


def test_postfix_understands_its_pieces(tmp_path: Path) -> None:
    for machine in ("mail", "border"):
        folder = tmp_path / machine
        folder.mkdir()
        main = "".join(b.text for b in PAGE if b.language == "main.cf" and b.machine == machine)
        (folder / "main.cf").write_text(f"compatibility_level = 3.6\n{main}")
        master = "".join(b.text for b in PAGE if b.language == "master.cf" and b.machine == machine)
        (folder / "master.cf").write_text(master)
        for option in ("-n", "-M", "-P"):
            done = subprocess.run(
                ["postconf", "-c", folder, option], capture_output=True, text=True, check=True
            )
            assert done.stderr == ""  # it warns of names that Postfix does not know


USED_BY = {
    "mails": "test_world_mails.py",
    "make.py": "test_world_mails.py",
    "policies": "test_policy_samples.py",
    "prometheus": "test_metrics.py",
    "senders": "test_senders_docs.py",
    "systemd": "test_notify.py",
    "trial": "test_install_docs.py",
}


def test_every_sample_has_its_test() -> None:
    assert {path.name for path in (ROOT / "samples").iterdir()} == set(USED_BY)
    for name, test in USED_BY.items():
        told = (ROOT / "tests" / "unit" / test).read_text("utf-8")
        assert "samples" in told
        assert name in told
    senders = {path.name for path in (ROOT / "samples" / "senders").iterdir()}
    assert senders == {"main.cf", "master.cf", "nginx.conf", "sceau.toml"}
