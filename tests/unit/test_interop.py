"""docs/interop.md is of these files and these cases: no row is missing, none is stale."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.corpora import ROOT, corpus
from tests.interop import corpora, matrix
from tests.interop.cases import CASES
from tests.interop.openssl import OpenSSL
from tests.interop.peer import PeerError
from tests.interop.rows import ENCRYPTIONS, SIGNATURES, Encryption, Signature
from tests.unit.smime_world import Identity

PAGE = ROOT / "docs" / "interop.md"


def test_every_file_has_its_rows_and_no_row_is_stale() -> None:
    base = corpus("rfc4134").parent

    assert Counter(_rows(PAGE.read_text())) == Counter(
        (name, _canonical(case.expected)) for case in CASES for name in corpora.files(base, case)
    )


def _rows(page: str) -> Iterator[tuple[str, str]]:
    folder = ""
    for line in page.partition("## Programs")[0].splitlines():
        if line.startswith("In `"):
            folder = line.split("`")[1]
        found = re.match(r"\| (\S+) \| [A-Z] \| ([^|]*) \|", line)
        if found:
            yield folder + found[1], found[2]


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


# -- the matrix ----------------------------------------------------------------------------


class Credulous(OpenSSL):
    """Finds every signature good."""

    def verify(self, cms: bytes, content: bytes | None) -> bytes:
        return super().verify(cms, None) if content is None else content


class Broken(OpenSSL):
    """Signs other content than it was given, and opens nothing."""

    def sign(self, content: bytes, row: Signature, owner: Identity, *, opaque: bool) -> bytes:
        return super().sign(content + b".", row, owner, opaque=opaque)

    def decrypt(self, cms: bytes, owner: Identity) -> bytes:
        raise PeerError("cannot")

    def encrypt(self, content: bytes, row: Encryption, owner: Identity) -> bytes:
        return super().encrypt(content + b".", row, owner)


def _cells(peer: type[OpenSSL], folder: Path) -> dict[str, matrix.Cell]:
    place = folder / "peer"
    place.mkdir()
    rows = matrix.cells_of(
        peer(place), matrix.Ours(folder), SIGNATURES[:1], ENCRYPTIONS[:1]
    )  # fmt: skip
    return {f"{cell.kind} {cell.direction}": cell for cell in rows}


def test_a_peer_that_does_everything(tmp_path: Path) -> None:
    cells = _cells(OpenSSL, tmp_path)

    assert {title: (cell.said, cell.wrong) for title, cell in cells.items()} == dict.fromkeys(
        ("Signatures →", "Signatures ←", "Encryption →", "Encryption ←"), ("ok", False)
    )


def test_a_peer_that_finds_changed_content_good_is_wrong(tmp_path: Path) -> None:
    cell = _cells(Credulous, tmp_path)["Signatures →"]

    assert (cell.said, cell.wrong) == ("finds changed content good", True)


def test_what_fails_and_is_no_known_limit_is_wrong(tmp_path: Path) -> None:
    cells = _cells(Broken, tmp_path)

    assert [title for title, cell in cells.items() if cell.wrong] == [
        "Signatures ←", "Encryption →", "Encryption ←",
    ]  # fmt: skip
    assert "signature.digest" in cells["Signatures ←"].said
    assert cells["Encryption →"].said == "cannot"
