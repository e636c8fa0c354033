"""The judges: ours, `openssl verify`, and what runs in one Java machine (`Paths.java`)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from base64 import encodebytes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pki.anchors import Anchor
from pki.certificate import ANY_POLICY, ParsedCertificate
from pki.crl import Crl
from pki.errors import CannotJudge, CertificateRefused, CrlRefused
from pki.models import Purpose
from pki.path import Material, Revocation, find_path
from pki.policies import PolicyInputs
from pki.verdict import judge
from tests.interop.bouncycastle import JARS
from tests.judges.paths.model import Case

_SOURCE = Path(__file__).with_name("Paths.java")


@dataclass(frozen=True)
class Answer:
    """What a judge says. why: our code and text, or the peer's own words. path: ours, if valid."""

    valid: bool
    why: str
    path: tuple[bytes, ...] = ()


def ours_of_path(case: Case) -> Answer:
    """`pki.path.find_path`: the path and revocation, whatever the certificate is for."""
    return _ours(case, lambda cert, material: tuple(one.der for one in find_path(
        cert, material, moment=case.moment, revocation=_revocation(case), policies=_inputs(case),
    ).certificates))  # fmt: skip


def ours_of_mail(case: Case) -> Answer:
    """`pki.verdict.judge`: that, and purpose and address."""
    assert case.purpose is not None
    purpose = case.purpose
    return _ours(case, lambda cert, material: judge(
        cert, address=case.address, purpose=purpose, moment=case.moment, material=material,
        source="", revocation=_revocation(case),
    ).certificate.path)  # fmt: skip


def _ours(case: Case, ask: Callable[[ParsedCertificate, Material], tuple[bytes, ...]]) -> Answer:
    crls = []
    for der in case.crls:
        try:
            crls.append(Crl(der))
        except CrlRefused:
            continue  # as the keeper does: it is not stored
    try:
        material = Material([_anchor(der) for der in case.anchors], case.others, crls)
        path = ask(ParsedCertificate(case.leaf), material)
    except (CertificateRefused, CannotJudge) as error:
        return Answer(False, f"{error.problem.code}: {error.problem.text}")
    return Answer(True, "valid", path)


def _anchor(der: bytes) -> Anchor:
    return Anchor("made up", der, hashlib.sha256(der).hexdigest(), frozenset(Purpose))


def _revocation(case: Case) -> Revocation:
    return Revocation.REQUIRE if case.revocation else Revocation.OFF


def _inputs(case: Case) -> PolicyInputs:
    return PolicyInputs(
        case.acceptable, case.require_explicit, case.inhibit_mapping, case.inhibit_any
    )


def write(case: Case, folder: Path) -> None:
    """The files that peers read, and the command with which a person asks once more."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind, ders in (
        ("leaf", "CERTIFICATE", [case.leaf]),
        ("anchors", "CERTIFICATE", case.anchors),
        ("others", "CERTIFICATE", case.others),
        ("crls", "X509 CRL", case.crls),
    ):
        (folder / f"{name}.pem").write_bytes(b"".join(_pem(kind, der) for der in ders))
    (folder / "command").write_text(" ".join(openssl_command(case)) + "\n")


def _pem(kind: str, der: bytes) -> bytes:
    label = kind.encode()
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, encodebytes(der), label)


def openssl_command(case: Case) -> list[str]:
    """`openssl verify`, made to ask what we ask."""
    command = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-partial_chain"]
    command += ["-auth_level", "2", "-attime", str(int(case.moment.timestamp()))]
    command += ["-CAfile", "anchors.pem", "-policy_check"]
    if case.others:
        command += ["-untrusted", "others.pem"]
    if case.revocation:
        command += ["-crl_check" if case.leaf_only else "-crl_check_all"]
        command += ["-extended_crl", "-use_deltas"]
        if case.crls:
            command += ["-CRLfile", "crls.pem"]
    # Without -policy its user-initial-policy-set is empty, not any-policy (RFC 5280 §6.1.1 (c)).
    for policy in sorted(case.acceptable) or [ANY_POLICY]:
        command += ["-policy", policy]
    for flag, wanted in (
        ("-explicit_policy", case.require_explicit),
        ("-inhibit_map", case.inhibit_mapping),
        ("-inhibit_any", case.inhibit_any),
    ):
        command += [flag] * wanted
    if case.purpose is not None:
        kind = "smimesign" if case.purpose is Purpose.SIGN else "smimeencrypt"
        command += ["-purpose", kind, "-verify_email", case.address]
    return [*command, "leaf.pem"]


def openssl(case: Case, folder: Path) -> Answer:
    """The case's files have been written to `folder`."""
    done = subprocess.run(
        openssl_command(case), cwd=folder, capture_output=True, text=True, timeout=60
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith("error ")]
    # The command forgives who signed a CRL that his certificate has expired, and only tells of it.
    errors += [line for line in done.stderr.splitlines() if line.startswith("[CRL path] error ")]
    if done.returncode == 0 and not errors:
        return Answer(True, "valid")
    return Answer(False, errors[0] if errors else done.stderr.strip()[:200] or "said nothing")


class Java:
    """Bouncy Castle as builder and validator of paths: one machine for the whole run."""

    def __init__(self) -> None:
        self._java = subprocess.Popen(
            ["java", "-cp", os.pathsep.join(map(str, JARS)), str(_SOURCE)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lock = threading.Lock()
        self.version = self._line()

    def close(self) -> None:
        """End the process."""
        self._java.communicate()

    def ask(self, case: Case, folder: Path) -> Answer:
        """The case's files have been written to `folder`."""
        words = [
            str(folder), str(int(case.moment.timestamp() * 1000)), _word(case.revocation),
            _word(case.require_explicit), _word(case.inhibit_mapping), _word(case.inhibit_any),
            " ".join(sorted(case.acceptable)), "end",
        ]  # fmt: skip
        assert self._java.stdin is not None
        with self._lock:
            self._java.stdin.write("\t".join(words) + "\n")
            self._java.stdin.flush()
            answer = self._line()
        return Answer(answer == "valid", answer)

    def _line(self) -> str:
        assert self._java.stdout is not None
        line = self._java.stdout.readline().strip()
        if not line:
            raise RuntimeError("java ended")
        return line


def java_missing() -> str:
    """Why Java cannot be asked, or ""."""
    absent: Sequence[Path] = [jar for jar in JARS if not jar.exists()]
    return f"no {', '.join(map(str, absent))}" if absent else ""


def _word(wanted: bool) -> str:
    return "yes" if wanted else "no"
