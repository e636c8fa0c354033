"""A real Postfix of its own: configuration, queue and log in one folder, on a free loopback port.

As client in front of the gateway (`relayhost`), or as server behind it: it then puts what it
gets into `inbox()`. Needs the Debian package postfix and root (Postfix itself does).
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.postfix import SERVICES
from gateway.demo.process import free_port

# Among SERVICES is pickup, because postqueue takes its absence for "mail system is down".
_MASTER = (
    """\
127.0.0.1:{port} inet n - n - - smtpd{options}
qmgr unix n - n 1 1 qmgr
virtual unix - n n - - virtual
tlsmgr unix - - n 1000? 1 tlsmgr
showq unix n - n - - showq
"""
    + SERVICES
)


class Postfix:
    """An isolated Postfix; a context manager.

    relayhost: "[127.0.0.1]:2525": everything goes there; "": everything is delivered into
        `inbox()`, whoever it is for.
    port: where its smtpd listens; 0 takes a free one.
    main: further lines of main.cf, to be changed until `start`; smtpd: "-o" options of the
        listening smtpd.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        relayhost: str = "",
        port: int = 0,
        hostname: str = "postfix.example.org",
        main: Mapping[str, str] | None = None,
        smtpd: Mapping[str, str] | None = None,
    ) -> None:
        # Not pytest's tmp_path: that is 0700, and Postfix works as its own user.
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="sceau-postfix-"))
        self.port = port or free_port()
        self.hostname = hostname
        self._relayhost = relayhost
        self.main = dict(main or {})
        self._smtpd = dict(smtpd or {})

    def __enter__(self) -> Postfix:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    @property
    def config(self) -> Path:
        """The folder of main.cf."""
        return self.folder / "etc"

    @property
    def log(self) -> str:
        """Everything logged so far."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def put(self, name: str, content: bytes) -> Path:
        """Write a file that Postfix's own user can read (a CA, a table)."""
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(0o644)
        self.folder.chmod(0o755)
        return path

    def start(self) -> None:
        """Write the configuration, start, wait until it greets. Raises RuntimeError."""
        self._write()
        self._postfix("start")
        self.wait(self._greets, "greet on its port")

    def stop(self) -> None:
        """Stop by its pid file; remove the folder if it was made here."""
        self._postfix("stop", check=False)
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def flush(self) -> None:
        """Try what is deferred again, now."""
        self._run([str(self._unprivileged("postqueue")), "-c", str(self.config), "-f"])

    def mailq(self) -> list[dict[str, Any]]:
        """The queue, as `postqueue -j` shows it: queue_id, sender, recipients (delay_reason)…"""
        command = [str(self._unprivileged("postqueue")), "-c", str(self.config), "-j"]
        return [json.loads(line) for line in self._run(command).splitlines()]

    def inbox(self) -> list[bytes]:
        """The mails it took when it has no relayhost, as Postfix wrote them (LF lines), in order
        of arrival: within a second the names of a Maildir do not follow it.
        """
        folder = self.folder / "mail" / "inbox" / "new"
        paths = list(folder.iterdir()) if folder.is_dir() else []
        paths.sort(key=lambda path: path.stat().st_ctime_ns)
        return [path.read_bytes() for path in paths]

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 80.0) -> None:
        """Wait until `condition()` is true. Raises RuntimeError with the end of the log."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Postfix did not {what} in time; its log:\n{self.log[-3000:]}")
            time.sleep(0.05)

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False

    def _write(self) -> None:
        if os.geteuid() != 0:
            raise RuntimeError("Postfix can be started by root only")
        for name in ("etc", "spool", "data", "mail"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        owner = pwd.getpwnam("postfix")
        os.chown(self.folder / "data", owner.pw_uid, owner.pw_gid)
        reader = pwd.getpwnam("nobody")
        os.chown(self.folder / "mail", reader.pw_uid, reader.pw_gid)
        main = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.folder / "spool"),
            "data_directory": str(self.folder / "data"),
            "command_directory": "/usr/sbin",
            "daemon_directory": "/usr/lib/postfix/sbin",
            "mail_owner": "postfix",
            "setgid_group": grp.getgrnam("postdrop").gr_name,
            "myhostname": self.hostname,
            "mydestination": "",
            "local_recipient_maps": "",
            "alias_maps": "",
            "alias_database": "",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "smtp_dns_support_level": "disabled",
            "maillog_file": str(self.folder / "log"),
            "maillog_file_prefixes": str(self.folder),
            "message_size_limit": "60000000",
            "mailbox_size_limit": "0",
            "virtual_mailbox_limit": "0",
            "smtpd_client_connection_count_limit": "0",
            "in_flow_delay": "0",
            "queue_run_delay": "2s",
            "minimal_backoff_time": "2s",
            "maximal_backoff_time": "4s",
        }
        if self._relayhost:
            main["relayhost"] = self._relayhost
        else:
            main["virtual_mailbox_domains"] = "static:all"
            main["virtual_mailbox_base"] = str(self.folder / "mail")
            main["virtual_mailbox_maps"] = "static:inbox/"
            main["virtual_uid_maps"] = f"static:{reader.pw_uid}"
            main["virtual_gid_maps"] = f"static:{reader.pw_gid}"
        main.update(self.main)
        text = "".join(f"{name} = {value}\n" for name, value in main.items())
        (self.config / "main.cf").write_text(text)
        options = "".join(f"\n  -o {name}={value}" for name, value in self._smtpd.items())
        (self.config / "master.cf").write_text(_MASTER.format(port=self.port, options=options))

    def _unprivileged(self, name: str) -> Path:
        # The installed one is set-gid, and such a program takes a configuration folder only if
        # the system's main.cf names it; a copy has no set-gid bit and needs none, run by root.
        copy = self.folder / name
        if not copy.exists():
            shutil.copyfile(f"/usr/sbin/{name}", copy)
            copy.chmod(0o755)
        return copy

    def _postfix(self, verb: str, *, check: bool = True) -> None:
        self._run(["/usr/sbin/postfix", "-c", str(self.config), verb], check=check)

    def _run(self, command: list[str], *, check: bool = True) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.log}")
        return done.stdout
