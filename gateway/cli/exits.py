"""Exit codes of every command (documented in README and `sceau --help`)."""

DONE = 0  # done, or checked and valid
NO = 1  # checked and not so, refused, or a named thing was not found
USAGE = 2  # usage, or input that cannot be read
CANNOT_TELL = 3  # a dependency or data is missing: no verdict
