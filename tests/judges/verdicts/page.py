"""docs/pki-verdicts.md: made by `python -m tests.judges.verdicts`, compared in the unit tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.judges.verdicts import certvalidator, openssl_certs
from tests.judges.verdicts.row import Row, is_trusted_certificate, readable, say

_HEAD = """\
# Published certificates: what we say, and why

Made by `python -m tests.judges.verdicts`, never by hand; a test compares. Each line is a question
that somebody else published with its answer. The answers and, where ours is another, the reason are
written by hand in `tests/judges/verdicts/`; the column "we say" is what `pki.path` says. Beside
these: NIST PKITS (`tests/unit/test_pkits.py`, 247 of 247), the OCSP responses of both
(`tests/unit/test_ocsp_corpora.py`), signed mails (`docs/interop.md`).
"""

SOURCES: tuple[tuple[str, str, str, Sequence[Row]], ...] = (
    (
        "openssl", openssl_certs.FOLDER,
        "openssl's `test/certs` and the lines of its `25-test_verify.t` that are about paths.",
        openssl_certs.ROWS,
    ),
    (
        "certvalidator", certvalidator.FOLDER,
        "The fixtures of certvalidator; who was revoked when stands in their `certomancer.yml`.",
        certvalidator.ROWS,
    ),
)  # fmt: skip


def page(corpora: Path) -> str:
    """The whole file."""
    return "".join(_lines(corpora))


def _lines(corpora: Path) -> Iterator[str]:
    yield _HEAD
    for name, folder, about, rows in SOURCES:
        differing = sum(row.differs for row in rows)
        yield f"\n## {name}\n\n{about} {len(rows)} questions, another answer to {differing}.\n\n"
        if folder == openssl_certs.FOLDER:
            yield _not_asked(corpora / folder)
        yield "| certificate | trusted | others | about | published | we say | why |\n"
        yield "|---|---|---|---|---|---|---|\n"
        for row in rows:
            yield (
                f"| {_names([row.leaf])} | {_names(row.trusted)} | "
                f"{_names([*row.others, *row.crls])} | {row.about} | "
                f"{'valid' if row.published else 'refused'} | {say(row, corpora / folder)} | "
                f"{row.why} |\n"
            )


def _names(files: Sequence[str]) -> str:
    return " ".join(f"`{file.rpartition('/')[2]}`" for file in files)


def _not_asked(folder: Path) -> str:
    """What is in the folder and in no line, by kind of file."""
    asked = {
        name
        for row in openssl_certs.ROWS
        for name in (row.leaf, *row.trusted, *row.others)
    }  # fmt: skip
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    rest = [file for file in files if file.stem not in asked]
    trusted = [file for file in rest if is_trusted_certificate(file)]
    certs = [file for file in rest if file not in trusted and readable(file)]
    others = len(rest) - len(trusted) - len(certs)
    return (
        f"Of {len(files)} files {len(files) - len(rest)} are asked about here. Not asked about: "
        f"{len(trusted)} in openssl's own format `TRUSTED CERTIFICATE`, which says for what a root "
        f"is trusted; {len(certs)} certificates for lines about TLS, time stamps, proxies, SM2, "
        f"`-x509_strict` or certificate transparency, or for no line; {others} keys, requests, "
        "CRLs and texts.\n\n"
    )
