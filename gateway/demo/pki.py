"""The made-up PKI of the demo, the tests and the bench: two ministries that do not exist.

Each ministry has a root, an issuing CA below it and a CRL from each, published over HTTP at the
address written into the certificates. The people are chosen so that each has one thing right or
wrong. Keys are fresh in every run; names, addresses and faults are always the same. Nothing in
here is ever a trust anchor outside a demo folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

INTERIEUR = "interieur.example"  # the house whose gateway signs
JUSTICE = "justice.example"  # the house it writes to
P12_PASSWORD = "demo-passphrase"  # noqa: S105 - opens a key that lives as long as the demo folder

RSA_BITS = 3072  # what a CA issues today; the product seals with 2048 until the end of 2027 only
CRL_VALIDITY = timedelta(days=7)
# RFC 3183 §2.1.1: what the signer of a whole domain is called, in the DN and before the "@".
DOMAIN_SIGNER = "domain-signing-authority"


class Fault(Enum):
    """What is wrong with a person's certificate in the directory."""

    NONE = "none"
    REVOKED = "revoked"
    EXPIRED = "expired"
    ABSENT = "no certificate"
    OTHER_ADDRESS = "certificate for another address"
    GARBAGE = "bytes that are no certificate"


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate and its private key, in memory and as PEM files (keys without a password)."""

    certificate: x509.Certificate
    key: PrivateKey
    certificate_file: Path
    key_file: Path

    @property
    def der(self) -> bytes:
        """DER of the certificate."""
        return self.certificate.public_bytes(serialization.Encoding.DER)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA. `crl_file` is what stands at `crl_url` once the CRL server runs (DER)."""

    credential: Credential
    crl_file: Path
    crl_url: str

    def publish_crl(
        self,
        *,
        moment: datetime,
        number: int,
        revoked: Sequence[x509.Certificate] = (),
        validity: timedelta = CRL_VALIDITY,
    ) -> bytes:
        """Write a new complete CRL over the old one and return its DER.

        moment: thisUpdate and revocation date (aware UTC); number: cRLNumber, to be higher than
        the last; revoked: every certificate that shall stand on it; validity: until nextUpdate.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.credential.certificate.subject)
            .last_update(moment)
            .next_update(moment + validity)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(_key_identifier(self.credential), critical=False)
        )
        for certificate in revoked:
            entry = (
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(moment)
                .add_extension(x509.CRLReason(x509.ReasonFlags.key_compromise), critical=False)
            )
            builder = builder.add_revoked_certificate(entry.build())
        crl = builder.sign(self.credential.key, hashes.SHA256())
        der = crl.public_bytes(serialization.Encoding.DER)
        # Replaced in one step: the CRL server must never hand out half of one.
        fresh = self.crl_file.with_suffix(".new")
        fresh.write_bytes(der)
        fresh.replace(self.crl_file)
        return der


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an address, and what the directory says of them.

    directory: values of `userCertificate;binary`, in the order in which they are stored.
    credential: certificate and key of this person, None for ABSENT and GARBAGE.
    p12: PKCS#12 file (password `P12_PASSWORD`) for people who let the gateway sign for them.
    """

    name: str
    address: str
    fault: Fault
    directory: tuple[bytes, ...]
    credential: Credential | None
    p12: Path | None = None


@dataclass(frozen=True, slots=True)
class Ministry:
    """One house: its CAs, its people, and the seal of its domain (RFC 3183), if it has one."""

    name: str
    domain: str
    root: Authority
    issuing: Authority
    people: tuple[Person, ...]
    seal: Credential | None

    def person(self, fault: Fault = Fault.NONE, *, kind: str = "rsa") -> Person:
        """The first person with this fault and, where there is a key, this kind ("rsa", "ec")."""
        for person in self.people:
            if person.fault is fault and (person.credential is None or _kind(person) == kind):
                return person
        raise LookupError(f"{self.domain} has nobody with {fault.value!r} and a key of kind {kind}")


@dataclass(frozen=True, slots=True)
class World:
    """Everything that was made. `crl_folder` is what the CRL server has to serve.

    tls_ca: PEM file of the CA of the servers; tls_server: for 127.0.0.1 and localhost.
    """

    folder: Path
    interieur: Ministry
    justice: Ministry
    crl_folder: Path
    tls_ca: Path
    tls_server: Credential

    @property
    def people(self) -> tuple[Person, ...]:
        """All people of both houses."""
        return self.interieur.people + self.justice.people


class Keys:
    """Makes keys and remembers RSA keys by label, so that one run needs each only once.

    bits: of the RSA keys.
    Finding primes is by far the slowest part of a world; tests that make many hand in one `Keys`.
    """

    def __init__(self, bits: int = RSA_BITS) -> None:
        self._bits = bits
        self._rsa: dict[str, rsa.RSAPrivateKey] = {}

    def make(self, kind: str, label: str) -> PrivateKey:
        """A key for `label`: kind "rsa" or "ec" (P-256, fresh at each call)."""
        if kind == "ec":
            return ec.generate_private_key(ec.SECP256R1())
        if label not in self._rsa:
            self._rsa[label] = rsa.generate_private_key(65537, self._bits)
        return self._rsa[label]


def make_world(
    folder: Path,
    base_url: str,
    *,
    moment: datetime,
    keys: Keys | None = None,
    seal: str = "rsa",
    crowd: int = 0,
) -> World:
    """Make both ministries below `folder` (created if absent).

    base_url: where `World.crl_folder` will be served ("http://127.0.0.1:PORT"); it goes into the
    CRL distribution points. moment: the "now" of the world, aware UTC; certificates count from a
    day before it, CRLs end `CRL_VALIDITY` after it. seal: kind of the sending ministry's seal key.
    crowd: more people of the receiving ministry, `crowd_address` each.
    """
    moment = moment.replace(microsecond=0)  # RFC 5280 §4.1.2.5 has no fractions of a second
    maker = _Maker(folder, base_url.rstrip("/"), moment, keys or Keys())
    interieur = maker.ministry(
        "Ministère fictif de l'Intérieur", INTERIEUR, "rsa", _INTERIEUR_PEOPLE, seal=seal
    )
    readers = _JUSTICE_PEOPLE + tuple(
        (f"Agent {n}", crowd_address(n).partition("@")[0], "rsa", Fault.NONE) for n in range(crowd)
    )
    justice = maker.ministry("Ministère fictif de la Justice", JUSTICE, "ec", readers)
    tls_ca, tls_server = maker.servers()
    return World(folder, interieur, justice, maker.crl_folder, tls_ca, tls_server)


def crowd_address(number: int) -> str:
    """Of one in the crowd, from 0."""
    return f"agent.{number:04d}@{JUSTICE}"


# Name, local part, kind of key, fault. The speaking names make a demo's table readable.
_PeopleTable = tuple[tuple[str, str, str, Fault], ...]

_INTERIEUR_PEOPLE: _PeopleTable = (
    ("Jeanne Moreau", "jeanne.moreau", "rsa", Fault.NONE),
    ("Hugo Blanc", "hugo.blanc", "ec", Fault.NONE),
)
_JUSTICE_PEOPLE: _PeopleTable = (
    ("Amélie Roux", "amelie.roux", "rsa", Fault.NONE),
    ("Bastien Faure", "bastien.faure", "ec", Fault.NONE),
    ("Carole Révoquée", "carole.revoquee", "rsa", Fault.REVOKED),
    ("Denis Expiré", "denis.expire", "rsa", Fault.EXPIRED),
    ("Élise Sans-Certificat", "elise.sans", "rsa", Fault.ABSENT),
    ("Fabien Autre-Adresse", "fabien.autre", "rsa", Fault.OTHER_ADDRESS),
    ("Gaëlle Illisible", "gaelle.illisible", "rsa", Fault.GARBAGE),
)


class _Maker:
    """Writes one world; what all certificates of it have in common."""

    def __init__(self, folder: Path, base_url: str, moment: datetime, keys: Keys) -> None:
        self.folder = folder
        self.base_url = base_url
        self.moment = moment
        self.keys = keys
        self.crl_folder = folder / "crl"
        self.crl_folder.mkdir(parents=True, exist_ok=True)

    def ministry(
        self, name: str, domain: str, issuing_kind: str, people: _PeopleTable, *, seal: str = ""
    ) -> Ministry:
        root = self._authority(name, domain, "root", "rsa", None)
        issuing = self._authority(name, domain, "issuing", issuing_kind, root)
        made = tuple(self._person(name, domain, issuing, *row) for row in people)
        revoked = [
            person.credential.certificate
            for person in made
            if person.fault is Fault.REVOKED and person.credential is not None
        ]
        root.publish_crl(moment=self.moment, number=1)
        issuing.publish_crl(moment=self.moment, number=1, revoked=revoked)
        credential = None
        if seal:
            address = f"{DOMAIN_SIGNER}@{domain}"
            credential = self._mail_credential(
                issuing, _name(name, DOMAIN_SIGNER), address, seal, domain, "seal", sign_only=True
            )
        return Ministry(name, domain, root, issuing, made, credential)

    def servers(self) -> tuple[Path, Credential]:
        """A CA of its own for the servers: TLS must not hang on what signs mail."""
        key = self.keys.make("ec", "tls-ca")
        subject = _name("Demo", "Demo TLS CA")
        ca = self._builder(subject, subject, key, timedelta(days=365))
        ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        ca = ca.add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        root = self._store(ca.sign(key, hashes.SHA256()), key, "tls", "ca")
        server_key = self.keys.make("ec", "tls-server")
        server = self._builder(_name("Demo", "localhost"), subject, server_key, timedelta(days=90))
        names = [x509.DNSName("localhost"), x509.IPAddress(IPv4Address("127.0.0.1"))]
        server = (
            server.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_key_identifier(root), critical=False)
        )
        credential = self._store(server.sign(key, hashes.SHA256()), server_key, "tls", "server")
        return root.certificate_file, credential

    def _authority(
        self, name: str, domain: str, role: str, kind: str, parent: Authority | None
    ) -> Authority:
        key = self.keys.make(kind, f"{role}.{domain}")
        subject = _name(name, f"{domain} {role} CA")
        issuer = parent.credential.certificate.subject if parent else subject
        builder = self._builder(subject, issuer, key, timedelta(days=5 * 365), past=True)
        builder = builder.add_extension(
            x509.BasicConstraints(ca=True, path_length=None if parent is None else 0), critical=True
        ).add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        if parent is not None:
            builder = builder.add_extension(_key_identifier(parent.credential), critical=False)
            builder = builder.add_extension(_points(parent.crl_url), critical=False)
        signing_key = parent.credential.key if parent else key
        credential = self._store(builder.sign(signing_key, hashes.SHA256()), key, domain, role)
        file = self.crl_folder / f"{domain}-{role}.crl"
        return Authority(credential, file, f"{self.base_url}/{file.name}")

    def _person(
        self, house: str, domain: str, issuing: Authority, name: str, local: str, kind: str,
        fault: Fault,
    ) -> Person:  # fmt: skip
        address = f"{local}@{domain}"
        if fault is Fault.ABSENT:
            return Person(name, address, fault, (), None)
        if fault is Fault.GARBAGE:
            # Looks like DER at first sight (a SEQUENCE that promises more than it holds).
            return Person(name, address, fault, (b"\x30\x82\x05\x00" + b"not a certificate",), None)
        certified = f"someone.else@{domain}" if fault is Fault.OTHER_ADDRESS else address
        credential = self._mail_credential(
            issuing, _name(house, name), certified, kind, domain, local,
            expired=fault is Fault.EXPIRED,
        )  # fmt: skip
        p12 = None
        if domain == INTERIEUR:
            p12 = credential.certificate_file.with_suffix(".p12")
            p12.write_bytes(
                pkcs12.serialize_key_and_certificates(
                    local.encode(),
                    credential.key,
                    credential.certificate,
                    [issuing.credential.certificate],
                    serialization.BestAvailableEncryption(P12_PASSWORD.encode()),
                )
            )
        return Person(name, address, fault, (credential.der,), credential, p12)

    def _mail_credential(
        self, issuing: Authority, subject: x509.Name, address: str, kind: str, domain: str,
        label: str, *, expired: bool = False, sign_only: bool = False,
    ) -> Credential:  # fmt: skip
        key = self.keys.make(kind, f"{label}.{domain}")
        issuer = issuing.credential.certificate.subject
        validity = timedelta(days=-1) if expired else timedelta(days=365)
        builder = self._builder(subject, issuer, key, validity, past=expired)
        # RFC 8551 §4.4.2 by way of RFC 8550: RSA keys wrap content keys, EC keys agree on one.
        secrecy = "key_encipherment" if kind == "rsa" else "key_agreement"
        secrecy_bits = () if sign_only else (secrecy,)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                _usage("digital_signature", "content_commitment", *secrecy_bits), critical=True
            )
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False)
            .add_extension(_key_identifier(issuing.credential), critical=False)
            .add_extension(_points(issuing.crl_url), critical=False)
        )
        certificate = builder.sign(issuing.credential.key, hashes.SHA256())
        return self._store(certificate, key, domain, label)

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: PrivateKey, validity: timedelta,
        *, past: bool = False,
    ) -> x509.CertificateBuilder:  # fmt: skip
        begin = self.moment - timedelta(days=3 * 365 if past else 1)
        public = key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(self.moment + validity)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def _store(
        self, certificate: x509.Certificate, key: PrivateKey, group: str, label: str
    ) -> Credential:
        folder = self.folder / group
        folder.mkdir(parents=True, exist_ok=True)
        certificate_file, key_file = folder / f"{label}.pem", folder / f"{label}.key"
        certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.touch(mode=0o600)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Credential(certificate, key, certificate_file, key_file)


def _kind(person: Person) -> str:
    is_ec = person.credential and isinstance(person.credential.key, ec.EllipticCurvePrivateKey)
    return "ec" if is_ec else "rsa"


def _name(organization: str, common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "FR"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _key_identifier(issuer: Credential) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _points(url: str) -> x509.CRLDistributionPoints:
    where = [x509.UniformResourceIdentifier(url)]
    return x509.CRLDistributionPoints([x509.DistributionPoint(where, None, None, None)])


def _usage(*set_bits: str) -> x509.KeyUsage:
    bits = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bit in set_bits for bit in bits})
