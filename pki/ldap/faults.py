"""What goes wrong with a server, in words, and whether the server or the question is at fault."""

from __future__ import annotations

from pki.directory import Directory
from pki.errors import Problem, problem
from pki.ldap import wire
from pki.ldap.octets import TooMuch, WireFault
from pki.unreached import told

# As RFC 4511 §4.1.9 calls them.
_NAMES = {
    wire.AUTH_METHOD_NOT_SUPPORTED: "authMethodNotSupported",
    wire.STRONGER_AUTH_REQUIRED: "strongerAuthRequired",
    wire.CONFIDENTIALITY_REQUIRED: "confidentialityRequired",
    wire.INAPPROPRIATE_AUTHENTICATION: "inappropriateAuthentication",
    wire.INVALID_CREDENTIALS: "invalidCredentials: wrong name or password",
}
_ACCESS = frozenset(
    {
        wire.AUTH_METHOD_NOT_SUPPORTED,
        wire.STRONGER_AUTH_REQUIRED,
        wire.CONFIDENTIALITY_REQUIRED,
        wire.INAPPROPRIATE_AUTHENTICATION,
        wire.INVALID_CREDENTIALS,
        wire.INSUFFICIENT_ACCESS_RIGHTS,
    }
)


class ServerFault(Exception):
    """One server did not do what was asked of it. Another one may.

    away: the server itself is at fault, and nobody need ask it for a while. Otherwise the question
    may be: a person who can make the directory choke on his own entry shall not take the whole
    directory away from all the others.
    lost: the connection was closed without an answer.
    """

    def __init__(self, reason: Problem, *, away: bool, lost: bool = False) -> None:
        super().__init__(reason.text)
        self.problem = reason
        self.away = away
        self.lost = lost


def of_error(directory: Directory, error: OSError | WireFault | TooMuch) -> ServerFault:
    """A connection that failed, or octets that cannot be right."""
    if isinstance(error, TooMuch):
        return ServerFault(
            problem(
                "limits.directory",
                error.template,
                directory=directory.name,
                limit=str(error.limit),
            ),
            away=False,
        )
    if isinstance(error, WireFault):
        return ServerFault(
            problem(
                "directory.answer",
                "the directory {directory} gave an answer that cannot be read ({detail})",
                directory=directory.name,
                detail=str(error),
            ),
            away=not error.entry,
        )
    if isinstance(error, TimeoutError):
        return timeout(directory)
    return ServerFault(
        problem(
            "directory.unreachable",
            "the directory {directory} is not there ({detail})",
            directory=directory.name,
            detail=told(error),
        ),
        away=True,
        lost=isinstance(error, ConnectionResetError | BrokenPipeError),
    )


def timeout(directory: Directory) -> ServerFault:
    """The server's time is over."""
    return ServerFault(
        problem(
            "directory.timeout",
            "the directory {directory} did not answer in time",
            directory=directory.name,
        ),
        away=True,
    )


def of_result(directory: Directory, result: wire.Result, *, base: str, limit: int) -> ServerFault:
    """A result code that is not success."""
    code = result.code
    name = _NAMES.get(code, "")
    detail = " ".join(one for one in (str(code), name, _shown(result.text)) if one)
    facts = {"directory": directory.name, "detail": detail}
    if code in _ACCESS:
        return ServerFault(
            problem(
                "directory.access",
                "the directory {directory} does not let us in ({detail})",
                **facts,
            ),
            away=True,
        )
    if code in (wire.BUSY, wire.UNAVAILABLE):
        return ServerFault(
            problem(
                "directory.unreachable",
                "the directory {directory} is not there ({detail})",
                **facts,
            ),
            away=True,
        )
    if code == wire.TIME_LIMIT_EXCEEDED:
        return timeout(directory)
    if code == wire.REFERRAL:
        return referred(directory)
    if code == wire.NO_SUCH_OBJECT:
        return ServerFault(
            problem(
                "directory.answer",
                "the directory {directory} does not have the base {base}",
                directory=directory.name,
                base=base,
            ),
            away=False,
        )
    if code in (wire.SIZE_LIMIT_EXCEEDED, wire.ADMIN_LIMIT_EXCEEDED):
        return crowd(directory, limit)
    return ServerFault(
        problem("directory.answer", "the directory {directory} failed ({detail})", **facts),
        away=False,
    )


def referred(directory: Directory) -> ServerFault:
    """It sends us elsewhere: a referral would have us ask, and log in, wherever it says (L12)."""
    return ServerFault(
        problem(
            "directory.answer",
            "the directory {directory} refers to another server, which is not followed",
            directory=directory.name,
        ),
        away=False,
    )


def crowd(directory: Directory, limit: int) -> ServerFault:
    """More entries than one question can have."""
    return ServerFault(
        problem(
            "directory.answer",
            "the directory {directory} has more than {limit} entries for one question, or more "
            "than it gives",
            directory=directory.name,
            limit=str(limit),
        ),
        away=False,
    )


def _shown(text: str) -> str:
    """A stranger's words, in one line of ASCII."""
    return ascii(text)[1:-1][:200]
