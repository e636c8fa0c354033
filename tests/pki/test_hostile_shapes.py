"""What strangers' certificates may cost: a second, 64 MB, and never a "valid" (issue 6, L11)."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable

import pytest

from pki.anchors import Anchor
from pki.certificate import ParsedCertificate
from pki.errors import CannotJudge, CertificateRefused
from pki.models import Purpose
from pki.path import Material, Revocation
from pki.verdict import judge
from tests.pace import within
from tests.peak import count_anew, peak
from tests.pki.hostile_shapes import MARIE, SHAPES, Shape

SECONDS = 1.0
MEGABYTES = 64

# Which reason each gets; the first that is found may depend on nothing but the shape.
REASONS = {
    "dead ends": "limits.path",
    "ways that fail": "path.expired",
    "one name": "limits.path",
    "loops": "limits.path",
    "long chain": "path.no-anchor",
    "one megabyte": "structure.certificate",
    "mail constraints": "path.name-constraints",  # the first name is outside
    "mail exclusions": "limits.names",
    "host constraints": "limits.names",
    "directory constraints": "limits.names",
    "policies": "path.policy",
    "policy tree": "path.policy",
    "policies twice over": "path.policy",
    "long oid": "path.no-anchor",
    "long oid of arcs": "path.no-anchor",
    "nested": "path.no-anchor",
    "nested address": "identity.malformed-address",
    "nested capabilities": "path.no-anchor",
    "long capability": "path.no-anchor",
    "many addresses": "identity.address",
    "slow keys": "limits.key",
    "slow exponents": "limits.key",
}


def test_every_shape_has_its_reason() -> None:
    assert set(REASONS) == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_what_came_along(name: str) -> None:
    """As with a mail or a directory's entry: leaf and CAs are a stranger's."""
    shape = SHAPES[name]()

    def stranger() -> tuple[ParsedCertificate, Material]:
        return ParsedCertificate(shape.leaf), _trusted(shape, []).with_chain(shape.others)

    said, seconds, megabytes = _apart(lambda: _judged(stranger))

    assert said != "valid"
    assert within(seconds, SECONDS)
    assert megabytes < MEGABYTES


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_known(name: str) -> None:
    """The same among the intermediates that an administrator gave: the search alone counts."""
    shape = SHAPES[name]()
    known = [cert for cert in map(_read, shape.others) if cert is not None]
    material = _trusted(shape, known)

    said, seconds, megabytes = _apart(
        lambda: _judged(lambda: (ParsedCertificate(shape.leaf), material))
    )

    assert said == REASONS[name]
    assert within(seconds, SECONDS)
    assert megabytes < MEGABYTES


def _judged(prepare: Callable[[], tuple[ParsedCertificate, Material]]) -> str:
    try:
        cert, material = prepare()
        _ = cert.capabilities
        judge(
            cert, address=MARIE, purpose=Purpose.SIGN, moment=Shape.moment, material=material,
            source="", revocation=Revocation.OFF,
        )  # fmt: skip
    except (CertificateRefused, CannotJudge) as error:
        return error.problem.code
    return "valid"


def _trusted(shape: Shape, known: list[ParsedCertificate]) -> Material:
    digest = hashlib.sha256(shape.anchor).hexdigest()
    return Material([Anchor("root", shape.anchor, digest, frozenset(Purpose))], known)


def _read(der: bytes) -> ParsedCertificate | None:
    try:
        return ParsedCertificate(der)
    except CertificateRefused:
        return None


def _apart(work: Callable[[], str]) -> tuple[str, float, float]:
    """What it says, seconds of processor and megabytes more: in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            memory, begun = count_anew(), time.process_time()
            said = work()
            figures = (said, time.process_time() - begun, (peak() - memory) / (1 << 20))
            os.write(writer, json.dumps(figures).encode())
        finally:
            os._exit(0)  # where work raised, nothing was written, and that fails below
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    said, seconds, megabytes = json.loads(answer)
    return said, seconds, megabytes
