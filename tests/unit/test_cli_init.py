"""`sceau init`: what it writes works as it is, is closed to others, and destroys nothing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from archive.recipients import load_private_key, load_recipient
from gateway.config import Language, load
from pki.keys import load_signer
from pki.persons import load_kek
from tests.unit.test_cli import sceau


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    base = tmp_path_factory.mktemp("init") / "sceau"
    done = sceau("init", str(base), "--domain", "Interior.example")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def made(done: subprocess.CompletedProcess[str]) -> Path:
    """The folder that was made."""
    return Path(done.args[done.args.index("init") + 1])


def test_the_configuration_loads_without_a_fault(made: Path) -> None:
    config = load(made / "sceau.toml")

    assert config.gateway.organisation == "interior"
    assert config.gateway.hostname == "sceau.interior.example"
    assert config.gateway.domains == ("interior.example",)
    assert config.policy.rules == ()


def test_everything_it_names_is_there_and_usable(made: Path) -> None:
    config = load(made / "sceau.toml")

    names = [load_recipient(path).name for path in config.archive.recipients]
    assert names == ["authority", "escrow"]
    load_kek(config.pki.key_encryption_key)
    signer = load_signer(config.seals[0].key, config.seals[0].certificate)
    assert signer.kind == "rsa"


def test_the_private_keys_fit_the_recipients(made: Path) -> None:
    for name in ("authority", "escrow"):
        private = load_private_key(made / "authority" / f"{name}.key")
        public = load_recipient(made / "recipients" / f"{name}.pub")
        assert private.recipient.id == public.id


def test_openssl_sees_a_certificate_for_signing_mail_that_says_it_is_self_made(
    made: Path,
) -> None:
    text = subprocess.run(
        ["openssl", "x509", "-in", made / "keys" / "seal.crt", "-noout", "-text"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    assert "OU = self-made by sceau init" in text
    assert "email:domain-signing-authority@interior.example" in text
    assert "E-mail Protection" in text
    assert "(3072 bit)" in text


def test_keys_and_their_folders_are_closed_to_others(made: Path) -> None:
    for path in [made / "keys", made / "authority", made / "data", *(made / "keys").iterdir()]:
        if path.suffix != ".crt":
            assert path.stat().st_mode & 0o077 == 0, path
    for path in (made / "authority").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path


def test_it_warns_that_the_private_keys_must_leave_the_machine(
    done: subprocess.CompletedProcess[str], made: Path
) -> None:
    assert f"Next: sceau check --config {made}/sceau.toml" in done.stdout
    assert f"WARNING: {made}/authority/authority.key and {made}/authority/escrow.key" in done.stderr
    assert "Move them off this machine" in done.stderr


def test_an_empty_folder_is_filled_and_json_says_where_things_are(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()

    done = sceau("init", str(tmp_path / "new"), "--json")

    assert (tmp_path / "new" / "sceau.toml").exists()
    assert json.loads(done.stdout) == {
        "config": f"{tmp_path}/new/sceau.toml",
        "private_keys_to_move": [
            f"{tmp_path}/new/authority/authority.key",
            f"{tmp_path}/new/authority/escrow.key",
        ],
    }


def test_in_french_notices_will_be_french_too(tmp_path: Path) -> None:
    done = sceau("init", str(tmp_path / "new"), language="fr_FR.UTF-8")

    assert "est écrit et utilisable tel quel" in done.stdout
    assert "ATTENTION" in done.stderr
    assert load(tmp_path / "new" / "sceau.toml").gateway.language is Language.FRENCH


def test_a_folder_that_is_not_empty_is_left_as_it_is(made: Path) -> None:
    before = (made / "keys" / "kek").read_bytes()

    done = sceau("init", str(made))

    assert done.returncode == 2
    assert done.stderr == (
        f"sceau init: {made} is not empty; nothing in it was changed; "
        "name a folder that does not exist yet\n"
    )
    assert (made / "keys" / "kek").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--organisation", "Ministère", '"Ministère" is not a name: small letters'),
        ("--domain", "not a domain", "not a domain cannot be used as a mail domain"),
        ("--hostname", "a..b", "a..b cannot be used as a mail domain"),
    ],
)
def test_a_wrong_value_makes_nothing(tmp_path: Path, option: str, value: str, message: str) -> None:
    done = sceau("init", str(tmp_path / "new"), option, value)

    assert done.returncode == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = sceau("init", str(tmp_path / "file"))

    assert done.returncode == 2
    assert "is not empty" in done.stderr


def test_a_place_where_nothing_may_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    done = sceau("init", str(tmp_path / "file" / "new"))

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_data_may_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir(mode=0o700)

    done = sceau("init", str(tmp_path / "etc"), "--data", str(tmp_path / "var"))

    assert done.returncode == 0, done.stderr
    config = load(tmp_path / "etc" / "sceau.toml")
    assert config.database.url == f"sqlite:///{tmp_path}/var/sceau.db"
    assert config.archive.index == tmp_path / "var" / "index"
    assert config.archive.working_keys == tmp_path / "var" / "working"
    assert {"sceau.db", "index", "working"} <= {path.name for path in (tmp_path / "var").iterdir()}
    for path in ("var", "var/index", "var/working"):
        assert (tmp_path / path).stat().st_mode & 0o077 == 0
    assert {"data", "working"}.isdisjoint(path.name for path in (tmp_path / "etc").rglob("*"))


def test_data_that_would_lie_in_the_new_folder_is_a_mistake(tmp_path: Path) -> None:
    done = sceau("init", str(tmp_path / "new"), "--data", str(tmp_path / "new" / "var"))

    assert done.returncode == 2
    assert "leave --data out" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("exists", [True, False])
def test_what_fails_leaves_nothing(tmp_path: Path, exists: bool) -> None:
    places = [tmp_path / "etc", tmp_path / "var"]
    for place in places if exists else ():
        place.mkdir()

    done = sceau(
        "init", str(places[0]), "--data", str(places[1]),
        "--database", "postgresql+psycopg://nobody@127.0.0.1:1/none",
    )  # fmt: skip

    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    assert [list(place.iterdir()) for place in places if place.exists()] == [[], []][: 2 * exists]
