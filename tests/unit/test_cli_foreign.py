"""Commands that read strangers' files: one that takes too much is told of, and the others done."""

from __future__ import annotations

import ctypes
import json
import tarfile
from argparse import Namespace
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main, smime_show
from gateway.cli.files import FileProblem, each_file
from gateway.cli.foreign import judging
from gateway.cli.output import Output
from gateway.guard.answer import Answer
from gateway.guard.budget import MEGABYTE, Budget
from gateway.smime.inspect import Inspection, inspect
from pki.errors import problem
from tests.corpora import corpus
from tests.peak import count_anew, peak

LETTER = b"From: a@example.org\r\nSubject: s\r\n\r\nhello\r\n"


def _hostile(data: bytes) -> Inspection:
    """`inspect`, as it were if these octets broke it."""
    if b"crash" in data:
        ctypes.string_at(0)
    while b"spin" in data:
        pass
    if b"memory" in data:
        return _hostile(b"x" * (400 * MEGABYTE))
    if b"recurse" in data:
        return _hostile(data)
    if b"fault" in data:
        raise KeyError(data)
    return inspect(data)


BROKEN = ["crash", "fault", "memory", "recurse", "spin"]


@pytest.fixture
def letters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setattr(smime_show, "inspect", _hostile)
    # Little, so that the tests are quick; but a machine that stands still for seconds harms none.
    budget = Budget(cpu=2, patience=200, memory=64 * MEGABYTE)
    monkeypatch.setattr(smime_show, "judging", partial(judging, budget=budget))
    for name in [*BROKEN, "good", "other"]:
        (tmp_path / name).write_bytes(LETTER.replace(b"hello", name.encode()))
    return tmp_path


def test_files_that_take_too_much_are_told_of_and_the_others_read(
    letters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["smime", "inspect", "--json", str(letters)]) == 3

    records = {
        Path(one["file"]).name: one for one in map(json.loads, capsys.readouterr().out.splitlines())
    }
    assert list(records) == sorted([*BROKEN, "good", "other"])
    assert {name: one["status"] for name, one in records.items()} == (
        dict.fromkeys(BROKEN, "indeterminate") | {"good": "read", "other": "read"}
    )
    codes = {name: [found["code"] for found in one["problems"]] for name, one in records.items()}
    assert codes == {
        "crash": ["limits.crash"],
        "fault": ["limits.internal"],
        "memory": ["limits.memory"],
        "recurse": ["limits.depth"],
        "spin": ["limits.cpu"],
        "good": [],
        "other": [],
    }


def test_a_person_reads_why_in_the_language_of_the_terminal(
    letters: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["smime", "inspect", "good", "crash"]) == 3
    out, err = capsys.readouterr()
    assert "text/plain" in out
    assert err == "crash: the process that read it died (SIGSEGV)\n"

    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert main(["smime", "inspect", "good", "crash"]) == 3
    out, err = capsys.readouterr()
    assert "Rien n’a été vérifié." in out
    assert err == "crash\u00a0: le processus qui le lisait est mort (SIGSEGV)\n"


def test_what_cannot_be_read_stays_malformed(
    letters: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (letters / "no-mail").write_bytes(b"just text")
    assert main(["smime", "inspect", "--json", "crash", "missing", "no-mail", "good"]) == 2
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["status"] for one in records] == ["indeterminate", "malformed", "malformed", "read"]
    assert [one["problems"][0]["code"] for one in records[1:3]] == [
        "structure.file",
        "structure.header",
    ]


def _judge(data: bytes, path: Path, output: Output) -> Answer:
    """Gives octets, shows on both streams, and knows a problem with facts."""
    if data == b"refused":
        raise FileProblem("refused", problem("decrypt.x", "{file} is not for us", file=str(path)))
    output.line(f"reading {path}\x1b[2J")
    output.note("{file}: {reason}", file=str(path), reason="aside")
    return Answer({"status": "done", "name": path.name}, data * 2)


def test_octets_texts_and_problems_come_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "refused"):
        (tmp_path / name).write_bytes(name.encode())
    inputs = [tmp_path / "one", tmp_path / "refused"]
    written: dict[str, bytes] = {}

    def work(path: Path) -> dict[str, Any]:
        answer = judged(path)
        written[path.name] = bytes(answer.octets)
        return dict(answer.value)

    args = Namespace(as_json=True, language="en")
    with judging(_judge, Output(as_json=True)) as judged:
        code = each_file(args, inputs, work)

    out, err = capsys.readouterr()
    shown, *lines = out.splitlines()
    assert shown == f"reading {inputs[0]}\\x1b[2J"
    assert [json.loads(line) for line in lines] == [
        {"file": str(inputs[0]), "status": "done", "name": "one"},
        {
            "file": str(inputs[1]),
            "status": "refused",
            "problems": [{"code": "decrypt.x", "text": f"{inputs[1]} is not for us"}],
        },
    ]
    assert err == f"{inputs[0]}: aside\n{inputs[1]}: {inputs[1]} is not for us\n"
    assert written == {"one": b"oneone"}
    assert code == 1


def test_the_command_itself_stays_small(tmp_path: Path) -> None:
    """A message lies in the command once, and in its worker."""
    file = tmp_path / "large"
    file.write_bytes(LETTER + bytes(60 * MEGABYTE))

    def count(data: bytes, _path: Path, _output: Output) -> Answer:
        return Answer({"size": len(data)})

    with judging(count, Output(), Budget(memory=20 * MEGABYTE, copies=1)) as judged:
        before = count_anew()
        assert judged(file).value == {"size": len(LETTER) + 60 * MEGABYTE}
        grown = peak() - before
    assert 50 * MEGABYTE < grown < 80 * MEGABYTE  # once, or nothing was measured


def test_all_foreign_messages_get_the_same_answer_in_a_worker() -> None:
    """Charsets, lazily imported modules, limits: nothing in a worker changes what is found."""
    messages: list[bytes] = []
    for folder in ("rfc4134", "nss-smime", "header-protection", "rustcrypto-cms", "horde-smime"):
        messages += [path.read_bytes() for path in corpus(folder).rglob("*") if path.is_file()]
    with tarfile.open(corpus("openssl-fuzz-cms") / "cms.tar.xz") as archive:
        members = (archive.extractfile(one) for one in archive if one.isfile())
        messages += [file.read() for file in members if file is not None][::5]
    assert len(messages) > 400

    def judge(data: bytes, _path: Path, _output: Output) -> Answer:
        return Answer(inspect(data).as_dict())

    names = iter(messages)
    with judging(judge, Output(), Budget(cpu=30)) as judged, pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.cli.foreign.read", lambda _path: next(names))
        for data in messages:
            found: Mapping[str, Any] = judged(Path("x")).value
            assert found == json.loads(json.dumps(inspect(data).as_dict()))
