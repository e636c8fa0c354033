"""Who may read and write what: keys, data, configuration; and as whom the gateway runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from gateway import running
from gateway.check.finding import Finding, error, good, warning
from gateway.config.pki_sections import TokenKey
from gateway.wiring import Wiring

_UMASK = re.compile(r"^Umask:\s+([0-7]+)$", re.MULTILINE)


def rights(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Files of keys, the data, the configuration file."""
    count = 0
    for file in _secrets(wiring):
        count += 1
        if file.stat().st_mode & 0o077:
            yield error(
                "rights",
                "rights.key-open",
                "{file} can be read by other users",
                meaning="they can sign as we do, or read what only we may",
                advice="take the rights of others away from it (chmod 600)",
                file=str(file),
            )
    data = wiring.data_folder
    if data.stat().st_mode & 0o077:
        yield warning(
            "rights",
            "rights.data-open",
            "{folder} can be read by other users (mode {mode})",
            meaning="they can see who writes to whom",
            advice="take the rights of others away from it (chmod 700)",
            folder=str(data),
            mode=f"{data.stat().st_mode & 0o777:o}",
        )
    for one in (data, *(each for each in data.iterdir() if each.is_file())):
        if one.stat().st_uid != data.stat().st_uid:
            yield warning(
                "rights",
                "rights.other-owner",
                "{file} belongs to another user than {folder}",
                meaning="a command was run as another user; the service may not be able to use it",
                advice="chown it, and run commands as the service's user",
                file=str(one),
                folder=str(data),
            )
    if not os.access(data, os.W_OK):
        yield error(
            "rights",
            "rights.data-closed",
            "this user may not write to {folder}",
            meaning="sceau serve would not start as this user",
            advice="run this check as the service's user",
            folder=str(data),
        )
    if wiring.path is not None and wiring.path.stat().st_mode & 0o022:
        yield error(
            "rights",
            "rights.configuration-open",
            "{file} can be written by other users",
            meaning="they decide what is encrypted, and whom we trust",
            advice="take the rights of others away from it (chmod go-w)",
            file=str(wiring.path),
        )
    yield good("rights", "keys and passwords looked at: {count}", count=str(count))
    yield from _as_whom(wiring)


def _secrets(wiring: Wiring) -> Iterator[Path]:
    config = wiring.config
    files = [config.listen.tls_key, config.auth.users, config.database.password_file]
    wrapping = (config.pki.key_encryption_key, config.pki.former_key_encryption_key)
    files += [key.pin_file if isinstance(key, TokenKey) else key for key in wrapping]
    for seal in config.seals:
        key = seal.key
        files += [key.pin_file if isinstance(key, TokenKey) else key, seal.password_file]
    for directory in config.pki.directories:
        files += [directory.password_file, directory.client_key]
    yield from dict.fromkeys(file for file in files if file is not None)


def _as_whom(wiring: Wiring) -> Iterator[Finding]:
    status = running.read(wiring.run_folder)
    root = os.geteuid() == 0
    if status is not None:
        try:
            told = Path(f"/proc/{status.pid}/status").read_text("ascii", "replace")
            root = Path(f"/proc/{status.pid}").stat().st_uid == 0
        except OSError:
            told = ""
        match = _UMASK.search(told)
        if match and int(match[1], 8) & 0o077 != 0o077:
            yield warning(
                "rights",
                "rights.umask",
                "the gateway runs with umask {umask}",
                meaning="files it makes may be read by other users",
                advice="UMask=0077 in its systemd unit",
                umask=match[1],
            )
    if root:
        yield warning(
            "rights",
            "rights.root",
            "this runs as root, which the gateway never needs",
            meaning="a hole in any library is a hole in the whole machine",
            advice="run it as a user of its own",
        )
