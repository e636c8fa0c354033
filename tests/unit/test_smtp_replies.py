"""What a client can be told."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway.errors import Refusal, SceauError
from gateway.smtp import replies

LINES = {
    name: value
    for name, value in vars(replies).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
}


@pytest.mark.parametrize("name", LINES)
def test_every_reply_has_a_code_and_the_enhanced_code_that_fits_it(name: str) -> None:
    line = LINES[name]
    match = re.fullmatch(r"([2-5]\d\d) (?:(\d)\.\d{1,3}\.\d{1,3} )?[ -~]+", line)
    assert match is not None, line
    assert len(line) < 400  # RFC 5321 §4.5.3.1.5, with the places filled
    if name in ("READY", "SEND_DATA"):  # RFC 2034 §4: not in the greeting, not in 3yz
        assert match[2] is None
    else:
        assert match[2] == line[0]


def test_no_reply_takes_the_name_of_another() -> None:
    """Two were called NO_ROOM: who waited in vain heard "452 … (id {incident})", not 421."""
    module = ast.parse(Path(replies.__file__).read_text())
    names = [
        target.id
        for statement in module.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]

    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret at db1.internal"),
        SceauError("rule 'minister' in /etc/sceau.toml"),
        Refusal(250, "2.0.0", "ok"),
        Refusal(550, "4.7.1", "classes differ"),
        Refusal(550, "5.7.1\r\n250 ok", "x"),
        KeyboardInterrupt(),
    ],
)
def test_faults_of_ours_are_451_and_tell_nothing_but_an_id(error: BaseException) -> None:
    expected = "451 4.3.0 Cannot process this now, try again later (id 1f2e)"
    assert replies.reply_for(error, "1f2e") == expected


def test_a_refusal_is_one_line_of_printable_ascii() -> None:
    refusal = Refusal(550, "5.7.1", "Not allowed\r\n250 ok für\0 " + "x" * 600)
    line = replies.reply_for(refusal, "1f2e")
    assert line.startswith("550 5.7.1 Not allowed 250 ok f?r? xxx")
    assert len(line) <= 510
    assert line.isprintable()
    assert line.isascii()
