"""What `sceau check`, alarms, metrics and `crl list` say of CRLs that are not simply complete."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.alarms import judge
from gateway.check import Finding, Level
from gateway.check.crls import crls
from gateway.check.ends import grace
from gateway.check.finding import filled
from gateway.metrics.page import page
from gateway.metrics.tally import Tally
from gateway.wiring import Wiring
from pki.crl import Crl
from pki.crl_store import store_crl
from tests.crl_maker import Listed, Reason, crl, points, scope
from tests.pki_maker import DAY, Authority
from tests.unit.cli_pki_house import House

HOUR = timedelta(hours=1)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def bring(house: House, *crls: bytes) -> None:
    """Import CRLs; of the House's own, those of the root."""
    files = [house.folder / "root.crl"]
    files += [house.write(f"brought{number}.crl", each) for number, each in enumerate(crls)]
    brought = house.run("crl", "import", *files)
    assert brought.code == 0, brought.err


def own(
    house: House,
    number: int,
    base: int | None = None,
    *,
    end: timedelta = 7 * DAY,
    point: x509.IssuingDistributionPoint | None = None,
) -> bytes:
    """A CRL of the issuing CA, brought now."""
    start = house.now - DAY + number * HOUR
    return crl(house.ca, number=number, base=base, start=start, end=house.now + end, point=point)


def found(house: House, after: timedelta = timedelta()) -> dict[str, Finding]:
    """What check says of CRLs (not of sources) so much later, by code; "" has the last good one."""
    wiring = Wiring.from_file(house.config)
    moment = house.now + after
    try:
        said = [*crls(wiring, moment), *grace(wiring, moment)]
    finally:
        wiring.close()
    return {each.code: each for each in said if each.code != "crl.never-fetched"}


def alarms(house: House, after: timedelta) -> tuple[list[str], str]:
    """Codes of alarms about CRLs so much later, and the page of metrics."""
    wiring = Wiring.from_file(house.config)
    moment = house.now + after
    try:
        wiring.gauges.now = lambda: moment
        standing = wiring.gauges.look()
    finally:
        wiring.close()
    codes = [one.code for one in judge(standing, room=1) if one.code.startswith("crl-")]
    return codes, page(Tally(), standing, frozenset(), "text/plain")[0].decode()


def until(metrics: str, name: str) -> datetime:
    """sceau_crl_next_update_seconds of an issuer."""
    (line,) = [
        line
        for line in metrics.splitlines()
        if line.startswith("sceau_crl_next_update_seconds{") and name in line
    ]
    return datetime.fromtimestamp(float(line.rpartition(" ")[2]), tz=UTC)


def test_a_late_delta_is_told_and_no_mail_waits_for_it(house: House) -> None:
    bring(house, own(house, 5), own(house, 6, 5, end=HOUR))
    assert set(found(house)) == {""}
    assert found(house)[""].level is Level.OK

    late = found(house, 2 * HOUR)

    assert set(late) == {"", "crl.delta-late"}
    told = late["crl.delta-late"]
    assert told.level is Level.WARNING
    assert "delta CRL no. 6 of CN=House CA" in told.text
    assert "complete CRL no. 5 counts, until" in told.text
    assert "waits" not in told.text + told.meaning
    codes, metrics = alarms(house, 2 * HOUR)
    assert codes == ["crl-delta-late"]
    assert until(metrics, "House CA") > house.now + 6 * DAY
    assert "crl.stale" in found(house, 8 * DAY)
    assert "crl.delta-late" not in found(house, 8 * DAY)
    assert "crl-stale" in alarms(house, 8 * DAY)[0]


def test_deltas_that_a_ca_publishes_and_nobody_fetches_are_told(house: House) -> None:
    """RFC 5280 §5.2.6: the CRL says where they are; a person names the source, or knows why not."""
    place = x509.UniformResourceIdentifier("http://crl.example/delta.crl")
    freshest = x509.FreshestCRL([x509.DistributionPoint([place], None, None, None)])
    start, end = house.now - DAY, house.now + 7 * DAY
    whole = house.ca.crl(5, start=start, end=end, extra=((freshest, False),))
    bring(house, whole)

    told = found(house)["crl.delta-unknown"]

    assert told.level is Level.WARNING
    assert "http://crl.example/delta.crl" in filled(told.advice, told.facts)
    bring(house, own(house, 6, 5))
    assert set(found(house)) == {""}


def test_a_current_delta_keeps_an_older_complete_crl_current(house: House) -> None:
    bring(house, own(house, 5, end=HOUR), own(house, 6, 5, end=6 * DAY))

    assert set(found(house, 2 * HOUR)) == {""}
    codes, metrics = alarms(house, 2 * HOUR)
    assert codes == []
    assert until(metrics, "House CA") > house.now + 5 * DAY


def test_a_delta_that_a_later_complete_crl_replaced_is_nobodys_trouble(house: House) -> None:
    delta = crl(house.ca, number=2, base=1, start=house.now - 3 * HOUR, end=house.now + HOUR)
    bring(house, delta)
    fresh = crl(house.ca, number=9, start=house.now + 2 * HOUR, end=house.now + 7 * DAY)
    bring_later(house, fresh, 2 * HOUR)
    assert set(found(house, 3 * HOUR)) == {""}


def test_deltas_alone_do_not_tell_and_a_gap_is_named(house: House) -> None:
    bring(house, own(house, 6, 5))
    alone = found(house)
    assert set(alone) == {"", "crl.no-complete"}
    assert alone["crl.no-complete"].level is Level.ERROR

    bring(house, own(house, 3))
    assert found(house)["crl.delta-alone"].level is Level.WARNING


def bring_later(house: House, der: bytes, after: timedelta) -> None:
    """Store a CRL as if so much later."""
    wiring = Wiring.from_file(house.config)
    with wiring.database.write() as conn:
        assert store_crl(conn, Crl(der, "later"), moment=house.now + after)
    wiring.close()


@pytest.fixture
def publisher(house: House) -> Authority:
    """Another CA below the root, which publishes an indirect CRL."""
    ca = house.root.sub("Publisher", end=house.now + 800 * DAY)
    (house.base / "intermediates" / "publisher.pem").write_bytes(ca.pem)
    point = scope(indirect_crl=True)
    bring(house, crl(ca, point=point, start=house.now - DAY, end=house.now + 7 * DAY))
    return ca


def person(house: House, *at: x509.DistributionPoint) -> None:
    """A recipient of the issuing CA."""
    extra = ((x509.CRLDistributionPoints(at), False),) if at else ()
    marie = house.issue("Marie", "marie@justice.example", extra=extra)
    assert house.run("cert", "import", house.write("marie.pem", marie.pem)).code in (0, 3)


def test_a_crl_that_somebody_else_publishes_is_not_missed(
    house: House, publisher: Authority
) -> None:
    unknown = found(house)
    assert set(unknown) == {"", "crl.indirect-unknown"}
    assert unknown["crl.indirect-unknown"].level is Level.WARNING

    person(house, points(crl_issuer="Publisher"))

    assert set(found(house)) == {""}
    wiring = Wiring.from_file(house.config)
    texts = [one.text for one in crls(wiring, house.now)]
    wiring.close()
    name = house.ca.cert.subject.rfc4514_string()
    assert f"the CRL of {name} is published by CN=Publisher,O=Sceau Tests" in texts


def test_a_crl_of_somebody_else_is_no_excuse_for_a_ca_that_does_not_name_him(
    house: House, publisher: Authority
) -> None:
    person(house)
    missing = found(house)
    assert set(missing) == {"", "crl.none"}
    assert "House CA" in missing["crl.none"].text


def test_a_crl_of_somebody_else_that_is_over_is_an_error(
    house: House, publisher: Authority
) -> None:
    person(house, points(crl_issuer="Publisher"))
    house.publish(2, end=20 * DAY)
    bring(house)
    over = found(house, 8 * DAY)
    assert set(over) >= {"crl.stale", "crl.cannot-tell"}
    assert over["crl.cannot-tell"].level is Level.ERROR
    assert "Publisher" in over["crl.cannot-tell"].text


def test_no_crl_is_missed_where_ocsp_alone_is_asked(house: House) -> None:
    assert "crl.none" in found(house)
    text = house.config.read_text("utf-8")
    only = text.replace('comment = "compared by phone"', 'revocation_sources = "ocsp"')
    assert only != text
    house.config.write_text(only, "utf-8")
    assert found(house) == {}

    bring(house, own(house, 1))

    assert found(house, 8 * DAY) == {}
    codes, metrics = alarms(house, 8 * DAY)
    assert codes == []
    assert "sceau_crl_next_update_seconds{" not in metrics
    house.config.write_text(only.replace('"ocsp"', '"ocsp-then-crl"'), "utf-8")
    assert "crl.stale" in found(house, 8 * DAY)
    assert alarms(house, 8 * DAY)[0] == ["crl-stale", "crl-stale"]


def test_list_tells_what_is_not_complete(house: House) -> None:
    some = scope(only_some_reasons=frozenset({Reason.key_compromise}))
    foreign = Listed(77, of=house.root.cert.subject)
    indirect = crl(
        house.ca,
        foreign,
        number=3,
        point=scope(indirect_crl=True),
        start=house.now - DAY,
        end=house.now + DAY,
    )
    bring(house, own(house, 1), own(house, 2, 1), indirect, own(house, 4, point=some))

    rows = house.run("crl", "list", "--json").json

    kinds = {
        one["number"]: (one["delta"], one["indirect"], one["only_for"])
        for one in rows
        if "House CA" in one["issuer"]
    }
    assert kinds == {
        1: (False, False, []),
        2: (True, False, []),
        3: (False, True, []),
        4: (False, False, ["keyCompromise"]),
    }
    lines = [line for line in house.run("crl", "list").out.splitlines() if "House CA" in line]
    told = "\n".join(line + "  " for line in lines)
    for text in ("  complete  ", "  delta  ", "complete, indirect", "only for keyCompromise"):
        assert text in told
