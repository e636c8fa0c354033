"""What the project ships: lock files, licence, and the configuration that the README tells."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.corpora import ROOT

LOCKS = tuple(f"requirements{which}.lock" for which in ("", "-dev", "-build", "-fuzz"))


def locked(name: str) -> dict[str, str]:
    """Name → version of a lock file."""
    text = (ROOT / name).read_text()
    return dict(re.findall(r"(?m)^([a-z0-9-]+)==([0-9.]+(?:\.post[0-9]+)?) \\$", text))


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdecimal())


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_file_is_named_by_hash_and_no_index_is_named(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = [block for block in re.split(r"(?m)^(?=[a-z0-9-]+==)", text) if "==" in block[:60]]
    assert len(entries) == len(locked(name)) > 0
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert not re.search(
        r"://|--(extra-)?index-url|--find-links|--trusted-host|@ file|/opt/",
        text.partition("\n#\n")[2],
    )


@pytest.mark.parametrize("name", LOCKS[:2])
def test_the_locks_keep_to_the_floors_of_pyproject(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = locked(name)
    for line in project["dependencies"]:
        library, _, floor = line.partition(">=")
        library = library.partition("[")[0].lower()  # psycopg[binary] is locked as psycopg
        assert numbers(versions[library]) >= numbers(floor), line


def test_the_floor_of_cryptography_is_50_and_what_runs_is_above() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "cryptography>=50" in project["dependencies"]
    assert numbers(locked("requirements.lock")["cryptography"]) >= (50,)
    assert numbers(version("cryptography")) >= (50,)


def test_what_runs_is_locked_alike_for_developers() -> None:
    runs, develops = locked("requirements.lock"), locked("requirements-dev.lock")
    assert runs.items() <= develops.items()


def test_the_licence_is_the_whole_eupl() -> None:
    text = (ROOT / "LICENSE").read_text()
    articles = re.findall(r"(?m)^(\d+)\. \w", text)
    assert articles == [str(number) for number in range(1, 16)]
    words = re.sub(r"\W+", " ", text).split()
    assert words[:6] == ["EUROPEAN", "UNION", "PUBLIC", "LICENCE", "v", "1"]
    assert "CeCILL" in words[-250:]
    assert text.rstrip().endswith("require the production of a new EUPL version.")
    assert len(words) > 2100


def blocks(kind: str) -> list[str]:
    """Fenced blocks of the README."""
    return re.findall(rf"(?ms)^```{re.escape(kind)}\n(.*?)^```", (ROOT / "README.md").read_text())


def test_the_configuration_in_the_readme_is_accepted(tmp_path: Path) -> None:
    from gateway.config import load

    (text,) = blocks("toml")
    for name in re.findall(r'"((?:keys|anchors|recipients)/[^"]+\.[a-z0-9]+)"', text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    for folder in ("data", "keys/working", "intermediates"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "keys" / "kek").write_bytes(bytes(32))
    for key in (tmp_path / "keys").glob("*.*"):
        key.chmod(0o600)
    (tmp_path / "keys" / "kek").chmod(0o600)
    anchor = (tmp_path / "anchors" / "justice-root.crt").read_bytes()
    text = re.sub(r'sha256 = "[^"]+"', f'sha256 = "{hashlib.sha256(anchor).hexdigest()}"', text)
    (tmp_path / "sceau.toml").write_text(text)
    config = load(tmp_path / "sceau.toml")
    assert [route.name for route in config.routes] == ["home", "border"]
    assert config.relays[0].domains == ("interior.example",)


def test_postfix_understands_what_the_readme_tells_it(tmp_path: Path) -> None:
    base = f"compatibility_level = 3.6\nqueue_directory = {tmp_path}\nmaillog_file = /dev/stdout\n"
    base += "myhostname = mail.interior.example\n"  # a machine's own may be one that is refused
    (tmp_path / "master.cf").write_text(blocks("master.cf")[0] + blocks("master.cf")[1])
    for block in blocks("main.cf"):
        (tmp_path / "main.cf").write_text(base + block)
        done = subprocess.run(
            ["postconf", "-c", tmp_path, "-n"], capture_output=True, text=True, check=True
        )
        assert done.stderr == ""  # postconf warns of names that Postfix does not know
        for name in re.findall(r"(?m)^(\w+) =", block):
            assert re.search(rf"(?m)^{name} =", done.stdout), name
    done = subprocess.run(
        ["postconf", "-c", tmp_path, "-M"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "10.1.2.5:10026" in done.stdout
    assert "127.0.0.1:10026" in done.stdout


def test_the_documents_that_are_linked_are_there() -> None:
    for document in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} → {target}"
