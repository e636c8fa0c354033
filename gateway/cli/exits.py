"""Exit codes of every command (documented in README and `sceau --help`)."""

from collections.abc import Iterable

DONE = 0  # done, or checked and valid
NO = 1  # checked and not so, refused, or a named thing was not found
USAGE = 2  # usage, or input that cannot be read
CANNOT_TELL = 3  # a dependency or data is missing: no verdict

# By the status of a verified mail.
VERIFICATION = {
    "valid": DONE,
    "invalid": NO,
    "unsigned": NO,
    "partly-signed": NO,
    "indeterminate": CANNOT_TELL,
    "malformed": USAGE,
}

_ORDER = (DONE, CANNOT_TELL, NO, USAGE)


def worst(codes: Iterable[int]) -> int:
    """The code for several inputs: 2 before 1 before 3 before 0."""
    return max(codes, key=_ORDER.index, default=DONE)
