"""A real slapd in a folder of its own, with TLS from a CA made for it."""

from __future__ import annotations

import base64
import ipaddress
import os
import signal
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.demo.process import free_port
from tests.pki_maker import Authority, Issued, dn, key

BASE = "dc=a,dc=example"
SLAPD = "/usr/sbin/slapd"

# As mail servers and Active Directory have them; Debian's slapd has neither with a matching rule.
SCHEMA = """
attributetype ( 1.3.6.1.4.1.32473.1.1 NAME 'mailAlternateAddress'
  EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.32473.1.2 NAME 'proxyAddresses'
  EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.32473.2.1 NAME 'addresses' AUXILIARY
  MAY ( mailAlternateAddress $ proxyAddresses ) )
"""


def server_certificate(ca: Authority, name: str) -> x509.Certificate:
    """A server certificate for `name` and 127.0.0.1 or for `name` alone if it is another host."""
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    builder = (
        x509.CertificateBuilder()
        .subject_name(dn(name))
        .issuer_name(ca.cert.subject)
        .public_key(key("slapd").public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return builder.sign(ca.key, hashes.SHA256())


def wait_for(port: int) -> None:
    """Until somebody listens. Raises TimeoutError after a minute."""
    for _ in range(1200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError


class Slapd:
    """slapd on ldap:// and ldaps:// loopback ports. `stop()` ends it, `freeze()` halts it."""

    def __init__(
        self,
        folder: Path,
        ca: Authority,
        *,
        tls: bool = True,
        name: str = "localhost",
        closed: bool = False,
        clients: bool = False,
        overlays: tuple[str, ...] = (),
    ) -> None:
        """closed: nobody reads but uid=reader. clients: TLS demands a client certificate, and
        whoever shows one named "reader" is uid=reader to SASL EXTERNAL.
        """
        anonymous = "by * none" if closed else "by * read"
        folder.mkdir()
        self.folder = folder
        self.port, self.tls_port = free_port(), free_port()
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(ca.pem)
        (folder / "db").mkdir()
        lines = [
            "include /etc/ldap/schema/core.schema",
            "include /etc/ldap/schema/cosine.schema",
            "include /etc/ldap/schema/inetorgperson.schema",
            "include /etc/ldap/schema/nis.schema",
            f"pidfile {folder}/slapd.pid",
            f"include {folder}/addresses.schema",
            "modulepath /usr/lib/ldap",
            "moduleload back_mdb",
            *(f"moduleload {overlay}" for overlay in overlays),
        ]
        (folder / "addresses.schema").write_text(SCHEMA)
        if clients:
            lines += [
                "TLSVerifyClient demand",
                f'authz-regexp "^cn=reader," "uid=reader,{BASE}"',
            ]
        if tls:
            cert = server_certificate(ca, name)
            (folder / "cert.pem").write_bytes(cert.public_bytes(Encoding.PEM))
            (folder / "key.pem").write_bytes(Issued(cert, key("slapd")).key_pem)
            lines += [
                f"TLSCACertificateFile {folder}/ca.pem",
                f"TLSCertificateFile {folder}/cert.pem",
                f"TLSCertificateKeyFile {folder}/key.pem",
            ]
        lines += [
            "database mdb",
            f'suffix "{BASE}"',
            f'rootdn "cn=admin,{BASE}"',
            "rootpw secret",
            f"directory {folder}/db",
            "index mail eq",
            "access to attrs=userPassword by anonymous auth by * none",
            f'access to * by dn.exact="uid=reader,{BASE}" read {anonymous}',
            *(f"overlay {overlay}" for overlay in overlays),
        ]
        (folder / "slapd.conf").write_text("\n".join(lines) + "\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.tls = tls
        self.start()
        self.load(f"dn: {BASE}\nobjectClass: domain\ndc: a\n")

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://127.0.0.1:{self.tls_port}"

    @property
    def local_url(self) -> str:
        return "ldapi://" + quote(f"{self.folder}/socket", safe="")

    def start(self) -> None:
        urls = f"{self.url} {self.local_url}" + (f" {self.tls_url}" if self.tls else "")
        log = (self.folder / "log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [SLAPD, "-f", str(self.folder / "slapd.conf"), "-h", urls, "-d", "0"],
                stdout=log,
                stderr=log,
            )
        try:
            wait_for(self.port)
        except TimeoutError:
            raise AssertionError((self.folder / "log").read_text()) from None

    def load(self, ldif: str) -> None:
        subprocess.run(
            ["ldapadd", "-x", "-H", self.url, "-D", f"cn=admin,{BASE}", "-w", "secret"],
            input=ldif.encode(),
            check=True,
            capture_output=True,
        )

    def person(
        self,
        uid: str,
        mail: str,
        *certificates: bytes,
        smime: tuple[bytes, ...] = (),
        more: tuple[str, ...] = (),
    ) -> None:
        lines = [
            f"dn: uid={uid},{BASE}",
            "objectClass: inetOrgPerson",
            "objectClass: addresses",
            *more,
            f"uid: {uid}",
            f"cn: {uid}",
            f"sn: {uid}",
            f"mail: {mail}",
        ]
        for name, values in (
            ("userCertificate;binary", certificates),
            ("userSMIMECertificate", smime),
        ):
            lines += [f"{name}:: {base64.b64encode(one).decode()}" for one in values]
        self.load("\n".join(lines) + "\n")

    def freeze(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        state = Path(f"/proc/{self.process.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.01)

    def thaw(self) -> None:
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(60)
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.thaw()
            self.process.terminate()
            self.process.wait(60)
            self.process = None
