"""The made-up PKI, judged by `openssl verify`: each person is right or wrong as intended."""

from __future__ import annotations

import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from gateway.demo.judge import write_trust
from gateway.demo.pki import (
    INTERIEUR,
    P12_PASSWORD,
    Credential,
    Fault,
    Keys,
    Ministry,
    World,
    make_world,
)
from pki.algorithms import Operation, Standing, describe_key, judge
from tests.pace import at_most

BASE_URL = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys()


@pytest.fixture
def world(tmp_path: Path, keys: Keys) -> World:
    return make_world(tmp_path, BASE_URL, moment=datetime.now(UTC), keys=keys)


def verify(world: World, ministry: Ministry, credential: Credential) -> str:
    """What openssl says of a mail certificate: "OK" or its words."""
    trust = write_trust([world.interieur, world.justice], world.folder / "trust.pem")
    done = subprocess.run(
        ["openssl", "verify", "-crl_check_all", "-purpose", "smimesign", "-CAfile", trust]
        + ["-untrusted", ministry.issuing.credential.certificate_file]
        + [credential.certificate_file],
        capture_output=True,
        text=True,
        check=False,
    )
    return "OK" if done.returncode == 0 else done.stdout + done.stderr


def test_good_people_and_the_seal_are_accepted(world: World) -> None:
    for ministry in (world.interieur, world.justice):
        for kind in ("rsa", "ec"):
            person = ministry.person(kind=kind)
            assert person.credential is not None
            assert verify(world, ministry, person.credential) == "OK"
    assert world.interieur.seal is not None
    assert verify(world, world.interieur, world.interieur.seal) == "OK"


@pytest.mark.parametrize(
    ("fault", "words"),
    [(Fault.REVOKED, "certificate revoked"), (Fault.EXPIRED, "certificate has expired")],
)
def test_the_faulty_are_refused_for_their_fault(world: World, fault: Fault, words: str) -> None:
    person = world.justice.person(fault)
    assert person.credential is not None
    assert words in verify(world, world.justice, person.credential)


def test_the_expired_was_good_while_it_lasted(world: World) -> None:
    person = world.justice.person(Fault.EXPIRED)
    assert person.credential is not None
    certificate = person.credential.certificate
    issuer = world.justice.issuing.credential.certificate
    root = world.justice.root.credential.certificate
    for above in (issuer, root):
        assert above.not_valid_before_utc <= certificate.not_valid_before_utc


def test_everybody_has_exactly_the_fault_that_the_directory_shows(world: World) -> None:
    for person in world.people:
        match person.fault:
            case Fault.ABSENT:
                assert person.directory == ()
            case Fault.GARBAGE:
                with pytest.raises(ValueError):
                    x509.load_der_x509_certificate(person.directory[0])
            case _:
                certificate = x509.load_der_x509_certificate(person.directory[0])
                names = certificate.extensions.get_extension_for_class(
                    x509.SubjectAlternativeName
                ).value.get_values_for_type(x509.RFC822Name)
                fits = names == [person.address]
                assert fits is (person.fault is not Fault.OTHER_ADDRESS)


def test_the_seal_is_named_as_rfc_3183_says(world: World) -> None:
    assert world.interieur.seal is not None
    certificate = world.interieur.seal.certificate
    assert "CN=domain-signing-authority" in certificate.subject.rfc4514_string()
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.RFC822Name) == [f"domain-signing-authority@{INTERIEUR}"]


def test_all_keys_are_good_for_years(world: World) -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    credentials = [world.interieur.seal, *(person.credential for person in world.people)]
    kinds = {describe_key(one.certificate.public_key()) for one in credentials if one is not None}
    assert {algorithm for algorithm, _ in kinds} == {"rsa", "ec-p256"}
    for algorithm, bits in kinds:
        for operation in (Operation.SIGN_WITH, Operation.ENCRYPT_TO):
            assert judge(operation, algorithm, bits, moment).standing is Standing.ALLOWED


def test_certificates_say_where_the_crl_of_their_issuer_is(world: World) -> None:
    for ministry in (world.interieur, world.justice):
        person = ministry.person()
        assert person.credential is not None
        for below, above in (
            (person.credential.certificate, ministry.issuing),
            (ministry.issuing.credential.certificate, ministry.root),
        ):
            points = below.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
            (name,) = points[0].full_name or []
            assert name.value == above.crl_url
            assert above.crl_url == f"{BASE_URL}/{above.crl_file.name}"
            crl = x509.load_der_x509_crl(above.crl_file.read_bytes())
            assert crl.issuer == below.issuer


def test_a_new_crl_revokes(world: World) -> None:
    person = world.justice.person(kind="ec")
    assert person.credential is not None
    assert verify(world, world.justice, person.credential) == "OK"
    der = world.justice.issuing.publish_crl(
        moment=datetime.now(UTC), number=2, revoked=[person.credential.certificate]
    )
    assert world.justice.issuing.crl_file.read_bytes() == der
    assert "certificate revoked" in verify(world, world.justice, person.credential)


def test_a_stale_crl_is_noticed(world: World) -> None:
    old = datetime.now(UTC) - timedelta(days=2)
    world.justice.issuing.publish_crl(moment=old, number=2, validity=timedelta(days=1))
    person = world.justice.person()
    assert person.credential is not None
    assert "CRL has expired" in verify(world, world.justice, person.credential)


def test_servers_are_certified_for_loopback(world: World) -> None:
    done = subprocess.run(
        ["openssl", "verify", "-purpose", "sslserver", "-verify_ip", "127.0.0.1"]
        + ["-verify_hostname", "localhost", "-CAfile", world.tls_ca]
        + [world.tls_server.certificate_file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_pkcs12_opens_with_its_password_alone(world: World) -> None:
    person = world.interieur.person()
    assert person.p12 is not None
    key, certificate, chain = pkcs12.load_key_and_certificates(
        person.p12.read_bytes(), P12_PASSWORD.encode()
    )
    assert key is not None
    assert certificate is not None
    assert certificate.public_bytes(Encoding.DER) == person.directory[0]
    assert [one.subject for one in chain] == [certificate.issuer]
    with pytest.raises(ValueError):
        pkcs12.load_key_and_certificates(person.p12.read_bytes(), b"wrong")


def test_keys_lie_where_only_their_owner_reads_them(world: World) -> None:
    assert world.interieur.seal is not None
    assert stat.S_IMODE(world.interieur.seal.key_file.stat().st_mode) == 0o600


def test_a_world_is_made_in_seconds(tmp_path: Path) -> None:
    with at_most(5):  # usually 1 to 2 s; finding primes is a lottery
        make_world(tmp_path, BASE_URL, moment=datetime.now(UTC))
