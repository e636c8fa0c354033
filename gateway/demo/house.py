"""A Sceau of one's own, in a folder: configuration, keys, database, processes.

The demo, the tests and the bench run the product through this, and only through what a user has
too: the configuration file and the command `sceau`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.demo.pki import P12_PASSWORD, Ministry, World
from gateway.demo.postgres import Postgres
from gateway.demo.process import NotStartedError, free_port

READY_SECONDS = 120.0  # of a machine that may have much else to do

DEFAULT_RULES = """
[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "person"
"""


@dataclass
class House:
    """One installation. `make` writes it, `start` runs it, `stop` ends it.

    ldap_url: of the directory; crl_url: base of the CRL server; sink_port: next hop for all mail.
    rules: the [[policy.rules]] and [[policy.partners]] as TOML. environment: added to ours.
    postgres: a server for the database, whose name there is `database`; otherwise SQLite.
    """

    folder: Path
    world: World
    ldap_url: str
    sink_port: int
    rules: str = DEFAULT_RULES
    retry: str = '["1s", "1s", "2s", "5s"]'
    expire: str = "5d"
    intake: int | str = "auto"
    workers: int | str = "auto"
    sink_tls: str = "none"
    tls: bool = False
    language: str = "en"
    partner_domains: tuple[str, ...] = ("justice.example",)
    listen_port: int = field(default_factory=free_port)
    environment: Mapping[str, str] = field(default_factory=dict)
    postgres: Postgres | None = None
    database: str = field(default_factory=lambda: f"sceau_{secrets.token_hex(4)}")
    takeover: str = "60s"
    process: subprocess.Popen[bytes] | None = None

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "sceau.toml"

    @property
    def log(self) -> Path:
        """What `sceau serve` says."""
        return self.folder / "serve.log"

    @property
    def authority_key(self) -> Path:
        """The archive authority's private key: in a real house it never lies here."""
        return self.folder / "authority" / "authority.key"

    def make(self, *, persons: bool = True) -> House:
        """`sceau init`, then the configuration of this world; persons: import keys and consents."""
        where = []
        if self.postgres is not None:
            where = ["--database", self.postgres.create(self.database)]
            where += ["--password-file", str(self.postgres.password_file)]
        self.run("init", str(self.folder), "--domain", "interieur.example", *where, config=False)
        self.reconfigure()
        if persons:
            for person in self.world.interieur.people:
                assert person.p12 is not None
                password = self.folder / "keys" / "p12.password"
                password.write_text(P12_PASSWORD + "\n")
                self.run(
                    "pki", "key", "import", str(person.p12), "--address", person.address,
                    "--password-file", str(password), "--consent-of", person.name,
                )  # fmt: skip
        return self

    def another(self, name: str) -> House:
        """The same installation on another machine: as its manual says, a copy of the folder with
        the keys of mail in flight shared."""
        folder = self.folder.with_name(name)
        skip = shutil.ignore_patterns("data", "working", "serve.log")
        shutil.copytree(self.folder, folder, ignore=skip)
        (folder / "data").mkdir(mode=0o700)
        (folder / "keys" / "working").symlink_to(self.folder / "keys" / "working")
        other = replace(self, folder=folder, listen_port=free_port(), process=None)
        other.reconfigure()
        return other

    def reconfigure(self) -> None:
        """Write the configuration anew."""
        self.config.write_text(self._configuration(), "utf-8")

    def start(self, *, environment: Mapping[str, str] | None = None) -> House:
        """`sceau serve`; returns when it is ready. Raises NotStartedError with its last words."""
        # `from_here`: the log of an earlier run must not look like this one's readiness.
        from_here = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command(["serve", "--config", str(self.config)]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._environment(environment),
                start_new_session=True,
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if any(event.get("event") == "ready" for event in self.events(since=from_here)):
                return self
            time.sleep(0.02)
        self.stop()
        tail = self.log.read_bytes()[-2000:].decode("utf-8", "replace")
        raise NotStartedError(f"sceau serve did not get ready: {tail}")

    def stop(self) -> int:
        """Gracefully; the exit code."""
        process = self.process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                self.kill()
        code = process.wait()
        self.process = None
        return code

    def kill(self) -> None:
        """SIGKILL to the supervisor and all its children at once: a power cut without the power."""
        assert self.process is not None
        children = children_of(self.process.pid)
        for pid in (self.process.pid, *children):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
        self.process = None

    def events(self, *, since: int = 0) -> list[dict[str, object]]:
        """The log lines of `sceau serve` from byte `since` on."""
        with self.log.open("rb") as file:
            file.seek(since)
            lines = file.read().split(b"\n")[:-1]  # the last one is still being written
        return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]

    def run(
        self, *arguments: str, config: bool = True, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """A `sceau` command, as a user would type it. check: raise when it does not exit with 0."""
        command = list(arguments) + (["--config", str(self.config)] if config else [])
        done = subprocess.run(
            self._command(command), capture_output=True, check=False, env=self._environment(None)
        )
        if check and done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise NotStartedError(f"sceau {' '.join(arguments)}: exit {done.returncode}: {said}")
        return done

    def json(self, *arguments: str, check: bool = True) -> list[dict[str, object]]:
        """The lines of a command with `--json`."""
        done = self.run(*arguments, "--json", check=check)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait_settled(self, *, seconds: float, state: Sequence[str] = ("queued",)) -> bool:
        """Wait until no recipient is in one of these states; False when time is up."""
        deadline = time.monotonic() + seconds
        options = [part for each in state for part in ("--state", each)]
        while time.monotonic() < deadline:
            if not self.json("queue", "list", *options, "--limit", "1"):
                return True
            time.sleep(0.1)
        return False

    def wait_indexed(self, *, seconds: float) -> bool:
        """Wait until the full-text index has caught up with the log."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for finding in self.json("check", check=False):
                if finding["subject"] == "index" and str(finding["text"]).startswith("0 entries"):
                    return True
            time.sleep(0.2)
        return False

    def _command(self, arguments: list[str]) -> list[str]:
        return [sys.executable, "-m", "gateway.cli", *arguments]

    def _environment(self, more: Mapping[str, str] | None) -> dict[str, str]:
        return {**os.environ, "LANG": "C.UTF-8", "LC_ALL": "", **self.environment, **(more or {})}

    def _configuration(self) -> str:
        world = self.world
        assert world.interieur.seal is not None
        anchors = "".join(
            f"""
[[pki.anchors]]
name = "{ministry.domain}"
certificate = "{ministry.root.credential.certificate_file}"
sha256 = "{_fingerprint(ministry.root.credential.certificate_file)}"
purposes = ["encrypt", "sign"]
domains = {json.dumps(self._domains(ministry))}
"""
            for ministry in (world.justice, world.interieur)
        )
        crls = "".join(
            f'\n[[pki.crls]]\nurl = "{authority.crl_url}"\nevery = "1m"\n'
            for ministry in (world.justice, world.interieur)
            for authority in (ministry.root, ministry.issuing)
        )
        crl_host = world.justice.root.crl_url.split("/")[2]
        tls = (
            f'tls_certificate = "{world.tls_server.certificate_file}"\n'
            f'tls_key = "{world.tls_server.key_file}"\n'
            if self.tls
            else ""
        )
        seal = world.interieur.seal
        return f"""
[gateway]
organisation = "interieur"
hostname = "sceau.interieur.example"
domains = ["interieur.example"]
postmaster = "postmaster@interieur.example"
language = "{self.language}"

[database]
{self._database()}

[listen]
address = "127.0.0.1"
port = {self.listen_port}
{tls}
[[relays]]
name = "postfix"
networks = ["127.0.0.0/8"]
domains = ["interieur.example"]

[archive]
origin = "sceau.interieur.example/archive"
recipients = ["recipients/authority.pub", "recipients/escrow.pub"]
working_keys = "keys/working"
index = "data/index"

[pki]
key_encryption_key = "keys/kek"
intermediates = ["{world.justice.issuing.credential.certificate_file}",
                 "{world.interieur.issuing.credential.certificate_file}"]
{anchors}
[[pki.directories]]
name = "justice"
url = "{self.ldap_url}"
base = "dc=example"
domains = {json.dumps(list(self.partner_domains))}
ca = "{world.tls_ca}"
{crls}
[pki.fetch]
allow = ["{crl_host}"]
allow_private = ["127.0.0.0/8"]

[[seals]]
domains = ["interieur.example"]
key = "{seal.key_file}"
certificate = "{self._seal_chain()}"
{self.rules}
[[routes]]
name = "all"
default = true
host = "127.0.0.1"
port = {self.sink_port}
tls = "{self.sink_tls}"
{f'ca = "{world.tls_ca}"' if self.sink_tls == "verified" else ""}

[queue]
retry = {self.retry}
expire = "{self.expire}"

[workers]
intake = {json.dumps(self.intake)}
seal = {json.dumps(self.workers)}

[log]
format = "json"
"""

    def _database(self) -> str:
        if self.postgres is None:
            return f'url = "sqlite:///data/sceau.db"\ntakeover = "{self.takeover}"'
        return (
            f'url = "{self.postgres.url(self.database)}"\n'
            f'password_file = "{self.postgres.password_file}"\n'
            f'takeover = "{self.takeover}"'
        )

    def _domains(self, ministry: Ministry) -> list[str]:
        if ministry is self.world.justice:
            return list(self.partner_domains)
        return [ministry.domain]

    def _seal_chain(self) -> Path:
        """The seal's certificate with its issuing CA, as readers need it to build the path."""
        assert self.world.interieur.seal is not None
        chain = self.folder / "keys" / "seal-chain.pem"
        chain.write_bytes(
            self.world.interieur.seal.certificate_file.read_bytes()
            + self.world.interieur.issuing.credential.certificate_file.read_bytes()
        )
        return chain


def _fingerprint(certificate: Path) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.fingerprint(hashes.SHA256()).hex(":")


def children_of(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found
