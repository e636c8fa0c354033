"""Bad input, on the wire and at the start: what the one on the other side reads."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.demo.house import House
from gateway.demo.pki import P12_PASSWORD
from gateway.demo.process import free_port
from tests.flows.way_out_scene import AMELIE, HUGO, JEANNE, Scene, mail

pytestmark = pytest.mark.flow


class Wire:
    """A client that says what it is told, octet for octet."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")

    def hear(self) -> str:
        """One reply; the last line of it."""
        while True:
            line = self._file.readline().decode().rstrip("\r\n")
            if line[3:4] != "-":
                return line

    def ask(self, data: bytes) -> str:
        """Send the octets and one CRLF."""
        self._connection.sendall(data + b"\r\n")
        return self.hear()

    def close(self) -> None:
        """The file of the socket; the socket is the caller's."""
        self._file.close()

    def hand_in(self, content: bytes, *, sender: str = JEANNE, to: str = AMELIE) -> str:
        """A whole transaction; the reply to the end of data."""
        assert self.ask(f"MAIL FROM:<{sender}>".encode()).startswith("250")
        assert self.ask(f"RCPT TO:<{to}>".encode()).startswith("250")
        assert self.ask(b"DATA").startswith("354")
        return self.ask(content + b".")


@contextmanager
def wire(scene: Scene) -> Iterator[Wire]:
    with closing(
        socket.create_connection(("127.0.0.1", scene.house.listen_port), timeout=60)
    ) as connection:
        talk = Wire(connection)
        assert talk.hear().startswith("220 sceau.interieur.example")
        assert talk.ask(b"EHLO client.example").startswith("250")
        yield talk
        talk.close()


GOOD = mail()
BAD_MAILS = {
    "two From fields": (
        GOOD.replace(b"To: ", b"From: <hugo.blanc@interieur.example>\r\nTo: ", 1),
        "550 5.7.1 exactly one From address is required, found 2",
    ),
    "two From addresses": (
        GOOD.replace(JEANNE.encode() + b">", f"{JEANNE}>, <{HUGO}>".encode(), 1),
        "550 5.7.1 exactly one From address is required, found 2",
    ),
    "no From": (
        GOOD.partition(b"\r\n")[2],
        "550 5.7.1 exactly one From address is required, found 0",
    ),
    "From of another domain": (
        GOOD.replace(b"interieur.example>\r\nTo", b"ailleurs.example>\r\nTo", 1),
        "550 5.7.1 this host may not send for that sender's domain",
    ),
    "From below our domain": (
        GOOD.replace(b"@interieur.example>\r\nTo", b"@x.interieur.example>\r\nTo", 1),
        "550 5.7.1 this host may not send for that sender's domain",
    ),
    "bare LF": (
        GOOD + b"un\ndeux\r\n",
        "550 5.6.0 Message has a bare LF; lines must end with <CR><LF>",
    ),
    "bare CR": (
        GOOD + b"un\rdeux\r\n",
        "550 5.6.0 Message has a bare CR; lines must end with <CR><LF>",
    ),
    "NUL": (GOOD + b"un\0deux\r\n", "550 5.6.0 Message has a NUL character"),
    "smuggled end of data": (
        GOOD + b"un\n.\nMAIL FROM:<x@interieur.example>\r\n",
        "550 5.6.0 Message has a bare LF; lines must end with <CR><LF>",
    ),
}


def test_a_bad_mail_gets_its_reply_and_the_next_one_is_taken(ministry: Scene) -> None:
    with wire(ministry) as client:
        for name, (content, reply) in BAD_MAILS.items():
            assert client.hand_in(content) == reply, name
        assert client.hand_in(GOOD).startswith("250 2.0.0 ")


def test_a_sender_of_another_domain_is_refused_at_mail(ministry: Scene) -> None:
    with wire(ministry) as client:
        reply = client.ask(b"MAIL FROM:<a@ailleurs.example>")
        assert reply == "550 5.7.1 this host may not send for that sender's domain"


def test_what_is_too_large_is_refused_announced_or_not(ministry: Scene) -> None:
    reply = "552 5.3.4 Message exceeds the size limit of 1000000 octets"
    with wire(ministry) as client:
        assert client.ask(b"MAIL FROM:<a@interieur.example> SIZE=1000001") == reply
        assert client.hand_in(GOOD + b"x" * 78 * 12900 + b"\r\n") == reply
        assert client.hand_in(GOOD).startswith("250 2.0.0 ")


def test_a_body_taken_for_header_lines_is_not_repeated(ministry: Scene) -> None:
    """The reply comes back to the sender in clear, in a notice of the Postfix in front."""
    content = f"From: {JEANNE}\r\nTo: {AMELIE}\r\nLe code est hortensia-7\r\n\r\nx\r\n"
    receipt = ministry.send(content.encode(), AMELIE)
    assert receipt.code == 550
    assert receipt.text.endswith("line 3 of the mail is not a header field")
    assert "hortensia-7" not in ministry.house.log.read_text()


def test_a_client_of_a_network_nobody_listed(ministry: Scene) -> None:
    with closing(
        socket.create_connection(
            ("127.0.0.1", ministry.house.listen_port), 60, source_address=("127.0.0.2", 0)
        )
    ) as connection:
        talk = Wire(connection)
        assert talk.hear() == "554 5.7.1 No SMTP service for this network"
        assert talk.ask(b"EHLO client.example").startswith("503 5.5.1")
        assert talk.ask(b"QUIT").startswith("221 ")
        talk.close()


def test_what_could_never_be_sealed_is_refused_at_rcpt(ministry: Scene) -> None:
    """Neither directory nor stored certificate for the domain; the others are still served."""
    with wire(ministry) as client:
        assert client.ask(f"MAIL FROM:<{JEANNE}>".encode()).startswith("250")
        reply = client.ask(b"RCPT TO:<x@nulle-part.example>")
        assert (
            reply == "550 5.7.1 mail to this address must be encrypted and no certificate is known"
        )
        assert client.ask(b"RCPT TO:<pas une adresse>").startswith("501 5.1.3")
        assert client.ask(f"RCPT TO:<{AMELIE}>".encode()).startswith("250")


# -- starts that must not happen ------------------------------------------------------------------

Change = Callable[[str], str]


@pytest.fixture
def copy(ministry: Scene, tmp_path: Path) -> House:
    """The installation beside the running one, on a port of its own."""
    folder = tmp_path / "copy"
    shutil.copytree(ministry.house.folder, folder, ignore=shutil.ignore_patterns("data"))
    (folder / "data").mkdir()
    with (
        closing(sqlite3.connect(ministry.house.folder / "data" / "sceau.db")) as source,
        closing(sqlite3.connect(folder / "data" / "sceau.db")) as target,
    ):
        source.backup(target)
    copied = replace(ministry.house, folder=folder, listen_port=free_port(), process=None)
    old, new = f"port = {ministry.house.listen_port}\n", f"port = {copied.listen_port}\n"
    _change(copied, lambda text: text.replace(old, new))
    return copied


def _change(house: House, change: Change) -> None:
    before = house.config.read_text("utf-8")
    after = change(before)
    assert after != before
    house.config.write_text(after, "utf-8")


def _refused(house: House) -> str:
    """What `sceau serve` says when it does not start."""
    done = house.run("serve", check=False)
    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert "Traceback" not in said
    assert "internal fault" not in said
    return said.strip()


def test_a_typo_in_the_configuration(copy: House) -> None:
    _change(copy, lambda text: text.replace("\n[listen]\naddress", "\n[listen]\nadress", 1))
    line = copy.config.read_text().splitlines().index('adress = "127.0.0.1"') + 1

    said = _refused(copy)

    assert said == (
        f"sceau serve: {copy.config}:{line}: listen.adress: "
        "there is no such key; did you mean address?"
    )


def test_all_wrong_values_are_told_at_once_with_what_would_be_right(copy: House) -> None:
    _change(
        copy,
        lambda text: text.replace('tls = "none"', 'tls = "yes"').replace(
            'expire = "5d"', 'expire = "five days"'
        ),
    )

    said = _refused(copy).splitlines()

    assert len(said) == 2
    assert "routes[1].tls" in said[0]
    assert 'right would be: tls = "' in said[0]
    assert "queue.expire" in said[1]
    assert 'right would be: expire = "' in said[1]


def test_a_port_that_is_in_use(ministry: Scene, copy: House) -> None:
    port = ministry.house.listen_port
    _change(copy, lambda text: text.replace(f"port = {copy.listen_port}\n", f"port = {port}\n"))

    said = _refused(copy)

    assert f"127.0.0.1:{port}" in said or (str(port) in said and "127.0.0.1" in said)
    assert "in use" in said


def test_a_second_serve_on_the_same_data(ministry: Scene, tmp_path: Path) -> None:
    """On another port, so that nothing but the data is shared."""
    port = free_port()
    text = ministry.house.config.read_text()
    other = ministry.house.folder / "second.toml"
    other.write_text(text.replace(f"port = {ministry.house.listen_port}\n", f"port = {port}\n", 1))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", "serve", "--config", other],
            capture_output=True,
            timeout=120,
            check=False,
        )
    finally:
        other.unlink()

    said = done.stderr.decode()
    assert done.returncode == 2, said
    assert "another sceau serve already runs on this data" in said
    assert "stop it first" in said
    assert ministry.accepted(mail(), AMELIE), "the first one goes on"


def test_a_pkcs12_with_the_wrong_password(ministry: Scene, copy: House) -> None:
    seal = ministry.stage.world.interieur.seal
    assert seal is not None
    p12, password = copy.folder / "keys" / "seal.p12", copy.folder / "keys" / "seal.password"
    subprocess.run(
        ["openssl", "pkcs12", "-export", "-in", seal.certificate_file, "-inkey", seal.key_file,
         "-out", p12, "-passout", f"pass:{P12_PASSWORD}"],
        check=True, capture_output=True,
    )  # fmt: skip
    password.write_text("not-" + P12_PASSWORD + "\n")
    password.chmod(0o600)

    def change(text: str) -> str:
        head, _, tail = text.partition(f'key = "{seal.key_file}"\n')
        rest = tail.partition("\n")[2]  # its certificate is in the file
        return f'{head}key = "{p12}"\npassword_file = "{password}"\n{rest}'

    _change(copy, change)
    said = _refused(copy)
    assert str(p12) in said
    assert "password" in said

    # The right one, with the newline that an editor leaves: nothing to complain of.
    password.write_text(P12_PASSWORD + "\n")
    assert copy.run("check", check=False).stderr == b""


@pytest.mark.parametrize("revision", ["9999", None])
def test_a_database_of_another_version(copy: House, revision: str | None) -> None:
    with closing(sqlite3.connect(copy.folder / "data" / "sceau.db")) as database, database:
        (table,) = database.execute(
            "SELECT name FROM sqlite_master WHERE name LIKE '%alembic%' AND type = 'table'"
        ).fetchone()
        database.execute(f"DELETE FROM {table}")
        if revision:
            database.execute(f"INSERT INTO {table} VALUES (?)", (revision,))

    said = _refused(copy)

    assert f"its tables are of version {revision or '-'}, this program needs " in said
    assert str(copy.folder / "data" / "sceau.db") in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", '"sqlite://" is not a database this version can use'),
        ("postgresql://localhost/sceau", 'right would be: url = "sqlite:///data/sceau.db"'),
        ("sqlite:///:memory:", "there is no database "),
        ("sqlite:///data/not-there.db", "data/not-there.db; sceau init makes the database"),
    ],
)
def test_a_database_that_is_none(copy: House, url: str, words: str) -> None:
    before = sorted(copy.folder.rglob("*"))
    _change(copy, lambda text: text.replace("sqlite:///data/sceau.db", url))

    assert words in _refused(copy)
    assert sorted(copy.folder.rglob("*")) == before, "nothing was made in its place"


def test_a_database_that_is_damaged(copy: House) -> None:
    (copy.folder / "data" / "sceau.db").write_bytes(b"not a database" * 500)

    done = copy.run("serve", check=False)

    assert done.returncode == 3
    assert done.stderr == b"sceau serve: the database cannot be used: file is not a database\n"


def test_the_running_database_keeps_what_it_commits(ministry: Scene) -> None:
    """Asked by another SQLite than ours: write-ahead log, nothing of it in another place."""
    data = ministry.house.folder / "data"
    with closing(sqlite3.connect(f"file:{data / 'sceau.db'}?mode=ro", uri=True)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    assert (data / "sceau.db-wal").exists()


def test_an_archive_origin_that_is_not_the_logs(copy: House) -> None:
    _change(copy, lambda text: text.replace("example/archive", "example/other"))

    said = _refused(copy)

    assert "sceau.interieur.example/archive" in said
    assert "the origin never changes" in said
