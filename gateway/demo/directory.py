"""A real OpenLDAP server, run from a folder, that knows the people of the made-up PKI.

It listens on free loopback ports with LDAPS and with StartTLS, certified by the world's TLS CA.
Nothing of the system's own slapd configuration is read or changed.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from gateway.demo.pki import Person, World
from gateway.demo.process import NotStartedError, Program, free_port

SLAPD = Path("/usr/sbin/slapd")
SCHEMAS = Path("/etc/ldap/schema")
BASE = "dc=example"
ADMIN = f"cn=admin,{BASE}"
ADMIN_PASSWORD = "demo-admin"  # noqa: S105 - of a server that lives as long as the demo folder

_TRIES = 5


class Directory:
    """slapd with the people of `world`, in `folder`. Use as a context manager, or start and stop.

    After `start`: `ldap_url` (clear, StartTLS offered) and `ldaps_url`; people lie below `base` as
    inetOrgPerson with `mail` and `userCertificate;binary`. Anybody may read; `ADMIN` may write.
    """

    base = BASE

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder
        # Some systems confine /usr/sbin/slapd by AppArmor to /var/lib/ldap. The profile goes by
        # path, and a copy is not slapd the service but a program of the demo.
        self._binary = folder / "slapd"
        self._configuration = folder / "slapd.conf"
        self._prepared = False
        self._program: Program | None = None
        self.ldap_port = 0
        self.ldaps_port = 0

    @property
    def ldap_url(self) -> str:
        """`ldap://127.0.0.1:PORT`, for StartTLS."""
        # Not "localhost": OpenLDAP's client looks for the machine's own name in its place.
        return f"ldap://127.0.0.1:{self.ldap_port}"

    @property
    def ldaps_url(self) -> str:
        """`ldaps://127.0.0.1:PORT`."""
        return f"ldaps://127.0.0.1:{self.ldaps_port}"

    @property
    def ca_file(self) -> Path:
        """PEM of the CA that certified the server."""
        return self._world.tls_ca

    @property
    def pid(self) -> int:
        """Process id of the running slapd, for tests that stop or freeze it."""
        if self._program is None:
            raise NotStartedError("slapd is not running")
        return self._program.process.pid

    def start(self) -> None:
        """Load the entries and answer. After `stop` it starts again on the same ports.

        Raises NotStartedError with slapd's own words.
        """
        if self._prepared:
            self._launch()
            return
        self._prepare()
        self._prepared = True
        for _ in range(_TRIES):
            self.ldap_port, self.ldaps_port = free_port(), free_port()
            try:
                self._launch()
            except NotStartedError as error:
                # Somebody else may have taken a port since it was found free.
                failure = error
            else:
                return
        raise failure

    def stop(self) -> None:
        """Stop slapd; the data stays."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def __enter__(self) -> Directory:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        urls = f"ldap://127.0.0.1:{self.ldap_port} ldaps://127.0.0.1:{self.ldaps_port}"
        # -d 0: stay in the foreground, say nothing.
        command: list[str | Path] = [self._binary, "-d", "0", "-h", urls, "-f", self._configuration]
        self._program = Program(command, self._folder / "slapd.log")
        self._program.wait_for_port(self.ldaps_port)

    def _prepare(self) -> None:
        if not SLAPD.exists():
            raise NotStartedError(f"{SLAPD} is missing: install the package slapd")
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        shutil.copy(SLAPD, self._binary)
        self._configuration.write_text(self._settings(data))
        ldif = self._folder / "entries.ldif"
        ldif.write_text(_ldif(self._world.people))
        loaded = subprocess.run(
            [self._binary, "-Tadd", "-f", self._configuration, "-l", ldif],
            capture_output=True,
            check=False,
        )
        if loaded.returncode:
            raise NotStartedError(f"slapd takes no entries: {loaded.stderr.decode()[-2000:]}")

    def _settings(self, data: Path) -> str:
        server = self._world.tls_server
        schemas = "\n".join(
            f"include {SCHEMAS / name}.schema" for name in ("core", "cosine", "inetorgperson")
        )
        return f"""{schemas}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {self._folder / "slapd.pid"}
TLSCACertificateFile {self._world.tls_ca}
TLSCertificateFile {server.certificate_file}
TLSCertificateKeyFile {server.key_file}
database mdb
suffix "{BASE}"
rootdn "{ADMIN}"
rootpw {ADMIN_PASSWORD}
directory {data}
dbnosync
maxsize 67108864
index objectClass,mail eq
access to attrs=userPassword by * none
access to * by * read
"""


def _ldif(people: Iterable[Person]) -> str:
    entries = [
        f"dn: {BASE}\nobjectClass: dcObject\nobjectClass: organization\no: Demo\ndc: example"
    ]
    domains: set[str] = set()
    for person in people:
        local, _, domain = person.address.partition("@")
        if domain not in domains:
            domains.add(domain)
            entries.append(f"dn: ou={domain},{BASE}\nobjectClass: organizationalUnit\nou: {domain}")
        lines = [f"dn: uid={local},ou={domain},{BASE}", "objectClass: inetOrgPerson"]
        lines += [f"uid: {local}", f"mail: {person.address}"]
        lines += [f"cn:: {_b64(person.name)}", f"sn:: {_b64(person.name.split()[-1])}"]
        lines += [f"userCertificate;binary:: {_b64(value)}" for value in person.directory]
        entries.append("\n".join(lines))
    return "\n\n".join(entries) + "\n"


def _b64(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return base64.b64encode(data).decode()
