"""Whatever somebody names is read with a bound: endless files, pipes, folders, closed inputs."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import pytest

from gateway.cli import main
from pki import ber
from pki.bounded_file import LARGEST, read_bounded, read_stream
from pki.errors import StructureRefused
from tests.unit.smime_world import MAIL, at_home

_VERIFY = ("verify", "--anchor", "alice.pem")
_SIGN = ("sign", "--key", "alice.key", "--cert", "alice.pem")
_DECRYPT = ("decrypt", "--key", "alice.key")
_ENCRYPT = ("encrypt", "--to", "alice.pem")
_VERBS = (_VERIFY, _SIGN, _DECRYPT, _ENCRYPT, ("inspect",))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    at_home(tmp_path, monkeypatch, "alice")
    (tmp_path / "mail.eml").write_bytes(MAIL)
    return tmp_path


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_what_fits_is_read_whole(tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(size))

    assert read_bounded(file, 1000) == file.read_bytes()


@pytest.mark.parametrize("limit", [1000, 3 << 20])
def test_an_endless_device_is_too_large(limit: int) -> None:
    with pytest.raises(OSError, match="too large") as caught:
        read_bounded(Path("/dev/zero"), limit)
    assert caught.value.filename == "/dev/zero"


def test_a_large_file_is_not_even_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as sparse:
        sparse.truncate(1 << 40)

    with pytest.raises(OSError, match="too large"):
        read_bounded(file)


def test_a_pipe_gives_its_octets_piece_by_piece(tmp_path: Path) -> None:
    pipe, octets = tmp_path / "pipe", os.urandom(300_000)
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(octets,))
    writer.start()

    assert read_bounded(pipe, 300_000) == octets
    writer.join()


def test_no_octet_more_than_needed_is_taken_from_a_stream() -> None:
    stream = io.BytesIO(bytes(5000))

    with pytest.raises(OSError, match="too large"):
        read_stream(stream, "stdin", 1000)
    assert stream.tell() == 1001


@pytest.mark.parametrize("verb", _VERBS, ids=lambda verb: verb[0])
def test_a_file_that_is_too_large_for_the_engine(
    here: Path, verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with (here / "vast.eml").open("wb") as sparse:
        sparse.truncate(LARGEST + 1)

    assert main(["smime", *verb, "vast.eml"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "vast.eml: vast.eml is too large"


@pytest.mark.parametrize("verb", _VERBS, ids=lambda verb: verb[0])
def test_a_folder_without_files_is_nothing_that_was_checked(
    here: Path, verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "empty").mkdir()

    assert main(["smime", *verb, "empty"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "sceau smime: there is no file in empty"


@pytest.mark.parametrize("verb", _VERBS, ids=lambda verb: verb[0])
def test_standard_input_may_be_closed(
    here: Path,
    verb: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", None)

    assert main(["smime", *verb, "-"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "-: stdin is not open"


def test_in_json_the_reason_stands_without_python_s_words(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smime", "inspect", "--json", "none.eml"]) == 2

    record = json.loads(capsys.readouterr().out)
    assert (record["file"], record["status"]) == ("none.eml", "malformed")
    assert record["problems"] == [{"code": "structure.file", "text": "No such file or directory"}]


@pytest.mark.parametrize("option", ["--anchor", "--crl", "--key", "--password-file"])
def test_endless_certificates_keys_and_passwords(
    here: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (here / "vast").open("wb") as sparse:
        sparse.truncate(LARGEST + 1)
    named = ["--anchor", "alice.pem", "--key", "alice.key", option, "vast"]

    assert main(["smime", "verify", *named, "mail.eml"]) == 2
    assert "too large" in capsys.readouterr().err.lower()


def test_a_structure_cut_off_says_where_it_ends_and_where_it_should() -> None:
    with pytest.raises(StructureRefused) as caught:
        ber.read(b"\x30\x82\x0b\x71" + bytes(411))
    assert caught.value.problem.code == "structure.truncated"
    assert caught.value.problem.text == (
        "cut off at octet 415: what begins at octet 0 should end at octet 2933"
    )
