"""A Postfix that runs from a folder on loopback ports, for the peers.

The system's own configuration is not touched. Its master process has to be started by root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from gateway.demo.process import NotStartedError, free_port

_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = {name}.interieur.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{sink}
smtp_dns_support_level = disabled
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
message_size_limit = 100000000
smtpd_client_connection_count_limit = 0
"""

# What every instance needs, whatever it is for. Not qmgr: how often it looks is not the same.
SERVICES = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

_QMGR = "qmgr unix n - n 300 1 qmgr\n"


class Postfix:
    """One instance (see `bench.measure.System`); made stopped.

    main, master: lines that come on top; `{port}`, `{folder}` and the like stand in them.
    """

    name: str

    def __init__(self, folder: Path, short: str, sink_port: int, *, main: str, master: str) -> None:
        if os.geteuid() != 0:
            raise NotStartedError("the peers are a Postfix each, and root has to start them")
        self.port, self.back = free_port(), free_port()
        self.folder = folder
        self._etc = folder / "etc"
        for name in ("etc", "spool", "data"):
            (folder / name).mkdir(parents=True)
        shutil.chown(folder / "data", "postfix")
        # Its processes run as others and have to reach their files.
        for place in (folder, *folder.parents):
            if place.stat().st_uid == os.geteuid() and place.parent != place:
                place.chmod(place.stat().st_mode | 0o055)
        names = {
            "folder": folder,
            "sink": sink_port,
            "port": self.port,
            "back": self.back,
            "name": short,
        }
        (self._etc / "main.cf").write_text((_MAIN + main).format(**names))
        (self._etc / "master.cf").write_text((master + _QMGR + SERVICES).format(**names))
        self._log = folder / "log"

    def start(self) -> None:
        """Start Postfix; returns when it listens."""
        self._postfix("start")

    def stop(self) -> None:
        """Stop it. The queue is empty by then, or the round has failed."""
        self._postfix("stop")

    def settle(self) -> float:
        """Nothing goes on after the last delivery."""
        return 0.0

    def processor(self) -> Mapping[str, float]:
        """Not told: its processes come and go."""
        return {}

    def complaints(self) -> str:
        """The end of its log, for a round that did not come to its end."""
        return self._log.read_text()[-2000:] if self._log.exists() else ""

    def _postfix(self, verb: str) -> None:
        done = subprocess.run(
            ["postfix", "-c", self._etc, verb], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise NotStartedError(f"postfix {verb}: {done.stderr[-2000:]}{self.complaints()}")


class Relay(Postfix):
    """Postfix as it comes: mail in, mail out. It neither archives, nor signs, nor encrypts."""

    name = "postfix relay"

    def __init__(self, folder: Path, sink_port: int) -> None:
        super().__init__(
            folder, "relay", sink_port, main="", master="127.0.0.1:{port} inet n - n - - smtpd\n"
        )
