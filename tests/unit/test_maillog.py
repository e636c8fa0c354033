"""What the gateway says of itself: whole sentences, one line each."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_SAY = """
import structlog
from gateway import maillog
maillog.configure(json={json}, level="info")
structlog.get_logger().info("delivered", id="ab", reply="250 2.0.0 Ok\\nfake: line \\x1b[2J")
"""


def _said(*, as_json: bool) -> str:
    code = _SAY.format(json=as_json)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stderr


@pytest.mark.parametrize("as_json", [True, False])
def test_what_a_stranger_said_begins_no_line_and_steers_no_terminal(as_json: bool) -> None:
    (line,) = _said(as_json=as_json).splitlines()
    assert "\x1b" not in line
    assert "nfake: line" in line


def test_json_is_quoted_once() -> None:
    assert json.loads(_said(as_json=True))["reply"] == "250 2.0.0 Ok\nfake: line \x1b[2J"


_A_LIBRARY = """
import logging
from gateway import maillog
maillog.configure(json=True, level="info")
try:
    raise OSError("gone")
except OSError:
    logging.getLogger("lib.pool").error("while tidying\\nup %s", "that", exc_info=True)
logging.getLogger("lib").warning("%d", "no number")
logging.getLogger("lib").info("nothing of interest")
"""


def test_what_libraries_say_is_a_line_like_all_others() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _A_LIBRARY], capture_output=True, text=True, check=True
    ).stderr
    first, second = [json.loads(line) for line in told.splitlines()]
    assert (first["event"], first["library"], first["level"]) == (
        "library_fault",
        "lib.pool",
        "error",
    )
    assert first["text"] == "while tidying\nup that"
    assert "OSError: gone" in first["exception"]
    assert (second["library"], second["text"], second["level"]) == ("lib", "%d", "warning")


_AN_AFTERMATH = """
import logging
import psycopg
from gateway import maillog
maillog.configure(json=True, level="info")
log = logging.getLogger("sqlalchemy.pool.impl.QueuePool")
for error in (psycopg.errors.AdminShutdown("gone"), OSError("ours")):
    try:
        raise error
    except Exception:
        log.error("Error closing cursor", exc_info=True)
log.error("a connection that nobody gave back")
"""


def test_what_could_not_be_tidied_up_behind_a_dead_database_is_not_told_twice() -> None:
    told = subprocess.run(
        [sys.executable, "-c", _AN_AFTERMATH], capture_output=True, text=True, check=True
    ).stderr
    assert [json.loads(line)["text"] for line in told.splitlines()] == [
        "Error closing cursor",
        "a connection that nobody gave back",
    ]
    assert "AdminShutdown" not in told
