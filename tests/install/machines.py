"""Bare Debian 12 machines on this one: folders from debootstrap, booted by systemd-nspawn.

Each has a systemd of its own as process 1 and a network of its own: an address on a wire that the
machines share (a bridge), and a way out through slirp4netns, so that nothing of this machine's own
network is changed. What they need to know of the outside (mirror, CAs, pip's index) is what this
machine itself has configured. Needs root.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SUITE = "bookworm"
# Beyond Debian's smallest system: what makes it a machine.
_PACKAGES = ("systemd", "systemd-sysv", "dbus", "ca-certificates")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
_AUTHORITIES = Path("/usr/local/share/ca-certificates")
_BOOT = 180.0


class Failed(Exception):
    """A command failed; the text is what it said."""


def command(*words: str | Path, **more: object) -> str:
    """Run it here; what it wrote. Raises Failed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise Failed(f"{shlex.join(map(str, words))}: exit {done.returncode}\n{said[-3000:]}")
    return str(done.stdout)


@dataclass
class Machine:
    """One of them. root: its folder; address: on the shared wire."""

    name: str
    root: Path
    address: str
    network: str
    programs: list[subprocess.Popen[bytes]] = field(default_factory=list)
    leader: int = 0

    def boot(self) -> None:
        """Start it and wait until systemd is through. Raises Failed."""
        out = self.root.with_suffix(".console").open("wb")
        self.programs.append(
            subprocess.Popen(
                [
                    "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
                    "--directory", self.root, "--machine", f"sceau-{self.name}",
                    "--hostname", self.name,
                    "--network-namespace-path", f"/run/netns/{self.network}",
                    "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
                ],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )
        )  # fmt: skip
        end = time.monotonic() + _BOOT
        state = ""
        while state not in ("running", "degraded"):
            if time.monotonic() > end or self.programs[-1].poll() is not None:
                raise Failed(f"{self.name} did not start: {state or 'no systemd'}")
            time.sleep(0.3)
            self.leader = self.leader or _child(self.programs[-1].pid)
            if self.leader:
                state = self._inside("systemctl is-system-running", capture=True)[1].strip()

    def halt(self) -> None:
        """End it in order, then what belongs to it."""
        for program in reversed(self.programs):
            program.send_signal(signal.SIGTERM)
            try:
                program.wait(60)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()

    def run(self, script: str) -> int:
        """Run a script as root would type it, its output to ours; the exit code."""
        return self._inside(f"set -euo pipefail\n{script}")[0]

    def quietly(self, script: str) -> tuple[int, str]:
        """The same; exit code and output."""
        return self._inside(f"set -euo pipefail\n{script}", capture=True)

    def _inside(self, script: str, *, capture: bool = False) -> tuple[int, str]:
        done = subprocess.run(
            [
                "nsenter", "--target", str(self.leader), "--all", "--root", "--wd",
                "env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                "bash", "-c", f"cd /\n{script}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.STDOUT if capture else None,
            check=False,
        )  # fmt: skip
        return done.returncode, (done.stdout or b"").decode("utf-8", "replace")


class Machines:
    """A context manager: machines by name, booted. folder: everything of theirs is in it.

    addresses: name to address on the shared wire, a /24. keep: leave the folder as it is at the
    end; otherwise only what debootstrap made stays, for the next time.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str], *, keep: bool = False) -> None:
        self.folder = folder
        self._addresses = addresses
        self._keep = keep
        self._machines: dict[str, Machine] = {}
        self._networks: list[str] = []

    def __enter__(self) -> Machines:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "lock").open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another run works in {self.folder}; name another folder") from None
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        for machine in self._machines.values():
            machine.halt()
        for network in self._networks:
            subprocess.run(["ip", "netns", "delete", network], check=False)
        if not self._keep:
            for machine in self._machines.values():
                shutil.rmtree(machine.root, ignore_errors=True)

    def __getitem__(self, name: str) -> Machine:
        return self._machines[name]

    def __iter__(self) -> Iterator[Machine]:
        return iter(self._machines.values())

    def share(self, source: str, folder: str) -> None:
        """Copy a folder of one machine to all others, in place of scp."""
        for machine in self._machines.values():
            if machine.name != source:
                target = machine.root / folder.lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                command("cp", "-a", self[source].root / folder.lstrip("/"), target)

    def _make(self) -> None:
        base = bare_system(self.folder / "base")
        hosts = "127.0.0.1 localhost\n" + "".join(
            f"{address} {name}.interior.example {name}\n"
            for name, address in self._addresses.items()
        )
        hub = ""
        for name, address in self._addresses.items():
            machine = Machine(name, self.folder / name, address, f"sceau-{os.getpid()}-{name}")
            if machine.root.exists():
                raise Failed(f"{machine.root} is left over from a run with --keep; remove it")
            self._machines[name] = machine
            command("cp", "-a", "--reflink=auto", base, machine.root)
            (machine.root / "etc/hosts").write_text(hosts)
            (machine.root / "etc/hostname").write_text(f"{name}\n")
            self._connect(machine, hub)
            hub = hub or machine.network
        for machine in self._machines.values():
            machine.boot()

    def _connect(self, machine: Machine, hub: str) -> None:
        """A network for it: an address on the wire, whose bridge is in the first one's network."""
        net, wire = machine.network, f"w-{machine.name}"[:15]
        command("ip", "netns", "add", net)
        self._networks.append(net)
        command("ip", "-n", net, "link", "set", "lo", "up")
        if not hub:
            command("ip", "-n", net, "link", "add", "eth0", "type", "bridge")
        else:
            command(
                "ip", "-n", net, "link", "add", "eth0", "type", "veth",
                "peer", "name", wire, "netns", hub,
            )  # fmt: skip
            command("ip", "-n", hub, "link", "set", wire, "master", "eth0", "up")
        command("ip", "-n", net, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        command("ip", "-n", net, "link", "set", "eth0", "up")
        machine.programs.append(
            subprocess.Popen(
                ["slirp4netns", "--configure", "--mtu=1400", "--disable-host-loopback",
                 "--netns-type=path", f"/run/netns/{net}", "tap0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )  # fmt: skip


def bare_system(folder: Path) -> Path:
    """Debian's smallest system with systemd; made once, and kept for the next time."""
    if (folder / "usr/bin/systemctl").exists():
        return folder
    making = folder.with_name(folder.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    making.parent.mkdir(parents=True, exist_ok=True)
    mirrors = _mirrors()
    command(
        "debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
        SUITE, making, mirrors[0].split()[0],
    )  # fmt: skip
    sources = "".join(f"deb {mirror}\n" for mirror in mirrors)
    (making / "etc/apt/sources.list").write_text(sources)
    proxy = command("apt-config", "dump", "--format", "%F %v;%n", "Acquire::http::Proxy")
    (making / "etc/apt/apt.conf.d/90proxy").write_text(proxy)
    # What this machine trusts for TLS, and the index that its pip asks.
    for file in _AUTHORITIES.glob("**/*.crt"):
        shutil.copyfile(file, making / _AUTHORITIES.relative_to("/") / file.name)
    command("chroot", making, "update-ca-certificates")
    index = subprocess.run(
        ["python3", "-m", "pip", "config", "get", "global.index-url"],
        capture_output=True, text=True, check=False,
    ).stdout.strip() or os.environ.get("PIP_INDEX_URL", "")  # fmt: skip
    (making / "etc/pip.conf").write_text(
        f"[global]\ncert = {_BUNDLE}\n" + (f"index-url = {index}\n" if index else "")
    )
    (making / "etc/resolv.conf").write_text("nameserver 10.0.2.3\n")  # slirp4netns answers
    making.rename(folder)
    return folder


def _mirrors() -> list[str]:
    """ "URI SUITE main" of Debian 12 as this machine's apt has them; the main one first."""
    told = command(
        "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(LABEL)",
        "Created-By: Packages", "Component: main",
    )  # fmt: skip
    found = dict.fromkeys(
        tuple(line.split()[:2]) for line in told.splitlines() if " Debian" in line
    )
    ours = [(uri, name) for uri, name in found if name.partition("-")[0] == SUITE]
    ours.sort(key=lambda one: len(one[1]))
    if not ours or ours[0][1] != SUITE:
        raise Failed(f"this machine's apt knows no mirror of Debian {SUITE}")
    return [f"{uri} {name} main" for uri, name in ours]


def _child(pid: int) -> int:
    """The process that nspawn started as number 1; 0 while there is none."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        found = children.read_text().split()
    except OSError:
        return 0
    return int(found[0]) if found else 0


def tree(root: Path, target: Path) -> None:
    """The project's files, as git knows them, changed ones as they are now, into `target`."""
    names = command("git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    for name in filter(None, names):
        if (root / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)


def report(machine: Machine, units: Sequence[str]) -> str:
    """The end of the journal of some units: for whoever looks for the reason of a failure."""
    wanted = " ".join(f"-u {unit}" for unit in units)
    return machine.quietly(f"journalctl --no-pager -n 12 {wanted}")[1]


__all__ = ["Failed", "Machine", "Machines", "command", "report", "tree"]
