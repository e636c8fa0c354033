"""[archive.blobs]: content over a size lies outside the database, in a folder or on S3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.config import kinds
from gateway.config.faults import Wrong
from gateway.config.kinds.plain import kind_of, shown
from gateway.config.reader import Finding, KeyPath, optional_table, section, setting
from pki.directory import is_loopback

if TYPE_CHECKING:
    from gateway.config.sections import Config

# Below this a blob costs more than the row: three syncs of a disk, or a request.
LEAST_ABOVE = 16 * 1024
# A put and its commit take a minute and a half at most; an orphan costs nothing but space.
LEAST_SWEEP = timedelta(minutes=10)

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_PREFIX = re.compile(rf"{_PART}(/{_PART})*\Z")


@kind_of
def endpoint(value: str, folder: Path) -> str:
    """ "https://s3.interior.example", "http://127.0.0.1:8333", without a path."""
    url = kinds.http_url.read(value, folder)
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Wrong(
            "{value} has a path; bucket and prefix stand in their own keys", value=shown(value)
        )
    return url.rstrip("/")


@kind_of
def bucket(value: str, _folder: Path) -> str:
    """A bucket's name."""
    if not _BUCKET.match(value):
        raise Wrong(
            "{value} is not a bucket: 3 to 63 small letters, digits, - and .", value=shown(value)
        )
    return value


@kind_of
def prefix(value: str, _folder: Path) -> str:
    """ "sceau", "mail/archive", or "" for none."""
    if value and not _PREFIX.match(value):
        raise Wrong(
            "{value} is not a prefix: letters, digits, - . _ and / in between", value=shown(value)
        )
    return value


@section
class S3:
    """[archive.blobs.s3]: an S3-compatible object store.

    credentials: file in the form of `~/.aws/credentials`, with one section `[default]`.
    """

    endpoint: str = setting(endpoint, example='"https://s3.interior.example"')
    bucket: str = setting(bucket, example='"sceau"')
    prefix: str = setting(prefix, example='"archive"', default="")
    region: str = setting(kinds.slug, example='"us-east-1"', default="us-east-1")
    credentials: Path = setting(kinds.file, example='"keys/s3.credentials"')
    ca: Path | None = setting(kinds.file, example='"anchors/s3-ca.crt"', default=None)
    path_style: bool = setting(kinds.boolean, example="true", default=True)
    timeout: timedelta = setting(kinds.duration, example='"20s"', default=timedelta(seconds=20))
    unsafe_plain: bool = setting(kinds.boolean, example="true", default=False)


@section
class BlobsSection:
    """[archive.blobs]. above: bytes of ciphertext. Exactly one of folder and s3."""

    above: int = setting(kinds.size, example='"256 kB"', default=256_000)
    sweep_after: timedelta = setting(kinds.duration, example='"7d"', default=timedelta(days=7))
    folder: Path | None = setting(kinds.folder, example='"data/blobs"', default=None)
    s3: S3 | None = optional_table(S3)


def check_blobs(config: Config) -> Iterator[Finding]:
    """What must hold between the keys."""
    blobs = config.archive.blobs
    if blobs is None:
        return
    path = ("archive", "blobs")
    if (blobs.folder is None) == (blobs.s3 is None):
        yield Finding(
            path,
            "blobs lie either in a folder or on an S3 server",
            {},
            'folder = "data/blobs", or a table [archive.blobs.s3]',
        )
    if blobs.above < LEAST_ABOVE:
        yield Finding(
            (*path, "above"),
            "below 16 KiB a blob costs more than the row in the database",
            {},
            'above = "256 kB"',
        )
    if blobs.sweep_after < LEAST_SWEEP:
        yield Finding(
            (*path, "sweep_after"),
            "mail that is just being taken would be swept away and refused",
            {},
            'sweep_after = "7d"',
        )
    if blobs.s3 is not None:
        yield from _s3((*path, "s3"), blobs.s3)


def _s3(path: KeyPath, s3: S3) -> Iterator[Finding]:
    secure = s3.endpoint.startswith("https:")
    if secure and s3.ca is None:
        yield Finding(
            (*path, "ca"),
            "TLS needs the CA that the server's certificate is checked against; the system's "
            "roots are not trusted",
            {},
            'ca = "anchors/s3-ca.crt"',
        )
    if not secure and not s3.unsafe_plain and not is_loopback(urlsplit(s3.endpoint).hostname or ""):
        yield Finding(
            (*path, "endpoint"),
            "this connection would be in clear text: anyone on the way could say that he has "
            "stored what he has not",
            {},
            'endpoint = "https://s3.interior.example"',
        )
    if secure and s3.unsafe_plain:
        yield Finding((*path, "unsafe_plain"), "unsafe_plain contradicts TLS", {})
