"""Who types: the name that records carry."""

from __future__ import annotations

import os
import pwd


def operator() -> str:
    """The account of this process, by its number.

    Not by `getpass.getuser`: that believes the environment, and a consent or a removal would be
    recorded under whatever name the caller wrote into LOGNAME.
    """
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a container with a number and no name
        return f"uid {number}"
