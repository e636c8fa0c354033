"""What the benches draw and count; that they measure is shown by running them."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.keys import require_sealable
from bench.large_ldif import Crowd
from bench.load import SIZES, mail
from bench.picture import Curve, bars, curves
from bench.profile import subjects
from gateway.demo.pki import Authority, Credential
from gateway.demo.process import NotStartedError
from gateway.smtp.data import unsafe_octets
from pki.bulk import entries_of_ldif
from pki.certificate import ParsedCertificate
from tests.pki_maker import NOW, root

SVG = "{http://www.w3.org/2000/svg}"


def test_mails_have_their_size_and_are_fit_for_smtp() -> None:
    for octets in (1_000, *SIZES.values(), 10_000_000):
        made = mail(octets, "a@x.example", "b@y.example")
        assert abs(len(made) - octets) < 100
        assert not unsafe_octets(made)
        assert made == mail(octets, "a@x.example", "b@y.example")


def test_keys_that_the_product_refuses_are_not_measured() -> None:
    end = datetime(2028, 1, 1, tzinfo=UTC)
    require_sealable("rsa", moment=end - timedelta(seconds=1))
    require_sealable("ec", moment=end)
    with pytest.raises(NotStartedError, match="since 2028-01-01 the product refuses rsa 2048"):
        require_sealable("rsa", moment=end)


def test_a_curve_has_a_dot_and_its_value_for_each_point() -> None:
    points = [(1.0, 10.0), (100.0, 250.0), (50_000_000.0, 0.5)]
    root = ElementTree.fromstring(curves([Curve("mails a second", "octets", points)] * 3))
    assert len(root.findall(f".//{SVG}circle")) == 9
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert words.count("250") == 3
    assert words.count("50M") == 3
    heights = [float(dot.attrib["cy"]) for dot in root.iter(f"{SVG}circle")][:3]
    assert heights[1] < heights[0] < heights[2]  # down is more in SVG


def test_bars_are_as_long_as_their_parts() -> None:
    rows = {"intake": {"SMTP": 1.0, "log": 0.5}, "worker": {"RSA": 3.0}}
    root = ElementTree.fromstring(bars("where time goes", rows))
    parts = [r for r in root.iter(f"{SVG}rect") if r.attrib.get("height") == "20"]
    long = [float(part.attrib["width"]) for part in parts]
    assert long[0] / long[1] == 2
    assert abs(sum(long[:2]) * 2 - long[2]) < 1


def test_a_sample_counts_for_the_innermost_of_our_files_and_waiting_not_at_all(
    tmp_path: Path,
) -> None:
    file = tmp_path / "samples"
    file.write_text(
        "main (/x/gateway/roles.py:1);commit (/x/archive/fields.py:120);sha (hashlib.py:3) 3\n"
        "main (/x/gateway/roles.py:1);run (/usr/lib/python3.11/asyncio/events.py:80) 1\n"
        "main (/x/gateway/roles.py:1);EpollSelector.select (selectors.py:468) 500\n"
    )
    assert subjects(file) == {"commitments and chain": 0.75, "event loop and threads": 0.25}


def test_each_person_of_a_large_directory_has_a_certificate_of_his_own() -> None:
    ca = root(kind="ec")
    authority = Authority(
        Credential(ca.cert, ca.key, Path("ca.pem"), Path("ca.key")), Path("ca.crl"), "http://crl"
    )

    written = b"".join(Crowd(authority, "justice.example", moment=NOW).ldif(3))

    people = list(entries_of_ldif(io.BytesIO(written)))
    certs = [ParsedCertificate(one.values[0]) for one in people]
    assert [one.addresses for one in people] == [cert.addresses.usable for cert in certs]
    assert len({cert.spki for cert in certs}) == len({cert.serial for cert in certs}) == 3
    assert all(cert.signed_by(ParsedCertificate(ca.der)) for cert in certs)
