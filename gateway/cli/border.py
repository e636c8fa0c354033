"""Where errors become what a person reads and an exit code: once, here, never a stack trace."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from gateway.cli.exits import CANNOT_TELL, NO, USAGE
from gateway.cli.output import Output
from gateway.errors import CannotTell, NotFound, Refusal, SceauError
from gateway.i18n import message

INTERRUPTED = 130  # 128 + SIGINT
PIPE_CLOSED = 141  # 128 + SIGPIPE: `sceau … | head` is no error, and nobody reads a message

# Errors of pki and archive by what they mean for the caller; the rest is input that cannot be
# used. By name: importing pki and archive here would cost every command their start-up time.
_CODES = {
    "ActRefused": NO,
    "BookBroken": CANNOT_TELL,
    "CertificateRefused": NO,
    "CrlRefused": NO,
    "Damaged": NO,
    "NotInArchive": NO,
    "CannotJudge": CANNOT_TELL,
    "DirectoryTrouble": CANNOT_TELL,
    "FetchTrouble": CANNOT_TELL,
    "BlobMissing": NO,
    "BlobTrouble": CANNOT_TELL,
    "IndexUnusable": CANNOT_TELL,
    "KekTrouble": CANNOT_TELL,
    "LogMissing": CANNOT_TELL,
    "TokenTrouble": CANNOT_TELL,
}

_FILE_TROUBLE = {
    errno.ENOENT: message("there is no file {file}"),
    errno.EACCES: message("{file} may not be used by this user"),
    errno.EPERM: message("{file} may not be used by this user"),
    errno.EISDIR: message("{file} is a folder, not a file"),
    errno.ENOTDIR: message("{file} is not below a folder"),
    errno.EEXIST: message("{file} exists already and is not overwritten"),
    errno.EFBIG: message("{file} is too large"),
    errno.EBADF: message("{file} is not open"),
    errno.ENOSPC: message("there is no space left for {file}"),
}
_OTHER_TROUBLE = "{file}: {reason}"

# SQLAlchemy's names for what the database cannot do just now (full, locked, read-only, damaged).
# Its other errors are mistakes of ours. By name, as above.
_DATABASE_TROUBLE = frozenset({"OperationalError", "DatabaseError"})


def guarded(
    run: Callable[[], int], *, command: str, output: Output, environment: Mapping[str, str]
) -> int:
    """Run a command; give its exit code, whatever happens.

    command: "sceau queue", for the beginning of an error line.
    """
    try:
        code = run()
        output.out.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at exit and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - the outermost border
        lines, code = explained(error, output)
        if not lines:
            lines, code = [_incident(error, output, environment)], USAGE
        for line in lines:
            output.note("{command}: {line}", command=command, line=line)
    return code


def explained(error: BaseException, output: Output) -> tuple[list[str], int]:
    """The lines for a person and the exit code; no lines for an error nobody foresaw."""
    if faults := getattr(error, "faults", None):  # ConfigFaults
        return [_fault_line(fault, output) for fault in faults], USAGE
    if isinstance(error, SceauError):
        line = output.text(error.template, **error.facts)
        if error.hint:
            hint = output.text(error.hint_template, **error.facts)
            line = output.text("{what}; {hint}", what=line, hint=hint)
        return [line], _code(error)
    if problem := getattr(error, "problem", None):  # PkiError, ArchiveError
        return [output.problem(problem)], _CODES.get(type(error).__name__, USAGE)
    if type(error).__name__ in _DATABASE_TROUBLE:
        reason = " ".join(str(getattr(error, "orig", error)).split())
        return [output.text("the database cannot be used: {reason}", reason=reason)], CANNOT_TELL
    if isinstance(error, OSError) and error.filename is not None:
        template = _FILE_TROUBLE.get(error.errno or 0, _OTHER_TROUBLE)
        reason = error.strerror or type(error).__name__
        return [output.text(template, file=os.fsdecode(error.filename), reason=reason)], USAGE
    return [], USAGE


def _code(error: SceauError) -> int:
    match error:
        case NotFound() | Refusal():
            return NO
        case CannotTell():
            return CANNOT_TELL
    return USAGE


def _fault_line(fault: object, output: Output) -> str:
    from gateway.config.faults import Fault

    assert isinstance(fault, Fault)
    reason = output.text(fault.template, **fault.facts)
    if not fault.example:
        return f"{fault.place}: {reason}"
    return output.text(
        "{place}: {reason} (right would be: {example})",
        place=fault.place,
        reason=reason,
        example=fault.example,
    )


def _incident(error: BaseException, output: Output, environment: Mapping[str, str]) -> str:
    """One line with an id; the details go to a file of this user, or to him who asks for them."""
    incident = secrets.token_hex(4)
    details = "".join(traceback.format_exception(error))
    if environment.get("SCEAU_DEBUG") == "1":
        output.err.write(details)
        return output.text("internal fault {incident}, details above", incident=incident)
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local/state"
    file = Path(state) / "sceau" / f"incident-{incident}.txt"
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        file.write_text(details, "utf-8")
    except OSError:
        return output.text(
            "internal fault {incident}; SCEAU_DEBUG=1 shows the details", incident=incident
        )
    return output.text(
        "internal fault {incident}; the details are in {file}", incident=incident, file=str(file)
    )
