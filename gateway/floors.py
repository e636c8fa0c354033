"""Libraries below these versions have holes that break a promise: the gateway does not start.

The lock files pin newer ones; this is for installations that are put together differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from gateway.errors import SceauError
from gateway.i18n import message

FLOORS = {
    "cryptography": ((50, 0), "CVE-2026-69247: an oracle in PKCS#7 decryption"),
    "aiosmtpd": ((1, 4, 6), "CVE-2024-34083: commands before STARTTLS are believed"),
    "python-ldap": ((3, 4, 5), "CVE-2025-61911, CVE-2025-61912: escaping of filters and names"),
}


HOLE = message("{library} {found} has a known hole ({why})")
INSTALL = message("install {library} {floor} or newer, as the lock files do")


class TooOld(SceauError):
    """A library has a known hole."""


def refuse_old_libraries() -> None:
    """Raises TooOld for the first library below its floor, or missing."""
    for facts in old_libraries():
        raise TooOld(HOLE, hint=INSTALL, facts=facts)


def old_libraries() -> Iterator[dict[str, str]]:
    """The places of HOLE and INSTALL, for each library below its floor, or missing."""
    for name, (floor, why) in FLOORS.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = ""
        if numbers(found) < floor:
            yield {
                "library": name,
                "found": found or "-",
                "why": why,
                "floor": ".".join(map(str, floor)),
            }


def numbers(text: str) -> tuple[int, ...]:
    """The numbers a version begins with: (50, 0, 2) of "50.0.2.dev1"; empty for none."""
    match = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(map(int, match[0].split("."))) if match else ()
