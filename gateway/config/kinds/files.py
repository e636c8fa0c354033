"""Files and folders, relative to the configuration's own folder."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.config.faults import Elsewhere, Wrong
from gateway.config.kinds.plain import closed, kind_of, shown
from gateway.config.kinds.postgres import postgres_url


@kind_of
def file(value: str, folder: Path) -> Path:
    """A file that exists and can be read."""
    path = folder / value
    if path.is_dir():
        raise Wrong("{path} is a folder, not a file", path=str(path))
    if not path.exists():
        raise Elsewhere("there is no file {path}", path=str(path))
    _readable(path)
    return path


@kind_of
def file_or_folder(value: str, folder: Path) -> Path:
    """A file, or a folder all of whose files are meant."""
    path = folder / value
    if not path.exists():
        raise Elsewhere("there is no file or folder {path}", path=str(path))
    _readable(path)
    return path


@kind_of
def folder(value: str, folder: Path) -> Path:
    """A folder of the gateway's own; it may be made later, its parent is there."""
    path = folder / value
    if path.exists() and not path.is_dir():
        raise Wrong("{path} is a file, not a folder", path=str(path))
    _parent(path)
    return path


@kind_of
def database_url(value: str, folder: Path) -> str:
    """ "sqlite:///data/sceau.db" below the file's folder, "sqlite:////abs/path" elsewhere; or
    "postgresql+psycopg://user@host/name"."""
    if value.startswith("postgresql"):
        return postgres_url(value)
    scheme, _, name = value.partition(":///")
    if scheme != "sqlite" or not name or "?" in name:
        raise Wrong("{value} is not a database this version can use", value=shown(value))
    path = folder / name
    if path.is_dir():
        raise Wrong("{path} is a folder, not a file", path=str(path))
    _parent(path)
    return f"sqlite:///{path}"


def _parent(path: Path) -> None:
    if not path.parent.is_dir():
        raise Elsewhere("there is no folder {path}", path=str(path.parent))


def _readable(path: Path) -> None:
    if not os.access(path, os.R_OK):
        raise closed(str(path))
