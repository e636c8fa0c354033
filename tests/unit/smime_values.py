"""Makes values of userSMIMECertificate: by openssl as people's programs do, and bit by bit."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.pki_maker import Issued

AES_256_GCM = "2.16.840.1.101.3.4.1.46"
AES_256_CBC = "2.16.840.1.101.3.4.1.42"


def by_openssl(person: Issued, *chain: Issued, options: tuple[str, ...] = ()) -> bytes:
    """Signed by the person as programs publish it, with the capabilities of openssl."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "cert").write_bytes(person.pem)
        (folder / "key").write_bytes(person.key_pem)
        (folder / "chain").write_bytes(b"".join(one.pem for one in chain))
        (folder / "empty").write_bytes(b"x" if "-stream" in options else b"")
        more = ["-certfile", folder / "chain"] if chain else []
        command = ["openssl", "cms", "-sign", "-in", folder / "empty", "-signer", folder / "cert"]
        command += ["-inkey", folder / "key", "-binary", "-outform", "DER", *more, *options]
        return subprocess.run(command, check=True, capture_output=True).stdout


def degenerate(*people: Issued) -> bytes:
    """Certificates only, nothing signed."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "certs"
        file.write_bytes(b"".join(one.pem for one in people))
        command = ["openssl", "crl2pkcs7", "-nocrl", "-certfile", file, "-outform", "DER"]
        return subprocess.run(command, check=True, capture_output=True).stdout


def announced(
    person: Issued,
    *others: Issued,
    capabilities: tuple[str, ...] = (AES_256_GCM,),
    signer: Issued | None = None,
    digest: str = "sha256",
) -> bytes:
    """With these capabilities, said to be signed by `person` and made by the key of `signer`."""
    parsed = asn1_x509.Certificate.load(person.der)
    attributes = cms.CMSAttributes(
        [
            {"type": "content_type", "values": ["data"]},
            {"type": "message_digest", "values": [b"\0" * 32]},
            {
                "type": "1.2.840.113549.1.9.15",
                "values": [
                    [{"capability_id": oid} for oid in capabilities],
                ],
            },
        ]
    )
    key = (signer or person).key
    assert isinstance(key, rsa.RSAPrivateKey)
    algorithm = hashes.SHA256() if digest == "sha256" else hashes.SHA1()
    info = {
        "version": "v1",
        "sid": {
            "issuer_and_serial_number": {
                "issuer": parsed.issuer,
                "serial_number": parsed.serial_number,
            }
        },
        "digest_algorithm": {"algorithm": digest},
        "signed_attrs": attributes,
        "signature_algorithm": {"algorithm": "rsassa_pkcs1v15"},
        "signature": key.sign(attributes.untag().dump(), padding.PKCS1v15(), algorithm),
    }
    signed = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [{"algorithm": digest}],
            "encap_content_info": {"content_type": "data"},
            "certificates": [asn1_x509.Certificate.load(one.der) for one in (person, *others)],
            "signer_infos": [info],
        }
    )
    return bytes(cms.ContentInfo({"content_type": "signed_data", "content": signed}).dump())
