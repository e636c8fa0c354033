"""`sceau check` on a next hop that takes less than what our mail becomes."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.check import Finding
from gateway.check.routes import routes
from gateway.wiring import Wiring
from tests.unit.cli_pki_house import House

_AGREED = """
[[policy.partners]]
domains = ["justice.example"]
crypto = "experimental-hybrid"
"""
_MOST = 10_000_000


@contextmanager
def hop(size: int) -> Iterator[int]:
    """A server that offers SIZE and nothing but 8BITMIME beside it; its port."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 hop.example\r\n")
            while line := self.rfile.readline(1000):
                if line[:4].upper() == b"EHLO":
                    self.wfile.write(b"250-hop.example\r\n250-8BITMIME\r\n250 SIZE %d\r\n" % size)
                else:
                    self.wfile.write(b"221 bye\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("offered", "agreed", "meaning"),
    [
        (_MOST * 14 // 10, "", None),
        (_MOST * 14 // 10 - 1, "", "a third larger"),
        (0, "", None),  # RFC 1870 §3: no limit that it knows
        (_MOST * 19 // 10, _AGREED, None),
        (_MOST * 19 // 10 - 1, _AGREED, "nearly twice as large"),
    ],
)
def test_a_next_hop_takes_what_our_mail_becomes(
    offered: int, agreed: str, meaning: str | None, tmp_path: Path
) -> None:
    house = House(tmp_path)
    with hop(offered) as port:
        settings = house.config.read_text("utf-8")
        settings = settings.replace('"50 MB"', '"10 MB"').replace("port = 10026", f"port = {port}")
        house.config.write_text(settings + agreed, "utf-8")
        found = _check(house)

    said = [one for one in found if one.code == "route.size"]
    assert bool(said) == (meaning is not None)
    for one in said:
        assert str(offered) in one.text
        assert str(_MOST) in one.text
        assert meaning is not None
        assert meaning in one.meaning
    assert not {one.code for one in found} & {"route.silent", "route.tls", "route.8bitmime"}


def _check(house: House) -> list[Finding]:
    wiring = Wiring.from_file(house.config)
    try:
        return list(routes(wiring, house.now))
    finally:
        wiring.close()
