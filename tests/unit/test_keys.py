"""Our own keys from files: PEM, DER, PKCS#12."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from pki.errors import PrivateKeyError
from pki.keys import load_signer
from pki.models import SignatureScheme, Signer
from tests.pki_maker import Issued, key, root

TOP = root()
CA = TOP.sub("Issuing CA")
RSA = CA.issue("Seal", emails=("seal@a.example",))
EC = CA.issue("Seal", emails=("seal@a.example",), kind="ec")


def encrypted_pem(issued: Issued, password: bytes) -> bytes:
    return issued.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )


def der_key(issued: Issued, form: PrivateFormat = PrivateFormat.PKCS8) -> bytes:
    return issued.key.private_bytes(Encoding.DER, form, NoEncryption())


def verify(signer: Signer, scheme: SignatureScheme, digest: str) -> None:
    data = b"what is signed"
    signature = signer.sign(data, scheme, digest)
    public = x509.load_der_x509_certificate(signer.certificate).public_key()
    algorithm = getattr(hashes, digest.upper())()
    if isinstance(public, ec.EllipticCurvePublicKey):
        public.verify(signature, data, ec.ECDSA(algorithm))
        return
    assert isinstance(public, rsa.RSAPublicKey)
    salted = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
    chosen = padding.PKCS1v15() if scheme is SignatureScheme.RSA_PKCS1 else salted
    public.verify(signature, data, chosen, algorithm)


@pytest.mark.parametrize("form", ["pem", "pem+cert", "cert+pem", "der", "traditional", "p12"])
@pytest.mark.parametrize("issued", [RSA, EC], ids=["rsa", "ec"])
def test_forms(form: str, issued: Issued, tmp_path: Path) -> None:
    file, beside = tmp_path / "key", tmp_path / "cert"
    beside.write_bytes(CA.pem + issued.pem)
    password = None
    certificate: Path | None = beside
    if form == "pem":
        file.write_bytes(issued.key_pem)
    elif form == "pem+cert":
        file.write_bytes(issued.key_pem + issued.pem + CA.pem)
        certificate = None
    elif form == "cert+pem":
        file.write_bytes(b"a comment\n" + issued.pem + CA.pem + issued.key_pem)
        certificate = None
    elif form == "der":
        file.write_bytes(der_key(issued))
    elif form == "traditional":
        file.write_bytes(der_key(issued, PrivateFormat.TraditionalOpenSSL))
    else:
        password = b"geheim"
        file.write_bytes(issued.p12(password, CA.cert, TOP.cert))
        certificate = None
    signer = load_signer(file, certificate, password)
    assert signer.certificate == issued.der
    assert signer.chain == (CA.der,)
    if issued is RSA:
        assert signer.kind == "rsa"
        verify(signer, SignatureScheme.RSA_PKCS1, "sha256")
        verify(signer, SignatureScheme.RSA_PSS, "sha512")
        with pytest.raises(ValueError, match="cannot make ecdsa"):
            signer.sign(b"", SignatureScheme.ECDSA, "sha256")
    else:
        assert signer.kind == "ec"
        verify(signer, SignatureScheme.ECDSA, "sha384")
        with pytest.raises(ValueError, match="cannot make rsa-pss"):
            signer.sign(b"", SignatureScheme.RSA_PSS, "sha256")
    with pytest.raises(ValueError, match="unknown digest"):
        signer.sign(b"", SignatureScheme.RSA_PKCS1, "sha1")


def test_pkcs12_made_by_openssl(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(RSA.key_pem)
    (tmp_path / "c.pem").write_bytes(RSA.pem)
    command = "openssl pkcs12 -export -inkey k.pem -in c.pem -out k.p12 -passout pass:geheim"
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert load_signer(tmp_path / "k.p12", None, b"geheim").certificate == RSA.der
    with pytest.raises(PrivateKeyError, match=r"the password for .*k\.p12 is wrong"):
        load_signer(tmp_path / "k.p12", None, b"wrong")


@pytest.mark.parametrize("make", ["p12", "pem", "der"])
def test_wrong_or_missing_password(make: str, tmp_path: Path) -> None:
    file, beside = tmp_path / "key", tmp_path / "cert.pem"
    beside.write_bytes(RSA.pem)
    if make == "p12":
        file.write_bytes(RSA.p12(b"geheim"))
    elif make == "pem":
        file.write_bytes(encrypted_pem(RSA, b"geheim"))
    else:
        file.write_bytes(
            RSA.key.private_bytes(
                Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"geheim")
            )
        )
    with pytest.raises(PrivateKeyError, match=r"the password for .*key is wrong") as refused:
        load_signer(file, beside, b"wrong")
    assert refused.value.problem.code == "decrypt.password"
    with pytest.raises(PrivateKeyError, match="password"):
        load_signer(file, beside)
    assert load_signer(file, beside, b"geheim").certificate == RSA.der


def test_a_password_that_is_not_needed_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(RSA.key_pem + RSA.pem)
    assert load_signer(tmp_path / "key.pem", None, b"unneeded").certificate == RSA.der


def test_faults_in_plain_words(tmp_path: Path) -> None:
    file, beside = tmp_path / "key.pem", tmp_path / "cert.pem"
    beside.write_bytes(RSA.pem)
    stranger = Issued(RSA.cert, key("stranger"))
    file.write_bytes(stranger.key_pem)
    with pytest.raises(PrivateKeyError, match="does not belong to the certificate of CN=Seal"):
        load_signer(file, beside)
    file.write_bytes(RSA.key_pem)
    with pytest.raises(PrivateKeyError, match="there is no certificate for the key"):
        load_signer(file)
    file.write_bytes(RSA.pem)
    with pytest.raises(PrivateKeyError, match="it holds no private key"):
        load_signer(file, beside)
    file.write_bytes(b"garbage")
    with pytest.raises(PrivateKeyError, match="neither a private key nor a PKCS#12 file"):
        load_signer(file, beside)
    file.write_bytes(RSA.key_pem[:300] + b"\n-----END PRIVATE KEY-----\n")
    with pytest.raises(PrivateKeyError, match="the private key cannot be read"):
        load_signer(file, beside)
    agreeing = x25519.X25519PrivateKey.generate()
    file.write_bytes(agreeing.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(PrivateKeyError, match="only RSA, elliptic curve and Ed25519 keys"):
        load_signer(file, beside)
    with pytest.raises(PrivateKeyError, match=r"absent\.pem cannot be read: No such file"):
        load_signer(tmp_path / "absent.pem")


def test_the_key_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(RSA.key_pem + RSA.pem)
    signer = load_signer(tmp_path / "key.pem")
    assert repr(signer) == "<KeySigner rsa>"
    with pytest.raises(TypeError):
        pickle.dumps(signer)
