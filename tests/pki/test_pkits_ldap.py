"""NIST PKITS once more, with CA certificates and CRLs as a directory gives them.

What the corpus names for each case is left aside: there is one pool, everything that slapd holds,
as a gateway has it that serves several ministries. A path must be found, or not found, in it.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ldap
import pytest

from gateway.demo.process import free_port
from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.crl import Crl
from pki.crl_folder import CrlFolder
from pki.crl_receive import index_stored, open_indexed
from pki.errors import CannotJudge, CertificateRefused, CrlRefused
from pki.models import Purpose
from pki.path import Material, Revocation, find_path
from pki.policies import PolicyInputs
from tests.corpora import corpus
from tests.flows.slapd import SLAPD, wait_for
from tests.unit.test_pkits import DSA, MOMENT, cases, expected_codes

CRLS = ("certificateRevocationList", "authorityRevocationList", "deltaRevocationList")


def schema() -> str:
    """The corpus's, its last class without the attributes that no schema defines."""
    text = (corpus("pkits") / "pkits.schema").read_text("utf-8")
    begin = text.index("MAY ( emailAddress $ unstructuredName")
    return text[:begin] + "MAY ( emailAddress $ pseudonym $ serialNumber ) )\n"


def ldif() -> str:
    """The corpus's, with the files in it. Its pairs of cross-certificates name files that it does
    not have; the same certificates stand in cACertificate.
    """
    entries = ["dn: C=US\nobjectClass: country\nc: US"]
    for block in (corpus("pkits") / "pkits.ldif").read_text("utf-8").strip().split("\n\n"):
        dn, *lines = block.splitlines()
        lines = [_with_file(line) for line in lines if not line.startswith("crossCert")]
        # slapadd wants the values of an attribute together.
        entries.append("\n".join([dn, *sorted(lines, key=lambda line: line.split(":")[0])]))
    return "\n\n".join(entries) + "\n"


def _with_file(line: str) -> str:
    name, place, file = line.partition(":< file:///tmp/")
    if not place:
        return line
    octets = (corpus("pkits") / file).read_bytes()
    return f"{name}:: {base64.b64encode(octets).decode()}"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a slapd with the whole corpus."""
    folder = tmp_path_factory.mktemp("slapd")
    (folder / "db").mkdir()
    (folder / "pkits.schema").write_text(schema())
    (folder / "pkits.ldif").write_text(ldif())
    conf = folder / "slapd.conf"
    conf.write_text(
        "include /etc/ldap/schema/core.schema\n"
        "include /etc/ldap/schema/cosine.schema\n"
        "include /etc/ldap/schema/inetorgperson.schema\n"
        f"include {folder}/pkits.schema\n"
        "modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
        f'database mdb\nsuffix ""\nrootdn "cn=admin"\ndirectory {folder}/db\n'
        "sizelimit unlimited\n"
    )
    subprocess.run(
        ["/usr/sbin/slapadd", "-q", "-f", conf, "-l", folder / "pkits.ldif"],
        check=True,
        capture_output=True,
    )
    port = free_port()
    url = f"ldap://127.0.0.1:{port}"
    process = subprocess.Popen(
        [SLAPD, "-f", conf, "-h", url, "-d", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port)
        yield url
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Pool:
    """All CA certificates, the signers of CRLs, and all CRLs of the directory.

    received: the CRLs passed the keeper, which stores none that nobody known has signed.
    """

    material: Material
    received: bool


@pytest.fixture(scope="module", params=["in memory", "mapped"])
def pool(
    directory: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Pool:
    """Its CRLs as they came, or as the index of a large CRL that workers map."""
    connection = ldap.initialize(directory)
    names = [f"{name};binary" for name in ("cACertificate", "userCertificate", *CRLS)]
    found = connection.search_s("", ldap.SCOPE_SUBTREE, "(objectClass=*)", names)
    connection.unbind_s()
    certs: dict[bytes, None] = {}
    crls: dict[bytes, None] = {}
    for _, attributes in found:
        for name, values in attributes.items():
            if name.startswith("cACertificate"):
                certs |= dict.fromkeys(values)
            elif name.startswith("userCertificate"):
                certs |= dict.fromkeys(value for value in values if _signs_crls(value))
            else:
                crls |= dict.fromkeys(values)
    root = (corpus("pkits") / "certs" / "TrustAnchorRootCertificate.crt").read_bytes()
    assert root in certs
    anchor = Anchor("PKITS", root, hashlib.sha256(root).hexdigest(), frozenset(Purpose))
    if request.param == "in memory":
        return Pool(Material([anchor], list(certs), _usable(crls)), received=False)
    folder = CrlFolder(tmp_path_factory.mktemp("crls"), above=0)
    known = Material([anchor], list(certs))
    return Pool(Material([anchor], list(certs), _mapped(crls, known, folder)), received=True)


def _mapped(ders: Iterable[bytes], known: Material, folder: CrlFolder) -> list[Crl]:
    mapped = []
    for der in ders:
        try:
            digest = index_stored(der, material=known, folder=folder)
        except CrlRefused:
            continue
        sha256 = hashlib.sha256(der).hexdigest()
        crl = open_indexed(sha256, digest, "", folder=folder, octets=_not_asked, material=known)
        mapped.append(crl)
    return mapped


def _not_asked() -> bytes:
    raise AssertionError("the index was there")


def _signs_crls(der: bytes) -> bool:
    """A CA that signs its CRLs with a key of their own has that certificate as a user."""
    usage = ParsedCertificate(der).key_usage
    return usage is not None and usage.crl_sign


def _usable(ders: Iterable[bytes]) -> list[Crl]:
    usable = []
    for der in ders:
        try:
            usable.append(Crl(der))
        except CrlRefused:
            continue  # as the keeper does: it is not stored
    return usable


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("case", cases())
def test_pkits_from_a_directory(case: dict[str, Any], pool: Pool) -> None:
    folder: Path = corpus("pkits")
    params = case.get("params", {})

    def run() -> int:
        path = find_path(
            ParsedCertificate((folder / "certs" / case["cert"]).read_bytes()),
            pool.material,
            moment=MOMENT,
            revocation=Revocation.REQUIRE if case.get("revocation", True) else Revocation.OFF,
            policies=PolicyInputs(
                acceptable=frozenset(params.get("user_initial_policy_set", ())),
                require_explicit=params.get("initial_explicit_policy", False),
                inhibit_mapping=params.get("initial_policy_mapping_inhibit", False),
                inhibit_any=params.get("initial_any_policy_inhibit", False),
            ),
            allow_legacy=case["id"] in DSA,
        )
        return len(path.certificates)

    if "error" in case:
        with pytest.raises((CertificateRefused, CannotJudge)) as refused:
            run()
        forged = {"revocation.missing"} if pool.received else set()
        assert refused.value.problem.code in expected_codes(case) | forged
    else:
        assert run() == case["path_len"]
