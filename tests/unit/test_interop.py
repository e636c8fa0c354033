"""docs/interop.md is of these files and these cases: no row is missing, none is stale."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.corpora import ROOT, corpus
from tests.interop import corpora
from tests.interop.cases import CASES

PAGE = ROOT / "docs" / "interop.md"


def test_every_file_has_its_rows_and_no_row_is_stale() -> None:
    base = corpus("rfc4134").parent
    page = PAGE.read_text()
    rows = re.findall(r"^\| ([^|]+/[^|]+) \| `(?:verify|decrypt)[^|]*\| ([^|]*) \|", page, re.M)

    assert Counter(rows) == Counter(
        (name, _canonical(case.expected)) for case in CASES for name in corpora.files(base, case)
    )


def _canonical(expected: str) -> str:
    status, *codes = expected.split()
    return " ".join([status, *sorted(codes)])


def test_no_message_of_the_corpora_is_forgotten() -> None:
    base = corpus("rfc4134").parent

    assert corpora.forgotten(base) == []
    assert corpora.absent(base) == []


def test_a_file_that_is_not_as_expected_is_seen(tmp_path: Path) -> None:
    """Guards `./dev interop`: the right file under the name of another is wrong."""
    case = CASES[0]
    source = corpus("rfc4134/rfc4134")
    folder = tmp_path / "rfc4134" / "rfc4134"
    folder.mkdir(parents=True)
    for name in ("CarlRSASelf.cer", "CarlDSSSelf.cer", "4.1.bin"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "4.2.bin").write_bytes((source / "4.11.bin").read_bytes())

    good, bad = corpora.judge(tmp_path, case, tmp_path / "work")

    assert (good.file, good.wrong) == ("rfc4134/rfc4134/4.1.bin", "")
    assert "expected invalid" in bad.wrong


def test_other_content_than_published_is_seen(tmp_path: Path) -> None:
    (case,) = (one for one in CASES if one.content and "ExContent" in one.content)
    source = corpus("rfc4134/rfc4134")
    folder = tmp_path / "rfc4134" / "rfc4134"
    folder.mkdir(parents=True)
    for name in ("BobPrivRSAEncrypt.pri", "BobRSASignByCarl.cer", "5.1.bin", "5.2.bin"):
        (folder / name).write_bytes((source / name).read_bytes())
    (folder / "ExContent.bin").write_bytes(b"This is some other content.")

    rows = list(corpora.judge(tmp_path, case, tmp_path / "work"))

    assert [row.wrong for row in rows] == ["other content than published"] * 2
