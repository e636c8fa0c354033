"""A gateway that takes mail from relays, front ends, people and programs, each at an address of its
own on loopback.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.demo.pki import Keys
from gateway.senders import users
from gateway.senders.passwords import Cost, Passwords
from gateway.senders.users import User
from tests.flows.slapd import BASE, Slapd
from tests.flows.stages import stage
from tests.flows.way_out_scene import HUGO, JEANNE, REGISTRY, Scene
from tests.pki_maker import Authority, Issued, root

# Who comes from where.
STRANGER, RELAY, FRONT, CHECKED = "127.0.0.2", "127.0.0.9", "127.0.0.1", "127.0.0.7"

PASSWORDS = {"jeanne": "le mot de jeanne", "presse": "le mot de la presse", "hugo": "le mot d'hugo"}

RULES = """
[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "person"

[[policy.rules]]
name = "home"
recipient = "@interieur.example"
encryption = "never"
sign = "none"
"""

_TABLES = """
[[relays]]
name = "front"
networks = ["{front}/32"]
domains = ["interieur.example"]
xclient = true

[[relays]]
name = "checked"
networks = ["{checked}/32"]
domains = ["interieur.example"]
from_is_envelope = true

[auth]
users = "keys/users"

[[auth.directories]]
name = "staff"
url = "{ldap}"
base = "{base}"
ca = "{ca}"
timeout = "5s"

[[clients]]
name = "crm"
ca = "keys/clients-ca.pem"
names = ["crm.interieur.example"]

[[clients]]
name = "pinned"
ca = "keys/clients-ca.pem"
certificates = ["{pinned}"]

[[senders]]
name = "press"
login = "presse"
addresses = "{registry}"

[[senders]]
name = "crm"
client = "crm"
addresses = "{registry}"

[[pki.crls]]
file = "keys/clients.crl"

[archive]
"""


@dataclass
class Senders:
    """The gateway, and what is needed to come as somebody."""

    scene: Scene
    slapd: Slapd
    folder: Path
    ca: Authority

    @property
    def port(self) -> int:
        return self.scene.house.listen_port

    def certificate(self, name: str, issued: Issued) -> Path:
        """A PEM file with certificate and key."""
        path = self.folder / f"{name}.pem"
        path.write_bytes(issued.pem + issued.key_pem)
        return path

    def connect(
        self, source: str = STRANGER, *, tls: bool = True, certificate: Path | None = None
    ) -> smtplib.SMTP:
        """A connection after EHLO, the gateway's certificate verified."""
        client = smtplib.SMTP("127.0.0.1", self.port, source_address=(source, 0), timeout=60)
        client.ehlo("client.example")
        if tls:
            context = ssl.create_default_context(cafile=str(self.scene.stage.world.tls_ca))
            if certificate is not None:
                context.load_cert_chain(certificate)
            client.starttls(context=context)
            client.ehlo("client.example")
        return client

    def login(self, name: str, *, source: str = STRANGER) -> smtplib.SMTP:
        """A connection on which somebody has logged in."""
        client = self.connect(source)
        client.login(name, PASSWORDS[name])
        return client

    def proof(self, archive_id: str) -> dict[str, Any]:
        """What the archive says of the sender."""
        accepted = self.scene.history(archive_id)[0]
        found: dict[str, Any] = json.loads(accepted["fields"]["sender.proof"])
        return found


def issue(ca: Authority, name: str, dns: str = "") -> Issued:
    """A client certificate that is valid now."""
    now = datetime.now(UTC)
    return ca.issue(
        name,
        other_names=(x509.DNSName(dns),) if dns else (),
        extended=(ExtendedKeyUsageOID.CLIENT_AUTH,),
        start=now - timedelta(days=1),
        end=now + timedelta(days=30),
    )


def people(server: Slapd) -> None:
    """Hugo, whose password is in the directory alone; and two entries with one login."""
    for uid, mail, word in (
        ("hugo", HUGO, PASSWORDS["hugo"]),
        ("double", "double@interieur.example", "x" * 9),
    ):
        server.person(uid, mail)
        server.load(
            f"dn: uid={uid},{BASE}\nchangetype: modify\nadd: userPassword\nuserPassword: {word}\n"
        )
    server.load(
        f"dn: cn=second,{BASE}\nobjectClass: inetOrgPerson\nuid: double\ncn: second\nsn: second\n"
    )


@pytest.fixture(scope="session")
def senders(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Senders]:
    """Whoever uses it leaves it running."""
    folder = tmp_path_factory.mktemp("senders")
    ca = root("Senders Clients CA")
    server = Slapd(folder / "slapd", root("Directory Test CA"))
    try:
        people(server)
        with stage(folder / "stage", keys=keys) as made:
            house = made.house(rules=RULES, tls=True, workers=1, intake=2).make()
            scene = Scene(made, house)
            there = Senders(scene, server, folder, ca)
            _configure(there)
            house.start()
            yield there
            assert house.stop() == 0
            assert scene.faults(expected=("login_guessing", "login_cannot_tell")) == []
    finally:
        server.stop()


def _configure(there: Senders) -> None:
    house = there.scene.house
    keys = house.folder / "keys"
    (keys / "clients-ca.pem").write_bytes(there.ca.pem)
    revoked = issue(there.ca, "revoked", "crm.interieur.example")
    there.certificate("revoked", revoked)
    there.certificate("crm", issue(there.ca, "crm", "crm.interieur.example"))
    pinned = issue(there.ca, "pinned")
    there.certificate("pinned", pinned)
    there.certificate("other", issue(there.ca, "other", "other.interieur.example"))
    now = datetime.now(UTC)
    there.ca.revoked[revoked.cert.serial_number] = (now, "keyCompromise")
    crl = there.ca.crl(start=now - timedelta(hours=1), end=now + timedelta(days=7))
    (keys / "clients.crl").write_bytes(crl)
    weak = Passwords(Cost(1, 8192, 1))  # outdated: the first login makes it anew
    users.change(
        keys / "users",
        lambda _: {
            "jeanne": User("jeanne", weak.hash(PASSWORDS["jeanne"]), (JEANNE,)),
            "presse": User("presse", Passwords().hash(PASSWORDS["presse"]), ()),
        },
    )
    tables = _TABLES.format(
        front=FRONT, checked=CHECKED, ldap=there.slapd.tls_url.replace("127.0.0.1", "localhost"),
        base=BASE, ca=there.slapd.ca_file, pinned=pinned.sha256, registry=REGISTRY,
    )  # fmt: skip
    text = house.config.read_text()
    for old, new in (
        ('networks = ["127.0.0.0/8"]', f'networks = ["{RELAY}/32"]'),
        ("[[relays]]", 'auth = "offered"\n[[relays]]'),
        ("[archive]\n", tables),
        ("intermediates = [", f'intermediates = ["{keys}/clients-ca.pem", '),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    house.config.write_text(text)
