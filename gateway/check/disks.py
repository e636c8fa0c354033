"""Room on every disk that the gateway writes to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from gateway.check.finding import Finding, error, good, warning
from gateway.metrics import gauges
from gateway.wiring import Wiring

_MB = 1_000_000


def disks(wiring: Wiring, _moment: datetime) -> Iterator[Finding]:
    """Octets and inodes, once for each file system."""
    need = wiring.mail_room
    for disk in gauges.disks(wiring.folders):
        facts = {
            "folder": str(disk.folder),
            "free": str(disk.free // _MB),
            "need": str(need // _MB),
            "wanted": str(gauges.least_free(disk, need) // _MB),
        }
        if disk.free < need:
            yield error(
                "disk",
                "disk.full",
                "{folder}: {free} MB are free; below {need} MB mail is answered 452",
                meaning="no mail is taken; the mail servers in front keep it",
                advice="make room, or lower listen.max_size",
                **facts,
            )
        elif disk.free < gauges.least_free(disk, need):
            yield warning(
                "disk",
                "disk.nearly-full",
                "{folder}: {free} MB are free, less than 5 %",
                meaning="below {need} MB mail is answered 452",
                advice="make room",
                **facts,
            )
        else:
            yield good("disk", "{folder}: {free} MB are free ({wanted} MB are needed)", **facts)
        yield from _inodes(disk.folder)


def _inodes(folder: Path) -> Iterator[Finding]:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    found = os.statvfs(there)
    if found.f_files and found.f_favail < found.f_files // 20:  # 0: it has no fixed number
        yield warning(
            "disk",
            "disk.inodes",
            "{folder}: less than 5 % of the inodes are free",
            meaning="no new file can be made though there is room",
            advice="remove files from that disk",
            folder=str(folder),
        )
