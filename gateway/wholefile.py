"""Small files that others read while they are written."""

from __future__ import annotations

from pathlib import Path


def replace_text(file: Path, text: str) -> None:
    """Replace the file whole: a reader sees the old text or the new one, never half of it.

    Not synced: after a power cut either may be there, or an empty file. Raises OSError.
    """
    new = file.with_suffix(".new")
    new.write_text(text, "utf-8")
    new.replace(file)
