"""The demo's machines, all on loopback: CRL server, slapd, receiving server, Sceau.

Used by the demo, the flow tests and the bench alike.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from gateway.demo.crlserver import CrlServer
from gateway.demo.directory import Directory
from gateway.demo.house import House
from gateway.demo.pki import Keys, World, make_world
from gateway.demo.postgres import Postgres
from gateway.demo.process import NotStartedError, free_port
from gateway.demo.sink import read_ledger


@dataclass
class SinkProcess:
    """`gateway.demo.sink` as a process of its own."""

    folder: Path
    process: subprocess.Popen[bytes]
    port: int

    @classmethod
    def start(cls, folder: Path, *, world: World | None = None, port: int = 0) -> SinkProcess:
        """world: offer STARTTLS with its server certificate."""
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "gateway.demo.sink", "--dir", str(folder)]
        command += ["--port", str(port or free_port())]  # ours while it is away, too
        if world is not None:
            command += ["--cert", str(world.tls_server.certificate_file)]
            command += ["--key", str(world.tls_server.key_file)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            process.kill()
            raise NotStartedError("the receiving server did not start")
        return cls(folder, process, int(line))

    def deliveries(self) -> int:
        """How many mails it has."""
        return len(read_ledger(self.folder))

    def stop(self) -> None:
        """SIGTERM; what it has stays in the folder."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Stage:
    """Everything around a Sceau, running."""

    folder: Path
    world: World
    crl_server: CrlServer
    directory: Directory
    sink: SinkProcess
    postgres: Postgres | None = None
    houses: list[House] = field(default_factory=list)

    def house(self, name: str = "sceau", **options: object) -> House:
        """A Sceau for this stage; not yet made. options: fields of `House`."""
        settings: dict[str, object] = {
            "ldap_url": self.directory.ldaps_url,
            "sink_port": self.sink.port,
            "postgres": self.postgres,
            **options,
        }
        house = House(self.folder / name, self.world, **settings)  # type: ignore[arg-type]
        self.houses.append(house)
        return house

    def leave(self) -> None:
        """End what still runs of the houses: whoever fails between start and stop ends none."""
        for house in self.houses:
            if house.process is not None and house.process.poll() is None:
                house.kill()


@contextmanager
def stage(
    folder: Path,
    *,
    keys: Keys | None = None,
    tls: bool = False,
    postgres: Postgres | None = None,
    seal: str = "rsa",
    crowd: int = 0,
) -> Iterator[Stage]:
    """Set it up below `folder`, stop everything at the end.

    tls: the sink offers STARTTLS. postgres: a running server for the houses' databases; otherwise
        SQLite. seal: kind of the key that the sending ministry seals with.
    crowd: see `make_world`.
    """
    with ExitStack() as stack:
        crl_server = CrlServer(folder / "world" / "crl")
        world = make_world(
            folder / "world",
            crl_server.base_url,
            moment=datetime.now(UTC),
            keys=keys,
            seal=seal,
            crowd=crowd,
        )
        stack.enter_context(crl_server)
        directory = Directory(world, folder / "slapd")
        stack.enter_context(directory)
        sink = SinkProcess.start(folder / "sink", world=world if tls else None)
        made = Stage(folder, world, crl_server, directory, sink, postgres)
        stack.callback(lambda: made.sink.stop())  # whichever it is by then
        stack.callback(made.leave)
        yield made
