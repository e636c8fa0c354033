"""How well directories are: what commands, checks and metrics show. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pki.errors import Problem


class ServerState(Enum):
    """Whether a server is asked."""

    CLOSED = "closed"  # it is: nothing speaks against it
    OPEN = "open"  # it is not: it failed, and its pause is not over
    HALF_OPEN = "half-open"  # one look-up or probe tries it, the others go elsewhere


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """One server of a directory, as this process has seen it.

    failures: in a row. pause: seconds until it is tried again, 0 when it may be. problem: of the
    last failure, None once it has answered. answered, failed: operations since the start.
    idle, busy: connections.
    """

    url: str
    state: ServerState
    failures: int
    pause: float
    problem: Problem | None
    answered: int
    failed: int
    idle: int
    busy: int


@dataclass(frozen=True, slots=True)
class DirectoryHealth:
    """A directory with its servers, in order of preference."""

    name: str
    servers: tuple[ServerHealth, ...]

    @property
    def available(self) -> bool:
        """Whether a look-up would ask anybody now; if not, it is "cannot tell" at once."""
        return any(server.state is not ServerState.OPEN for server in self.servers)


@dataclass(frozen=True, slots=True)
class ServerTrial:
    """What came of trying one server on purpose. problem: None if it answered."""

    url: str
    problem: Problem | None
    seconds: float
