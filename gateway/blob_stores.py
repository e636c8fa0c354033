"""The blob store that the configuration names."""

from __future__ import annotations

import configparser
from pathlib import Path

import structlog

from archive.blob_folder import FolderStore
from archive.blobs import Blobs, BlobStore
from archive.errors import BlobStoreForeign, BlobTrouble
from gateway.config.blob_sections import S3, BlobsSection
from gateway.errors import SceauError

log = structlog.get_logger()


def blob_store(section: BlobsSection) -> BlobStore:
    """It is not touched yet. Raises SceauError (credentials)."""
    if section.folder is not None:
        return FolderStore(section.folder)
    assert section.s3 is not None  # the configuration's checks: one of the two
    return _s3(section.s3)


def greet(blobs: Blobs) -> None:
    """At the start: see that the store is ours. Raises BlobStoreForeign.

    One that is away keeps nothing from starting: small mail needs no store, large mail is answered
    451 until it is back.
    """
    try:
        blobs.prepare()
    except BlobStoreForeign:
        raise
    except BlobTrouble as error:
        log.error("blob_store_fault", reason=error.problem.text)


def _s3(section: S3) -> BlobStore:
    # Half a second of imports and 20 MB, which only those pay who have such a store.
    from archive.blob_s3 import S3Settings, S3Store

    access_key, secret_key = _credentials(section.credentials)
    return S3Store(
        S3Settings(
            endpoint=section.endpoint.rstrip("/"),
            bucket=section.bucket,
            prefix=f"{section.prefix}/" if section.prefix else "",
            region=section.region,
            access_key=access_key,
            secret_key=secret_key,
            ca_file=section.ca,
            path_style=section.path_style,
            timeout=section.timeout,
        )
    )


def _credentials(path: Path) -> tuple[str, str]:
    """Access key and secret key from a file in the form of `~/.aws/credentials`."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
        found = parser["default"]
        return found["aws_access_key_id"], found["aws_secret_access_key"]
    except (configparser.Error, KeyError, UnicodeDecodeError):
        # Nothing of the file is shown: what is wrong in it may be the secret.
        raise SceauError(
            "{file}: this is not a file with S3 credentials",
            hint="[default], then aws_access_key_id = … and aws_secret_access_key = …",
            facts={"file": str(path)},
        ) from None
