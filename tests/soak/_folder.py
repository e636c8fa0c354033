"""Where a long run works: removed when all held, kept to be looked at when something did not."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def folder_of(name: str) -> Iterator[Path]:
    """A new folder that programs of other users may enter: PostgreSQL is somebody else when we are
    root. What fails after hours, once, is never seen again without its logs and its database.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"sceau-{name}-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    except BaseException:
        print(f"what is there to look at: {folder}", flush=True)
        raise
    shutil.rmtree(folder)
