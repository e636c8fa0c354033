"""What a library finds odd about a stranger's certificate is no line of ours."""

from __future__ import annotations

import warnings


def unwarned() -> None:
    """Keep such warnings from standard error, for the life of this process.

    `cryptography` warns of a common name of more than 64 characters, of a serial number that is
    not positive… : a line of another program between ours, with a place in our code, for whatever
    lies in a directory or comes with a mail, and a new one kept in memory for each length. What is
    wrong with a certificate is said where it is judged.
    """
    warnings.simplefilter("ignore", UserWarning)
