"""An installation of `sceau init` with a small PKI of now; `sceau` run inside this process."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from gateway.cli import main
from tests.pki_maker import DAY, Authority, Issued, key, root

PASSWORD = "pass-phrase"
# What a CA issues today; with shorter ones the product seals until the end of 2027 only.
USUAL = "rsa3072"


@dataclass(frozen=True)
class Ran:
    """What a person and a shell saw."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def sceau(*arguments: str | Path) -> Ran:
    """Run one command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return Ran(code, out.getvalue(), err.getvalue())


@cache
def _template() -> tempfile.TemporaryDirectory[str]:
    """What `sceau init` makes, made once: its keys take time. Removed when Python ends."""
    folder = tempfile.TemporaryDirectory()
    made = sceau("init", Path(folder.name) / "sceau", "--domain", "interior.example")
    assert made.code == 0, made.err
    return folder


class House:
    """A configuration that trusts one root, with its issuing CA and CRLs as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = datetime.now(UTC)
        self.root = root("House Root", end=self.now + 900 * DAY)
        self.ca = self.root.sub("House CA", end=self.now + 800 * DAY)
        self.base = folder / "sceau"
        shutil.copytree(Path(_template().name) / "sceau", self.base)
        self.config = self.base / "sceau.toml"
        (self.base / "intermediates" / "ca.pem").write_bytes(self.ca.pem)
        self.root_file = self.write("root.pem", self.root.pem)
        self.publish()
        self.configure(
            f"""
[[pki.anchors]]
name = "house"
certificate = "{self.root_file}"
sha256 = "{self.root.sha256}"
purposes = ["encrypt", "sign"]
domains = ["justice.example", "interior.example"]
comment = "compared by phone"

[[pki.crls]]
file = "{folder / "root.crl"}"

[[pki.crls]]
file = "{folder / "ca.crl"}"
"""
        )

    def run(self, *arguments: str | Path) -> Ran:
        """`sceau pki …` with this configuration."""
        return sceau("pki", *arguments, "--config", self.config)

    def configure(self, text: str) -> None:
        """Add tables to the configuration."""
        self.config.write_text(self.config.read_text("utf-8") + text, "utf-8")

    def allow(self, place: str) -> None:
        """Let CRLs be fetched from "127.0.0.1:port"."""
        text = f'[pki.fetch]\nallow = ["{place}"]\nallow_private = ["127.0.0.0/8"]'
        self.config.write_text(self.config.read_text("utf-8").replace("[pki.fetch]", text), "utf-8")

    def write(self, name: str, data: bytes) -> Path:
        """A file beside the installation."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def issue(
        self, name: str, *emails: str, authority: Authority | None = None, **more: Any
    ) -> Issued:
        """A person's certificate that is valid now."""
        more = {"kind": USUAL, "start": self.now - DAY, "end": self.now + 100 * DAY, **more}
        return (authority or self.ca).issue(name, emails=emails, **more)

    def publish(
        self, number: int = 1, *, start: timedelta = -DAY, end: timedelta = 7 * DAY
    ) -> None:
        """New CRLs of both CAs."""
        for name, authority in (("root.crl", self.root), ("ca.crl", self.ca)):
            crl = authority.crl(number, start=self.now + start, end=self.now + end)
            self.write(name, crl)

    def p12(self, name: str, address: str, **more: Any) -> tuple[Path, Issued]:
        """A PKCS#12 file with a key of its own, and its certificate."""
        issued = self.issue(name, address, subject_key=key(f"own {name}", USUAL), **more)
        path = self.write(f"{name}.p12", issued.p12(PASSWORD.encode(), self.ca.cert))
        return path, issued

    @property
    def password_file(self) -> Path:
        return self.write("password", PASSWORD.encode() + b"\n")
