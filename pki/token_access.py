"""Where a token is and how to get in, without loading PKCS#11."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TokenAccess:
    """A token and how to get in. module: the vendor's library. token: its label; serial: "" or the
    token's serial number, where several have one label. pin_file: 0600, the user PIN.
    """

    module: Path
    token: str
    pin_file: Path
    serial: str = ""
