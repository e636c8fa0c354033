"""The users file: what is in it, how it is written, and its commands."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.senders import users
from gateway.senders.passwords import Cost, Passwords, is_hash
from gateway.senders.users import User, UsersFault, UsersFile

CHEAP = Passwords(Cost(1, 64, 1))
# Of "correct horse", made once by argon2-cffi 25.1: what is in people's files must stay readable.
HASH = (
    "$argon2id$v=19$m=64,t=1,p=1$9ezaEvYUsvKvLDxaDlspHw$6xZbLPYmBmyWdF3tlrc9/fnrGTdvFRYEJYi/0GbZhHY"
)


def put(path: Path, *found: User) -> None:
    users.change(path, lambda _: {user.login: user for user in found})


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "users"
    anna = User("anna", HASH, ("anna@a.example", '"a:b"@a.example'))
    put(path, User("bruno", HASH, ()), anna)
    assert users.read(path) == {"anna": anna, "bruno": User("bruno", HASH, ())}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [
        each.name for each in tmp_path.iterdir() if each.name not in ("users", ".users.lock")
    ] == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"anna\n", "users:1: a line is login:hash:addresses"),
        (b"# note\nanna:secret:a@a.example\n", "users:2: the hash is not one of Argon2id"),
        (b"anna:$2b$12$abcdefghijklmnopqrstuv:\n", "the hash is not one of Argon2id"),
        (f"Anna:{HASH}:\n".encode(), "the login cannot be used"),
        (f"an na:{HASH}:\n".encode(), "the login cannot be used"),
        (f":{HASH}:\n".encode(), "the login cannot be used"),
        (f"anna:{HASH}:\nanna:{HASH}:\n".encode(), "users:2: this login stands there twice"),
        (f"anna:{HASH}:not-an-address\n".encode(), "an address cannot be used"),
        (f"anna:{HASH}:a@a.example.\n".encode(), "an address cannot be used"),
        (b"\xff\n", "users:1: this line is not UTF-8"),
        (f"anna:{HASH.replace('m=64', 'm=99999999')}:\n".encode(), "the hash is not one"),
    ],
)
def test_half_a_list_is_none(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "users"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsersFault, match=says):
        users.read(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "users"
    put(path, User("anna", HASH, ()))
    path.chmod(mode)
    with pytest.raises(UsersFault, match=f"mode {mode:o}"):
        users.read(path)


def test_writers_at_the_same_time_do_not_undo_each_other(tmp_path: Path) -> None:
    path = tmp_path / "users"

    def add(number: int) -> None:
        login = f"u{number}"
        users.change(path, lambda found: {**found, login: User(login, HASH, ())})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(users.read(path)) == 20


def test_a_change_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users"
    put(path, User("anna", HASH, ()))
    before = path.read_bytes()

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        put(path, User("bruno", HASH, ()))
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [".users.lock", "users"]


def test_a_running_gateway_sees_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "users"
    put(path, User("anna", HASH, ()))
    seen = UsersFile(path)
    assert seen.find("anna") is not None
    put(path, User("bruno", HASH, ()))
    assert (seen.find("anna"), seen.find("bruno")) == (None, User("bruno", HASH, ()))
    path.unlink()
    with pytest.raises(UsersFault):
        seen.find("bruno")


def test_a_stronger_hash_takes_the_place_of_a_weak_one_unless_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "users"
    anna = User("anna", HASH, ("anna@a.example",))
    put(path, anna)
    strong = Passwords(Cost(2, 64, 1))
    assert strong.outdated(HASH)
    assert not CHEAP.outdated(HASH)
    new = strong.hash("correct horse")
    assert users.renew_hash(path, anna, new)
    assert users.read(path)["anna"] == User("anna", new, ("anna@a.example",))
    assert not users.renew_hash(path, anna, HASH)  # somebody was faster
    assert users.read(path)["anna"].hash == new


def test_passwords() -> None:
    assert CHEAP.matches(HASH, "correct horse")
    assert not CHEAP.matches(HASH, "Correct horse")
    assert not CHEAP.matches(HASH, "")
    assert not CHEAP.matches(None, "\0 no password has a NUL")  # even the dummy's own
    assert is_hash(HASH)
    assert HASH.startswith("$argon2id$")
    assert Passwords().hash("x").startswith("$argon2id$v=19$m=65536,t=3,p=4$")  # RFC 9106 §4


@pytest.mark.parametrize(
    ("one", "form"),
    [("Anna", "anna"), ("ＡＮＮＡ", "anna"), ("straße", "strasse"), ("É", "é"), ("ﬁ", "fi")],
)
def test_a_login_has_one_form(one: str, form: str) -> None:
    assert users.login_form(one) == form
    assert users.login_form(form) == form


@pytest.mark.parametrize("bad", ["", "a b", "a\0", "a\n", "a\u200b", "x" * 256, "\u00a0"])
def test_no_login(bad: str) -> None:
    with pytest.raises(ValueError, match="login"):
        users.login_form(bad)


# -- sceau user --------------------------------------------------------------------------------


def sceau(folder: Path, *arguments: str) -> int:
    return main(["user", *arguments, "--users", str(folder / "users")])


@pytest.fixture
def password(tmp_path: Path) -> str:
    (tmp_path / "password").write_text("correct horse\n")
    return str(tmp_path / "password")


def test_the_commands(tmp_path: Path, password: str, capsys: pytest.CaptureFixture[str]) -> None:
    add = ("add", "anna", "--address", "Anna@A.example", "--password-file", password)
    assert sceau(tmp_path, *add) == 0
    assert sceau(tmp_path, *add) == 2
    assert "already" in capsys.readouterr().err
    assert sceau(tmp_path, "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"login": "anna", "addresses": ["anna@a.example"]}
    assert (tmp_path / "users").stat().st_mode & 0o777 == 0o600
    assert "correct" not in (tmp_path / "users").read_text()

    assert sceau(tmp_path, "check", "anna", "--password-file", password) == 0
    (tmp_path / "other").write_text("battery staple\n")
    other = str(tmp_path / "other")
    assert sceau(tmp_path, "check", "anna", "--password-file", other) == 1
    assert sceau(tmp_path, "password", "anna", "--password-file", other) == 0
    assert sceau(tmp_path, "check", "anna", "--password-file", other, "--json") == 0
    capsys.readouterr()
    assert sceau(tmp_path, "remove", "anna") == 0
    assert sceau(tmp_path, "remove", "anna") == 1
    assert sceau(tmp_path, "check", "anna", "--password-file", other) == 1
    assert sceau(tmp_path, "list") == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "An Na"), "cannot be a login"),
        (("add", "anna", "--address", "nobody"), "mail address"),
        (("add", "anna"), "--password-file"),  # no terminal to ask at
    ],
)
def test_what_cannot_be_added(
    tmp_path: Path, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sceau(tmp_path, *arguments) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "users").exists()


def test_a_short_password_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "short").write_text("secret\n")
    assert sceau(tmp_path, "add", "anna", "--password-file", str(tmp_path / "short")) == 2
    assert "8 to 1024" in capsys.readouterr().err
