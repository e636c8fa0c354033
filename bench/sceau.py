"""Sceau as a system under test: run by its command, with the demo's directory and CRLs."""

from __future__ import annotations

import time

from gateway.demo.house import House
from gateway.demo.process import NotStartedError
from gateway.demo.stage import Stage

# Sealed by the organisation's key, encrypted, no clear text ever: the way most mail goes.
_RULES = """
[[policy.rules]]
name = "bench"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "seal"
"""

_INDEX_SECONDS = 120.0


class Sceau:
    """The product (see `bench.way_out.System`): archive, index, LDAP, CRLs, policy, all of it."""

    name = "sceau"

    def __init__(self, stage: Stage, sink_port: int) -> None:
        self._house: House = stage.house(rules=_RULES, sink_port=sink_port)
        self._house.make(persons=False)
        self.port = self._house.listen_port

    def start(self) -> None:
        """`sceau serve`; returns when it is ready."""
        self._house.start()

    def stop(self) -> None:
        """End it as an administrator would."""
        self._house.stop()

    def settle(self) -> float:
        """Wait until the full-text index has caught up; how many seconds that took."""
        begin = time.monotonic()
        if not self._house.wait_indexed(seconds=_INDEX_SECONDS):
            raise NotStartedError(f"the index is still behind after {_INDEX_SECONDS:.0f} s")
        return time.monotonic() - begin

    def complaints(self) -> str:
        """The end of its log, for a round that did not come to its end."""
        return self._house.log.read_text("utf-8", "replace")[-2000:]
