"""The command as a person meets it: a process, its exit code, what it prints where."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from importlib import import_module
from pathlib import Path

import pytest

from archive.errors import NotInArchive
from archive.errors import Problem as ArchiveProblem
from gateway.cli import NOUNS
from gateway.cli.border import explained, guarded
from gateway.cli.options import config_path, moment
from gateway.cli.output import Output, printable, time_json, time_text
from gateway.errors import CannotTell, NotFound, Refusal, SceauError
from pki.errors import DirectoryTrouble, PkiError, PrivateKeyError, Problem
from tests.corpora import ROOT
from tests.unit.config_files import GOOD, write_good

SCEAU = [sys.executable, "-m", "gateway.cli"]


def sceau(
    *arguments: str, language: str = "C.UTF-8", **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [*SCEAU, *arguments],
        cwd=ROOT,
        env={**kept, "LANG": language, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_help_lists_the_commands_and_the_exit_codes() -> None:
    done = sceau("--help")

    assert done.returncode == 0
    assert "init      write a configuration that works, with comments" in done.stdout
    assert "Exit codes: 0 done or valid; 1 checked and not so" in done.stdout


def test_help_is_there_in_less_than_0_3_seconds() -> None:
    """Of processor time: what else the machine does is not the command's."""

    def spent() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    times = []
    for _ in range(5):
        before = spent()
        sceau("--help")
        times.append(spent() - before)

    assert min(times) < 0.3, times


def test_help_speaks_french() -> None:
    done = sceau("--help", language="fr_FR.UTF-8")

    assert done.stdout.startswith("utilisation : sceau [-h]")
    assert "Codes de retour" in done.stdout
    assert "écrire une configuration" in done.stdout


def test_the_help_of_a_command_speaks_french_too() -> None:
    done = sceau("init", "--help", language="fr_FR.UTF-8")

    assert done.returncode == 0
    assert "notre domaine de messagerie" in done.stdout
    assert "afficher cette aide" in done.stdout


def test_the_listed_line_is_the_modules_own() -> None:
    for noun, (module, line) in NOUNS.items():
        assert line == import_module(module).HELP, noun


def test_every_module_of_a_command_is_listed() -> None:
    frame = {"__init__", "__main__", "border", "exits", "options", "output", "usage"}
    listed = {module.rpartition(".")[2] for module, _ in NOUNS.values()}

    found = {
        file.stem
        for file in (ROOT / "gateway" / "cli").glob("*.py")
        if "\ndef configure(" in file.read_text("utf-8")
    }

    assert found - frame == listed


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["innit", "x"], "sceau: there is no command innit; did you mean init?; sceau --help"),
        (["frobnicate"], "sceau: there is no command frobnicate; sceau --help"),
        (["--bogus"], "sceau: nothing is known of --bogus; sceau --help"),
        (["init"], "sceau init: DIR is missing; sceau init --help"),
        (["init", "d", "--jso"], "sceau init: nothing is known of --jso; sceau init --help"),
        (["init", "d", "--domain"], "sceau init: --domain needs a value; sceau init --help"),
        (
            ["init", "d", "--json=1"],
            "sceau init: --json takes no value; sceau init --help",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(arguments: list[str], error: str) -> None:
    done = sceau(*arguments)

    assert done.returncode == 2
    assert done.stderr == error + "\n"
    assert done.stdout == ""


def test_no_command_at_all_shows_help_and_is_code_2() -> None:
    done = sceau()

    assert done.returncode == 2
    assert "usage: sceau" in done.stderr
    assert done.stdout == ""


def test_version() -> None:
    done = sceau("--version")

    assert (done.returncode, done.stdout) == (0, "sceau 0.1.0\n")


# -- errors at the border ------------------------------------------------------------------------


def border(error: BaseException, language: str = "en", **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a command that raises `error`."""

    def run() -> int:
        raise error

    err = io.StringIO()
    output = Output(language, out=io.StringIO(), err=err)
    code = guarded(run, command="sceau x", output=output, environment=environment)
    return code, err.getvalue()


MISSING = Problem("directory.silent", "the directory {name} is silent", {"name": "j"})


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SceauError("wrong", hint="do this"), 2, "sceau x: wrong; do this\n"),
        (SceauError("{brace", hint="}"), 2, "sceau x: {brace; }\n"),
        (NotFound("no mail 7"), 1, "sceau x: no mail 7\n"),
        (CannotTell("no CRL"), 3, "sceau x: no CRL\n"),
        (Refusal(550, "5.7.1", "not yours"), 1, "sceau x: not yours\n"),
        (PrivateKeyError(MISSING), 2, "sceau x: the directory j is silent\n"),
        (DirectoryTrouble(MISSING), 3, "sceau x: the directory j is silent\n"),
        (
            NotInArchive(ArchiveProblem("read.unknown", "{id} is not there", {"id": "7"})),
            1,
            "sceau x: 7 is not there\n",
        ),
        (
            FileNotFoundError(2, "No such file or directory", "mail.eml"),
            2,
            "sceau x: there is no file mail.eml\n",
        ),
        (
            OSError(5, "Input/output error", "mail.eml"),
            2,
            "sceau x: mail.eml: Input/output error\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_one_line_and_a_code(error: BaseException, code: int, line: str) -> None:
    assert border(error) == (code, line)


def test_errors_of_every_class_have_a_code() -> None:
    for cls in PkiError.__subclasses__():
        lines, code = explained(cls(MISSING), Output())
        assert code in (1, 2, 3)
        assert lines == ["the directory j is silent"]


def test_an_unforeseen_error_is_an_incident_with_its_details_in_a_file(tmp_path: Path) -> None:
    code, line = border(RuntimeError("boom"), XDG_STATE_HOME=str(tmp_path))

    (file,) = (tmp_path / "sceau").iterdir()
    incident = file.stem.removeprefix("incident-")
    assert code == 2
    assert line == f"sceau x: internal fault {incident}; the details are in {file}\n"
    assert "RuntimeError: boom" in file.read_text("utf-8")
    assert file.stat().st_mode & 0o077 == 0


def test_an_incident_that_cannot_be_written_says_how_to_see_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    code, line = border(RuntimeError("boom"), XDG_STATE_HOME=str(tmp_path / "file"))

    assert code == 2
    assert line.endswith("; SCEAU_DEBUG=1 shows the details\n")
    assert "boom" not in line


def test_sceau_debug_shows_the_trace_to_him_who_asks() -> None:
    code, text = border(RuntimeError("boom"), SCEAU_DEBUG="1")

    assert code == 2
    assert "Traceback" in text
    assert "details above" in text


def test_a_closed_pipe_is_quiet() -> None:
    quoted = " ".join(SCEAU)
    script = f"{quoted} --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", f"for i in 1 2 3; do {script}; done"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert set(done.stdout.split()) <= {"0", "141"}
    assert done.stderr == ""


# -- options and output --------------------------------------------------------------------------


def test_the_configuration_is_the_named_one_then_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = Namespace(config=Path("a.toml"))
    unnamed = Namespace(config=None)

    assert config_path(named, {"SCEAU_CONFIG": "b.toml"}) == Path("a.toml")
    assert config_path(unnamed, {"SCEAU_CONFIG": "b.toml"}) == Path("b.toml")
    if not Path("/etc/sceau/sceau.toml").exists():
        with pytest.raises(SceauError, match="there is no configuration: neither --config"):
            config_path(unnamed, {})
    (tmp_path / "sceau.toml").touch()
    assert config_path(unnamed, {}) == Path("sceau.toml")


def test_moments_have_an_offset() -> None:
    assert moment("2026-11-21T14:00:00Z") == datetime(2026, 11, 21, 14, tzinfo=UTC)
    assert moment("2026-11-21T15:00:00+01:00") == datetime(2026, 11, 21, 14, tzinfo=UTC)
    for wrong in ("2026-11-21T14:00:00", "2026-11-21", "yesterday", ""):
        with pytest.raises(SceauError, match="is not a time with its offset"):
            moment(wrong)


def test_times_are_utc_with_their_offset() -> None:
    paris = datetime(2026, 11, 21, 15, 3, 22, 5, tzinfo=timezone(timedelta(hours=1)))

    assert time_text(paris) == "2026-11-21 14:03:22 +00:00"
    assert time_json(paris) == "2026-11-21T14:03:22.000005Z"


def printed(use: Callable[[Output], None], **options: bool) -> str:
    out = io.StringIO()
    use(Output("en", out=out, err=io.StringIO(), **options))
    return out.getvalue()


def test_tables_are_aligned_also_with_accents_and_wide_letters() -> None:
    text = printed(
        lambda output: output.table(
            ["name", "state"], [["e\u0301lise", "held"], ["\u65e5\u672c", "sent"], ["x" * 7, "-"]]
        )
    )

    assert text == ("name     state\ne\u0301lise    held\n\u65e5\u672c     sent\nxxxxxxx  -\n")


def test_an_empty_table_prints_nothing() -> None:
    assert printed(lambda output: output.table(["name"], [])) == ""


def test_json_is_one_object_a_line_and_sentences_are_silent() -> None:
    def use(output: Output) -> None:
        output.say("done")
        output.record({"file": "é\n", "size": 1})
        output.record({})

    lines = printed(use, as_json=True).splitlines()

    assert [json.loads(line) for line in lines] == [{"file": "é\n", "size": 1}, {}]


def test_strangers_cannot_send_commands_to_the_terminal() -> None:
    assert printable("a\x1b[2Jb\u202ec\r\ud800") == "a\\x1b[2Jb\\u202ec\\r\\ud800"


# -- with a configuration ------------------------------------------------------------------------


def test_all_faults_of_a_configuration_are_printed_in_the_persons_language(
    tmp_path: Path,
) -> None:
    from gateway.config import ConfigFaults, load

    text = GOOD.replace("port = 10025", "prot = 0").replace('language = "fr"', 'language = "de"')
    path = write_good(tmp_path, text)
    with pytest.raises(ConfigFaults) as caught:
        load(path)

    code, english = border(caught.value)
    _, french = border(caught.value, "fr")

    assert code == 2
    assert english == (
        f'sceau x: {path}:6: gateway.language: "de" is not one of "en", "fr" '
        '(right would be: language = "fr")\n'
        f"sceau x: {path}:13: listen.prot: there is no such key; did you mean port?\n"
    )
    assert french == (
        f'sceau x\u00a0: {path}:6: gateway.language: "de" n’est pas l’une des valeurs "en", "fr" '
        '(exemple correct\u00a0: language = "fr")\n'
        f"sceau x\u00a0: {path}:13: listen.prot: cette clé n’existe pas\u00a0; "
        "vouliez-vous dire port\u00a0?\n"
    )
