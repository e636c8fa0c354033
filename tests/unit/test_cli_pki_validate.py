"""`sceau pki validate` on files, judged by `openssl verify` and by NIST PKITS."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import mlkem
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.corpora import corpus
from tests.pki_maker import DAY, NOW, Authority, dn, root, usage
from tests.unit.cli_pki_house import Ran, sceau
from tests.unit.test_path_openssl import CASES, Case, openssl
from tests.unit.test_pkits import DSA, cases, expected_codes

AT = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
CODES = {"valid": 0, "invalid": 1, "malformed": 2, "indeterminate": 3}


@pytest.fixture
def world(tmp_path: Path) -> tuple[Path, Authority, Authority]:
    """Root and issuing CA, with files root.pem, ca.pem and crls/."""
    top = root()
    ca = top.sub("Issuing CA")
    (tmp_path / "root.pem").write_bytes(top.pem)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    (tmp_path / "crls").mkdir()
    (tmp_path / "crls" / "root.crl").write_bytes(top.crl())
    (tmp_path / "crls" / "ca.crl").write_bytes(ca.crl())
    return tmp_path, top, ca


def validate(folder: Path, *arguments: str | Path, trust: bool = True) -> Ran:
    given: list[str | Path] = []
    if trust:
        given = ["--anchor", folder / "root.pem", "--cert", folder / "ca.pem"]
        given += ["--crl", folder / "crls"]
    return sceau("pki", "validate", *arguments, *given, "--at", AT, "--json")


def leaf(folder: Path, ca: Authority, name: str = "leaf.pem", **more: Any) -> Path:
    file = folder / name
    file.write_bytes(ca.issue("Marie", **{"emails": ("marie@a.example",), **more}).pem)
    return file


@pytest.mark.parametrize("name", CASES)
def test_openssl_agrees(name: str, tmp_path: Path) -> None:
    make, good = CASES[name]
    case: Case = make()
    said = openssl(case, tmp_path)  # writes the files

    others = ["--cert", tmp_path / "others.pem"] if case.intermediates else []
    done = sceau(
        "pki", "validate", tmp_path / "leaf.pem", "--anchor", tmp_path / "roots.pem", *others,
        "--crl", tmp_path / "crls.pem", "--at", case.moment.isoformat(), "--json",
    )  # fmt: skip

    (record,) = done.json
    assert done.code == CODES[record["status"]]
    assert (done.code == 0, said) == (good, good)
    assert bool(record["problems"]) is not good


def test_dsa_is_for_old_evidence_only() -> None:
    folder = corpus("pkits")

    done = sceau(
        "pki", "validate", folder / "certs" / "ValidDSASignaturesTest4EE.crt",
        "--anchor", folder / "certs" / "TrustAnchorRootCertificate.crt",
        "--cert", folder / "certs" / "DSACACert.crt",
        "--revocation", "off", "--at", "2024-01-01T00:00:00Z", "--json",
    )  # fmt: skip

    (record,) = done.json
    assert (done.code, [one["code"] for one in record["problems"]]) == (1, ["algorithm.signature"])


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("case", cases())
def test_pkits(case: dict[str, Any]) -> None:
    folder = corpus("pkits")
    arguments: list[str | Path] = [folder / "certs" / case["cert"]]
    arguments += ["--anchor", folder / "certs" / "TrustAnchorRootCertificate.crt"]
    for name in case.get("other_certs", ()):
        arguments += ["--cert", folder / "certs" / name]
    for name in ["TrustAnchorRootCRL.crl", *case.get("crls", ())]:
        arguments += ["--crl", folder / "crls" / name]
    params = case.get("params", {})
    for oid in params.get("user_initial_policy_set", ()):
        arguments += ["--policy", oid]
    for key, option in (
        ("initial_explicit_policy", "--require-explicit-policy"),
        ("initial_policy_mapping_inhibit", "--inhibit-policy-mapping"),
        ("initial_any_policy_inhibit", "--inhibit-any-policy"),
    ):
        if params.get(key, False):
            arguments.append(option)
    if not case.get("revocation", True):
        arguments += ["--revocation", "off"]
    if case["id"] in DSA:
        arguments.append("--allow-legacy")

    done = sceau("pki", "validate", *arguments, "--at", "2024-01-01T00:00:00Z", "--json")

    (record,) = done.json
    if "error" in case:
        assert done.code in (1, 3)
        (found,) = record["problems"]
        assert found["code"] in expected_codes(case)
    else:
        assert (done.code, len(record["path"])) == (0, case["path_len"]), record


# -- what is asked beside the path ---------------------------------------------------------------


def test_the_answer_names_the_path_anchor_first_and_the_crls(
    world: tuple[Path, Authority, Authority],
) -> None:
    folder, _, ca = world

    (record,) = validate(folder, leaf(folder, ca)).json

    assert record["status"] == "valid"
    assert record["path"] == [
        "CN=Root,O=Sceau Tests", "CN=Issuing CA,O=Sceau Tests", "CN=Marie,O=Sceau Tests",
    ]  # fmt: skip
    assert [one["number"] for one in record["revocation"]] == [1, 1]
    assert record["at"] == "2026-06-01T12:00:00.000000Z"


def test_no_anchor_means_cannot_tell_and_never_the_systems_roots(
    world: tuple[Path, Authority, Authority],
) -> None:
    folder, _, ca = world

    done = validate(folder, leaf(folder, ca), trust=False)

    assert done.code == 3
    assert done.json[0]["status"] == "indeterminate"
    assert done.json[0]["problems"][0]["code"] == "path.anchor-missing"


@pytest.mark.parametrize(
    ("revocation", "crls", "code"),
    [
        ("require", False, 3),
        ("if-available", False, 0),
        ("if-available", True, 1),
        ("off", True, 0),
        ("require", True, 1),
    ],
)
def test_revocation(
    world: tuple[Path, Authority, Authority], revocation: str, crls: bool, code: int
) -> None:
    folder, _, ca = world
    revoked = ca.issue("Marie")
    ca.revoke(revoked)
    (folder / "crls" / "ca.crl").write_bytes(ca.crl())
    (folder / "marie.pem").write_bytes(revoked.pem)
    given: list[str | Path] = ["--crl", folder / "crls"] if crls else []

    done = sceau(
        "pki", "validate", folder / "marie.pem", "--anchor", folder / "root.pem",
        "--cert", folder / "ca.pem", "--at", AT, "--revocation", revocation, *given,
    )  # fmt: skip

    assert done.code == code, done.out


@pytest.mark.parametrize(
    ("more", "options", "problem"),
    [
        ({}, ["--purpose", "sign"], ""),
        ({}, ["--purpose", "encrypt", "--email", "Marie@A.example"], ""),
        ({}, ["--email", "paul@a.example"], "identity.address"),
        ({"emails": ()}, ["--email", "paul@a.example"], "identity.no-address"),
        ({"key_usage": usage("digital_signature")}, ["--purpose", "encrypt"], "path.key-usage"),
        ({"key_usage": usage("digital_signature")}, ["--purpose", "sign"], ""),
        ({"key_usage": usage("key_encipherment")}, ["--purpose", "sign"], "path.key-usage"),
        ({"key_usage": usage("key_encipherment")}, ["--purpose", "any"], ""),
        (
            {"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)},
            ["--purpose", "sign"],
            "path.extended-key-usage",
        ),
        ({"extended": (ExtendedKeyUsageOID.SERVER_AUTH,)}, [], ""),
    ],
)
def test_the_mail_profile(
    world: tuple[Path, Authority, Authority],
    more: dict[str, Any],
    options: list[str],
    problem: str,
) -> None:
    folder, _, ca = world

    done = validate(folder, leaf(folder, ca, **more), *options)

    (record,) = done.json
    assert [one["code"] for one in record["problems"]] == ([problem] if problem else [])
    assert done.code == (1 if problem else 0)


@pytest.mark.parametrize("purpose", ["sign", "encrypt"])
def test_any_use_is_mail_unless_the_house_says_otherwise(
    world: tuple[Path, Authority, Authority], purpose: str
) -> None:
    folder, top, ca = world
    mail, any_use = ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
    any_ca = top.sub("Any CA", extra=((x509.ExtendedKeyUsage((any_use,)), False),))
    (folder / "any.pem").write_bytes(any_ca.pem)
    (folder / "crls" / "any.crl").write_bytes(any_ca.crl())

    def codes(issuer: Authority, usages: tuple[Any, ...] | None, *options: str) -> list[str]:
        given = [*options, "--cert", str(folder / "any.pem")]
        done = validate(folder, leaf(folder, issuer, extended=usages), *given)
        return [one["code"] for one in done.json[0]["problems"]]

    for issuer, usages, strict in (
        (ca, (any_use,), ["path.extended-key-usage"]),
        (ca, (any_use, mail), []),
        (ca, None, []),
        (any_ca, (mail,), ["path.extended-key-usage"]),
    ):
        assert codes(issuer, usages, "--purpose", purpose) == []
        assert codes(issuer, usages, "--purpose", purpose, "--no-any-eku") == strict
        assert codes(issuer, usages, "--no-any-eku") == []  # no mail, no matter


def test_an_anchor_is_trusted_itself_but_its_dates_and_address_count(tmp_path: Path) -> None:
    ca = root("Somebody")
    own = leaf(tmp_path, ca)
    old = leaf(tmp_path, ca, "old.pem", end=NOW - DAY)

    def check(file: Path, *options: str) -> int:
        return sceau(
            "pki", "validate", file, "--anchor", file, "--at", AT, *options
        ).code  # fmt: skip

    assert check(own, "--purpose", "sign", "--email", "marie@a.example") == 0
    assert check(own, "--email", "paul@a.example") == 1
    assert check(old) == 1


def test_of_a_bundle_the_person_is_checked_not_the_authority(
    world: tuple[Path, Authority, Authority],
) -> None:
    folder, _, ca = world
    gone = leaf(folder, ca, end=NOW - DAY)
    chain = folder / "chain.pem"
    chain.write_bytes(ca.pem + gone.read_bytes())
    bundle = folder / "chain.p7b"
    subprocess.run(
        ["openssl", "crl2pkcs7", "-nocrl", "-certfile", chain, "-outform", "DER", "-out", bundle],
        check=True,
    )

    for file in (chain, bundle):
        done = sceau(
            "pki", "validate", file, "--anchor", folder / "root.pem", "--crl", folder / "crls",
            "--at", AT, "--json",
        )  # fmt: skip
        (record,) = done.json
        assert record["subject"] == "CN=Marie,O=Sceau Tests"
        assert (record["status"], record["problems"][0]["code"]) == ("invalid", "path.expired")


def test_several_files_have_a_line_each_and_the_worst_code(
    world: tuple[Path, Authority, Authority],
) -> None:
    folder, _, ca = world
    good = leaf(folder, ca)
    old = leaf(folder, ca, "old.pem", end=NOW - DAY)
    garbage = folder / "garbage"
    garbage.write_bytes(b"\x30\x82")

    done = validate(folder, good, old, garbage, folder / "none.pem")

    assert [(Path(one["file"]).name, one["status"]) for one in done.json] == [
        ("leaf.pem", "valid"),
        ("old.pem", "invalid"),
        ("garbage", "malformed"),
        ("none.pem", "malformed"),
    ]
    assert done.code == 2
    assert validate(folder, good, old).code == 1
    assert validate(folder, good, good).code == 0


# -- what the options name -----------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--anchor", "--cert", "--crl"])
def test_a_file_named_itself_must_be_usable(
    world: tuple[Path, Authority, Authority], option: str
) -> None:
    folder, _, ca = world
    (folder / "odd").write_bytes(b"hello")

    done = validate(folder, leaf(folder, ca), option, folder / "odd")

    assert (done.code, done.out) == (2, "")
    kind = "CRL" if option == "--crl" else "certificate"
    assert done.err == f"sceau pki: {folder}/odd: there is no {kind} in it\n"


def test_in_a_folder_an_odd_file_is_passed_over_with_a_note(
    world: tuple[Path, Authority, Authority],
) -> None:
    folder, _, ca = world
    (folder / "crls" / "README").write_bytes(b"hello")
    point = x509.IssuingDistributionPoint(None, None, False, False, None, False, True)
    (folder / "crls" / "attributes.crl").write_bytes(ca.crl(2, extra=((point, True),)))

    done = validate(folder, leaf(folder, ca))

    assert done.code == 0
    assert f"{folder}/crls/README is not used: there is no CRL in it\n" in done.err
    name = f"{folder}/crls/attributes.crl"
    assert f"{name} is not used: this CRL cannot be used: it is for attribute" in done.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--email", "nobody"], "nobody cannot be used as a mail address"),
        (["--policy", "gold"], "gold is not an object identifier"),
        (["--purpose", "web"], "there are: sign, encrypt, any"),
        (["--revocation", "maybe"], "there are: require, if-available, off"),
        (["--at", "yesterday"], "yesterday is not a time with its offset"),
        (["--allow-sha1"], "nothing is known of --allow-sha1"),
    ],
)
def test_a_wrong_option(
    world: tuple[Path, Authority, Authority], options: list[str], message: str
) -> None:
    folder, _, ca = world

    done = sceau("pki", "validate", leaf(folder, ca), *options)

    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_policies_that_hold_are_named(tmp_path: Path) -> None:
    gold = x509.CertificatePolicies(
        [x509.PolicyInformation(x509.ObjectIdentifier("1.2.3.4"), None)]
    )
    top = root()
    ca = top.sub("Issuing CA", extra=((gold, False),))
    person = tmp_path / "marie.pem"
    person.write_bytes(ca.issue(dn("Marie"), extra=((gold, False),)).pem)
    (tmp_path / "root.pem").write_bytes(top.pem)
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    crls = [x509.load_der_x509_crl(one.crl()).public_bytes(Encoding.PEM) for one in (top, ca)]
    (tmp_path / "crls").write_bytes(b"".join(crls))

    right = validate(tmp_path, person, "--policy", "1.2.3.4", "--require-explicit-policy")
    wrong = validate(tmp_path, person, "--policy", "1.2.3.5", "--require-explicit-policy")

    assert (right.code, right.json[0]["policies"]) == (0, ["1.2.3.4"])
    assert (wrong.code, wrong.json[0]["problems"][0]["code"]) == (1, "path.policy")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("C", "its ML-KEM key is for a second envelope alone: mail is never encrypted to it"),
        ("fr_FR.UTF-8", "sa clé ML-KEM ne sert qu’à une seconde enveloppe"),
    ],
    ids=["en", "fr"],
)
def test_a_valid_ml_kem_certificate_is_told_to_be_good_for_nothing_alone(
    world: tuple[Path, Authority, Authority],
    language: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, _, ca = world
    monkeypatch.setenv("LC_ALL", language)
    key = mlkem.MLKEM768PrivateKey.generate()
    kem = leaf(folder, ca, "kem.pem", subject_key=key, key_usage=usage("key_encipherment"))
    trust = ["--anchor", folder / "root.pem", "--cert", folder / "ca.pem"]
    trust += ["--crl", folder / "crls", "--purpose", "encrypt", "--at", AT]
    for file, beside in ((kem, True), (leaf(folder, ca), False)):
        (told,) = validate(folder, "--purpose", "encrypt", file).json
        assert (told["status"], told["beside_only"]) == ("valid", beside)
        (shown,) = sceau("pki", "cert", "show", file, "--json").json
        assert shown["certificates"][0]["beside_only"] is beside
        assert (said in sceau("pki", "validate", file, *trust).out) is beside
        assert (said in sceau("pki", "cert", "show", file).out) is beside
