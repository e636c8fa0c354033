"""sd_notify(3): what systemd hears, and that nobody listening is no fault."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.notify import Notifier
from tests.corpora import ROOT

UNIT = ROOT / "samples" / "systemd" / "sceau.service"


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_hears_each_state(tmp_path: Path, abstract: bool) -> None:
    name = f"sceau-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name if abstract else name)
        systemd.settimeout(5)
        notifier = Notifier({"NOTIFY_SOCKET": "@" + name if abstract else name})
        notifier.ready("mail is taken")
        notifier.reloading()
        notifier.stopping()
        heard = [systemd.recv(4096).decode() for _ in range(3)]

    assert heard[0] == "READY=1\nSTATUS=mail is taken"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard[1])
    assert heard[2] == "STOPPING=1"


def test_the_watchdog_gets_signs_of_life_twice_within_its_time(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name)
        systemd.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "60000000"})
        for _ in range(100):
            notifier.alive()
        assert systemd.recv(4096) == b"WATCHDOG=1"
        with pytest.raises(BlockingIOError):
            systemd.recv(4096)


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_listening_is_no_fault(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    notifier.ready("x")
    notifier.alive()


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    """As it is, but for the program's place: systemd looks whether it is there."""
    text = UNIT.read_text("utf-8").replace("/opt/sceau/current/bin/sceau", "/bin/true")
    unit = tmp_path / "sceau.service"
    unit.write_text(text.replace("User=sceau\nGroup=sceau\n", ""))
    assert shutil.which("systemd-analyze"), "the package systemd is in the list of ./dev"

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_little_that_the_unit_leaves_open() -> None:
    """The exposure by systemd's own measure, from 0 to 100: 14 for now (network, same user)."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=16", UNIT],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_the_unit_takes_every_privilege_away() -> None:
    settings = dict(re.findall(r"^(\w+)=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE))

    assert settings["Type"] == "notify"
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["ProtectSystem"] == "strict"
    assert settings["StateDirectory"] == "sceau"
    assert "ReadWritePaths" not in settings
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "MemoryDenyWriteExecute"):
        assert settings[name] == "yes"
