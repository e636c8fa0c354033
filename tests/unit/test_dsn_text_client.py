"""Notices as a person with a text client reads them: `s-nail`, on a terminal without anything."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gateway.dsn.language import Language
from tests.unit.notice_examples import examples

# What must be read at once, in order: what happened, to whom, why, and by what to find it again.
READ: dict[tuple[Language, str], tuple[str, ...]] = {
    ("en", "failed"): (
        "Subject: Undeliverable: undelivered mail returned to sender (failed)",
        "is undeliverable",
        "<bruno@justice.example>",
        "the address does not exist (5.1.1)",
        "550 5.1.1 <bruno@justice.example>: Recipient address rejected",
        "Archive id: 5f0c1f0e9a7d4c1b8a52e4d0c7b3a691",
    ),
    ("en", "delayed"): ("Subject: Delayed", "<bruno@justice.example>", "(4.4.1)"),
    ("en", "held"): ("Subject: Held for review", "waits for a decision", "(4.7.5)"),
    ("en", "relayed"): ("Subject: Relayed", "<bruno@justice.example>"),
    ("fr", "failed"): (
        "Subject: Message non remis : échec de la distribution (undeliverable, failed)",
        "n'a pas pu être remis",
        "<bruno@justice.example>",
        "l'adresse n'existe pas (5.1.1)",
        "Votre message devait être chiffré",
        "5f0c1f0e9a7d4c1b8a52e4d0c7b3a691",
    ),
    ("fr", "delayed"): ("Subject: Message retardé", "(4.4.1)"),
    ("fr", "held"): ("Subject: Message en attente de vérification", "attend une décision"),
    ("fr", "relayed"): ("Subject: Message relayé au serveur", "<bruno@justice.example>"),
}


def read_by_client(notices: dict[str, bytes], folder: Path) -> dict[str, str]:
    """What the client prints of each notice, from a mailbox as a mail server writes it."""
    box = folder / "box"
    box.write_bytes(
        b"".join(
            b"From MAILER-DAEMON Sat Nov 21 09:30:00 2026\n" + one.replace(b"\r\n", b"\n") + b"\n"
            for one in notices.values()
        )
    )
    commands = "".join(
        f"echo =={name}==\ntype {number}\n" for number, name in enumerate(notices, 1)
    )
    # -n, HOME: no settings of this machine. -R: the mailbox is not changed.
    done = subprocess.run(
        ["s-nail", "-n", "-R", "-S", "ttycharset=utf-8", "-f", str(box)],
        input=(commands + "xit\n").encode(),
        capture_output=True,
        check=False,
        env={"HOME": str(folder), "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "TERM": "dumb"},
    )
    assert done.returncode == 0, done.stderr.decode()
    parts = done.stdout.decode().split("==")
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_text_client_shows_what_the_sender_must_know(language: Language, tmp_path: Path) -> None:
    notices = examples(language)

    shown = read_by_client(notices, tmp_path)

    assert set(shown) == set(notices) == {name for of, name in READ if of == language}
    for name, text in shown.items():
        # The client breaks no lines and asks for nothing: what it prints is what is read.
        seen = " ".join(text.split())
        at = 0
        for wanted in READ[language, name]:
            found = seen.find(wanted, at)
            assert found >= 0, (name, wanted, text)
            at = found + len(wanted)
        for trace in ("=C3=", "=?utf-8", "\ufffd"):
            assert trace not in text  # nothing is left undecoded
        assert max(map(len, text.splitlines())) <= 100
