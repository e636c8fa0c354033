"""Telling systemd how the service is (sd_notify(3)): one datagram, no library."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class Notifier:
    """Sends to NOTIFY_SOCKET; where there is none (no systemd), it says nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero octet of an abstract socket; other forms are not for us.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        # Half of the time that systemd waits for a sign of life; None: it does not wait.
        micros = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every = int(micros) / 2_000_000 if micros.isdigit() and ours else None
        self._alive_at = 0.0

    def say(self, *assignments: str) -> None:
        """READY=1, STATUS=…: one a line. What cannot be told is not worth a fault."""
        if not self._address:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.sendto("\n".join(assignments).encode(), self._address)

    def reloading(self) -> None:
        """The configuration is read anew; `ready` ends it."""
        micros = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self.say("RELOADING=1", f"MONOTONIC_USEC={micros}")

    def ready(self, status: str) -> None:
        """In service. status: one line for `systemctl status`."""
        self.say("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        """The end has begun."""
        self.say("STOPPING=1")

    def alive(self) -> None:
        """Call often: a sign of life goes out as often as the watchdog wants one."""
        now = time.monotonic()
        if self._every is not None and now - self._alive_at >= self._every:
            self._alive_at = now
            self.say("WATCHDOG=1")
