"""A path that was found is known again, and never longer than it holds."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

import gateway.smime.signer_paths as module
from gateway.smime.signer_paths import SignerPaths
from pki.certificate import ParsedCertificate
from pki.crl import read_crl
from pki.errors import CannotJudge, CertificateRefused
from pki.ocsp import OcspResponse
from pki.path import Material, Revocation, ValidPath
from tests.pki_maker import NOW, Authority, Issued, root

ADDRESS = "anna@a.example"


class World:
    """A root, a CA that comes along with mails, a person; and how often a path was sought."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root: Authority = root()
        self.ca = self.root.sub("CA")
        self.anna: Issued = self.ca.issue(ADDRESS)
        self.paths = SignerPaths()
        self.sought = 0
        find_path = module.find_path

        def counted(*given: object, **more: object) -> ValidPath:
            self.sought += 1
            return find_path(*given, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(module, "find_path", counted)

    def material(self, *domains: str) -> Material:
        crls = [read_crl(self.root.crl()), read_crl(self.ca.crl())]
        return Material([self.root.anchor(domains=domains)], (), crls)

    def find(
        self,
        material: Material,
        moment: datetime = NOW,
        *,
        chain: tuple[Authority, ...] | None = None,
        address: str = ADDRESS,
        revocation: Revocation = Revocation.REQUIRE,
    ) -> ValidPath:
        along = [ParsedCertificate(one.der) for one in (self.ca,) if chain is None]
        return self.paths.find(
            ParsedCertificate(self.anna.der),
            material,
            along,
            address=address,
            moment=moment,
            revocation=revocation,
            allow_legacy=False,
        )


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_the_second_mail_of_a_signer_costs_no_path(house: World) -> None:
    material = house.material()
    first = house.find(material)
    again = house.find(material, NOW + timedelta(minutes=9))

    assert again is first
    assert house.sought == 1


@pytest.mark.parametrize("after", [timedelta(minutes=10), -timedelta(seconds=1)])
def test_it_is_sought_anew_after_ten_minutes_and_for_moments_before(
    house: World, after: timedelta
) -> None:
    material = house.material()
    house.find(material)
    house.find(material, NOW + after)

    assert house.sought == 2


def test_a_new_crl_counts_at_once(house: World) -> None:
    house.find(house.material())
    house.ca.revoke(house.anna)

    with pytest.raises(CertificateRefused) as refused:
        house.find(house.material())
    assert refused.value.problem.code == "revocation.revoked"


def test_a_certificate_that_ends_and_a_crl_that_is_stale_are_not_believed_longer(
    house: World,
) -> None:
    material = house.material()
    path = house.find(material, NOW)
    last = path.until - timedelta(minutes=1)

    house.find(material, last)
    with pytest.raises((CertificateRefused, CannotJudge)):
        house.find(material, path.until + timedelta(minutes=1))


def test_another_address_chain_or_hardness_is_another_question(house: World) -> None:
    material = house.material("a.example")
    house.find(material)

    with pytest.raises(CertificateRefused) as refused:
        house.find(material, address="anna@b.example")
    assert refused.value.problem.code == "path.anchor-domain"
    with pytest.raises(CertificateRefused):
        house.find(material, chain=())
    house.find(material, revocation=Revocation.OFF)
    assert house.sought == 4


def test_what_was_refused_is_judged_anew(house: World) -> None:
    for _ in range(2):
        with pytest.raises(CertificateRefused):
            house.find(house.material(), chain=())
    assert house.sought == 2


def test_the_dated_table_turns(house: World, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = NOW + timedelta(minutes=5)
    monkeypatch.setattr(module, "_TURNS", [datetime.min.replace(tzinfo=UTC), turn])
    material = house.material()
    for moment in (NOW, turn - timedelta(seconds=1), turn):
        house.find(material, moment)

    assert house.sought == 2


def test_where_ocsp_may_answer_at_any_time_nothing_is_remembered(house: World) -> None:
    class Live:
        def about(self, cert: ParsedCertificate, issuer: ParsedCertificate) -> list[OcspResponse]:
            return []

    material = house.material()
    material.ocsp = Live()
    for revocation in (Revocation.REQUIRE, Revocation.REQUIRE, Revocation.OFF, Revocation.OFF):
        house.find(material, revocation=revocation)
    assert house.sought == 3


def test_no_more_are_remembered_than_said(house: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    material = house.material()
    for name in ("a", "b", "c", "d", "a"):  # four more signers than fit, by their addresses
        house.find(material, address=f"{name}@a.example")
    assert house.sought == 5


def test_threads_may_ask_together(house: World) -> None:
    materials = [house.material(), house.material()]
    with ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(house.find, materials * 40))
    assert len({path.certificates[-1].sha256 for path in paths}) == 1
