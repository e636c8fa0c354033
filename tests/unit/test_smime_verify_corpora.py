"""Signatures that nobody on this project made: RFC 4134, OpenSSL, Thunderbird and others."""

from __future__ import annotations

import hashlib
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.mime.entity import split, with_crlf
from gateway.smime import cms
from gateway.smime.identity import author_of
from gateway.smime.layers import verify
from gateway.smime.root import ClearSigned, Opaque, root_of
from gateway.smime.signed import read_signed
from gateway.smime.verdicts import Status, Verification
from gateway.smime.verify import verify_signed
from pki.anchors import parse_certificates
from tests.corpora import corpus
from tests.pace import within
from tests.unit.cms_forger import rules

IDENTITY = {"identity.from-missing", "identity.from-mismatch"}


def judged(
    path: Path, anchors: list[Path], moment: datetime, *, legacy: bool = False
) -> Verification:
    trusted = [der for one in anchors for der in parse_certificates(one.read_bytes())]
    return verify(path.read_bytes(), rules(*trusted, moment=moment, legacy=legacy))


def problems(found: Verification) -> set[str]:
    return {one.code for one in found.problems}


# -- RFC 4134 ------------------------------------------------------------------------------

_2003 = datetime(2003, 1, 1, tzinfo=UTC)


def rfc4134(name: str, *, legacy: bool = True) -> Verification:
    folder = corpus("rfc4134/rfc4134")
    anchors = [folder / "CarlRSASelf.cer", folder / "CarlDSSSelf.cer"]
    return judged(folder / name, anchors, _2003, legacy=legacy)


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("4.1.bin", "dsa"),
        ("4.2.bin", "rsa-pkcs1"),
        ("4.4.bin", "dsa"),
        ("4.5.bin", "rsa-pkcs1"),
        ("4.7.bin", "dsa"),  # by key identifier
        ("4.8.eml", "dsa"),  # From is @examples.com, the certificate @example.com
        ("4.9.eml", "dsa"),
        ("4.10.bin", "dsa"),  # all attributes of RFC 2634
    ],
)
def test_rfc_4134_verifies_with_its_own_algorithms(name: str, signature: str) -> None:
    """Bare CMS has no From, so identity is all that may be wrong."""
    found = rfc4134(name)

    assert problems(found) <= IDENTITY
    assert [(one.digest, one.signature) for one in found.signers] == [("sha1", signature)]
    assert found.signers[0].path is not None
    assert [one.code for one in found.remarks] == ["algorithm.legacy"]
    assert {"sha1"} < set(found.signers[0].legacy)
    refused = rfc4134(name, legacy=False)
    assert problems(refused) >= {"algorithm.refused", "algorithm.key"}


def test_rfc_4134_s_attributes_are_shown() -> None:
    (signer,) = rfc4134("4.10.bin").as_dict()["signers"]

    assert {one["attribute"] for one in signer["attributes"]} >= {
        "contentHint",
        "securityLabel",
        "equivalentLabels",
        "mlExpansionHistory",
    }


def test_rfc_4134_detached() -> None:
    folder = corpus("rfc4134/rfc4134")
    content = (folder / "ExContent.bin").read_bytes()
    data = read_signed(cms.content_info((folder / "4.3.bin").read_bytes()).content)
    trusted = rules((folder / "CarlDSSSelf.cer").read_bytes(), moment=_2003, legacy=True)
    author = author_of(split(b""))

    (signer,) = verify_signed(data, content, author, trusted)
    (changed,) = verify_signed(data, content + b".", author, trusted)

    assert {one.code for one in signer.problems} == {"identity.from-missing"}
    assert {one.code for one in changed.problems} >= {"signature.wrong"}
    assert problems(rfc4134("4.3.bin")) == {"signature.no-content"}


def test_rfc_4134_two_signers_of_whom_one_inherits_dss_parameters() -> None:
    """The parameters that Diane's certificate leaves out would have to be her CA's."""
    found = rfc4134("4.6.bin")

    alice, diane = found.signers
    assert {one.code for one in alice.problems} == {"identity.from-missing"}
    assert {one.code for one in diane.problems} >= {
        "signature.unchecked",
        "algorithm.key-unreadable",
    }
    assert found.status is Status.INVALID


def test_rfc_4134_certificates_only() -> None:
    found = rfc4134("4.11.bin")

    assert found.status is Status.UNSIGNED
    assert problems(found) == {"signature.no-signer"}


# -- OpenSSL's attacks on attributes -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("bad_signtime_attr", "attributes.unsigned"),
        ("ct_multiple_attr", "attributes.repeated"),
        ("no_ct_attr", "attributes.missing"),
        ("no_md_attr", "attributes.missing"),
    ],
)
def test_openssl_s_bad_attributes_are_rejected(name: str, code: str) -> None:
    folder = corpus("openssl-cms/test")
    found = judged(
        folder / f"recipes/80-test_cms_data/{name}.cms",
        [folder / "smime-certs/smroot.pem"],
        datetime(2022, 1, 1, tzinfo=UTC),
        legacy=True,
    )

    assert found.status is Status.INVALID
    assert code in problems(found)


def test_md4_is_not_known_at_all() -> None:
    path = corpus("openssl-cms/test/recipes/80-test_cms_data/pkcs7-md4.pem")

    assert "algorithm.unsupported" in problems(judged(path, [], _2003, legacy=True))


# -- mails of real programs ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "moment", "digest"),
    [
        ("pkijs/examples/SMIMEVerificationExample/TestSMIME.eml", (2007, 1, 1), "sha1"),
        ("horde-smime/test/Horde/Crypt/fixtures/smime_signed_opaque.eml", (2018, 1, 1), "sha256"),
        ("mimekit/UnitTests/TestData/smime/thunderbird-signed.txt", (2013, 11, 3), "sha1"),
    ],
)
def test_mails_of_others(name: str, moment: tuple[int, int, int], digest: str) -> None:
    """Their anchors are not here, but their signers' certificates are: so those are trusted."""
    path = corpus(name)
    at = datetime(*moment, tzinfo=UTC)
    data = _signed_data(path)
    shown = verify(path.read_bytes(), rules(moment=at, legacy=True))
    (signer,) = shown.signers
    (own,) = (der for der in data if _sha256(der) == signer.certificate_sha256)

    found = verify(path.read_bytes(), rules(own, moment=at, legacy=True))

    assert found.status is Status.VALID, found.problems
    assert found.signers[0].digest == digest
    changed = path.read_bytes().replace(b"Content-Type: text/plain", b"Content-Type: text/html")
    assert verify(changed, rules(own, moment=at, legacy=True)).status is not Status.VALID or (
        changed == path.read_bytes()
    )


def _signed_data(path: Path) -> tuple[bytes, ...]:
    root = root_of(split(with_crlf(path.read_bytes())))
    assert isinstance(root, ClearSigned | Opaque)
    return read_signed(cms.content_info(root.cms).content).certificates


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("name", ["smime-multipart-signed.eml", "smime-onepart-signed.eml"])
def test_header_protection_s_signed_mails(name: str) -> None:
    folder = corpus("header-protection")
    found = judged(folder / name, [folder / "sample-ca.pem"], datetime(2020, 1, 1, tzinfo=UTC))

    assert found.status is Status.VALID, found.problems
    assert found.authors == ("alice@smime.example",)


@pytest.mark.parametrize("name", ["smime-sign+enc", "smime-sign+enc+legacy-disp"])
def test_header_protection_s_encrypted_mails_when_opened(name: str) -> None:
    folder = corpus("header-protection")
    mail = (folder / f"{name}.eml").read_bytes()
    trusted = rules(
        *parse_certificates((folder / "sample-ca.pem").read_bytes()),
        moment=datetime(2020, 1, 1, tzinfo=UTC),
    )
    inner = (folder / f"{name}.inner").read_bytes()

    found = verify(mail, trusted, open_layer=lambda info: inner)

    assert found.status is Status.VALID, found.problems
    assert [layer.kind for layer in found.layers] == ["encrypted", "signed"]
    assert found.payload is not None
    innermost = (folder / f"{name}.inner.inner").read_bytes()
    assert found.payload.replace(b"\r\n", b"\n") == innermost.replace(b"\r\n", b"\n")


def test_ber_and_der_hold_the_same_content_and_verify() -> None:
    """Two files, each signed for itself."""
    contents = set()
    for name in ("cms_ber.bin", "cms_der.bin"):
        found = judged(_rustcrypto(name), [], _2003)
        assert problems(found) == {"path.no-anchor", "identity.from-missing"}
        data = read_signed(cms.content_info(_rustcrypto(name).read_bytes()).content)
        contents.add(data.content)
    assert len(contents) == 1


def _rustcrypto(name: str) -> Path:
    (found,) = corpus("rustcrypto-cms").rglob(name)
    return found


# -- what fuzzers found --------------------------------------------------------------------


def test_nothing_of_openssl_s_fuzz_corpus_takes_a_second() -> None:
    given = rules(moment=_2003, legacy=True)
    count = 0
    with tarfile.open(corpus("openssl-fuzz-cms/cms.tar.xz")) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            data = file.read()
            for message in (
                data,
                b"Content-Type: application/pkcs7-mime\r\n"
                b"Content-Transfer-Encoding: binary\r\n\r\n" + data,
            ):
                start = time.process_time()
                found = verify(message, given)
                assert within(time.process_time() - start, 1), member.name
                assert found.status is not Status.VALID
            count += 1
    assert count == 1389
