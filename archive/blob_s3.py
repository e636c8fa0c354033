"""Blobs as objects of an S3-compatible server: `PREFIX2026-11-21/<sha256>`.

put is believed when the server has named the SHA-256 of what it stored, and it has been seen to
refuse an object whose hash does not fit. A server that ignores checksums is one where a put is
read back and compared, at twice the traffic.

Nothing of the environment or of `~/.aws` is used, and no proxy: where the mail goes is said in one
place.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from urllib3.exceptions import HTTPError

from archive.blob_names import MARKER, is_blob_name, is_day
from archive.blobs import Stored
from archive.errors import BlobMissing, BlobStoreFull, BlobTrouble, Problem

_ATTEMPTS = 3
_CONNECT = timedelta(seconds=3)
_STEP = 1 << 20
_PAGE = 1000  # names in one answer: as many as S3 gives
_PROBE = "probe-"
_MOST = 1 << 30  # bytes of one blob: a server that lies must not fill the memory
_REFUSED_CHECKSUM = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "InvalidRequest")
_FULL = ("QuotaExceeded", "EntityTooLarge", "XMinioStorageFull", "InsufficientStorage")


@dataclass(frozen=True, slots=True)
class S3Settings:
    """endpoint: URL. prefix: before every name, "" or ending in "/". ca_file: the only roots that
    are trusted. timeout: without an octet; a whole request may take six times that.
    """

    endpoint: str
    bucket: str
    prefix: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    ca_file: Path | None
    path_style: bool
    timeout: timedelta


class S3Store:
    """See `BlobStore`."""

    def __init__(self, settings: S3Settings) -> None:
        """Connects to nothing yet."""
        self._settings = settings
        self._compares: bool | None = None
        self._made: Any = None
        self._making = threading.Lock()

    @property
    def place(self) -> str:
        """Endpoint, bucket and prefix."""
        one = self._settings
        return f"{one.endpoint}/{one.bucket}/{one.prefix}"

    def put(self, name: str, data: bytes, sha256: str) -> None:
        """See `BlobStore`."""
        checksum = _base64(bytes.fromhex(sha256))
        once: dict[str, str] = {"IfNoneMatch": "*"} if name == MARKER else {}
        with self._trouble():
            try:
                answer = self._client.put_object(
                    **self._at(name), Body=data, ChecksumSHA256=checksum, **once
                )
            except ClientError as error:
                if once and _code(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                    return  # whoever was first owns the store
                raise
        if name == MARKER:
            return
        if answer.get("ChecksumSHA256") == checksum and self.compares():
            return
        if hashlib.sha256(self.get(name)).hexdigest() != sha256:
            raise BlobTrouble(
                Problem(
                    "blobs.not-stored",
                    "{place} says it has stored {name} and gives back other octets",
                    {"place": self.place, "name": name},
                )
            )

    def compares(self) -> bool:
        """Whether the server refuses an object whose hash is not the one announced; tried once.

        Some servers repeat the checksum they were told, without looking.
        """
        if self._compares is None:
            name = f"{_PROBE}{secrets.token_hex(8)}"
            wrong = _base64(hashlib.sha256(b"something else").digest())
            with self._trouble():
                try:
                    self._client.put_object(
                        **self._at(name), Body=b"something", ChecksumSHA256=wrong
                    )
                except ClientError as error:
                    if _code(error) not in _REFUSED_CHECKSUM:
                        raise
                    self._compares = True
                else:
                    self._compares = False
                    self._client.delete_object(**self._at(name))
        return self._compares

    def get(self, name: str) -> bytes:
        """See `BlobStore`."""
        deadline = time.monotonic() + 6 * self._settings.timeout.total_seconds()
        with self._trouble():
            # The library tries a request again, but not the reading of its answer.
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    answer = self._client.get_object(**self._at(name))
                    return self._read(answer, deadline)
                except ClientError as error:
                    if _code(error) in ("NoSuchKey", "404"):
                        raise self._missing(name) from None
                    raise
                except (BotoCoreError, HTTPClientError, HTTPError):
                    if attempt == _ATTEMPTS or time.monotonic() > deadline:
                        raise
        raise AssertionError("the last attempt returns or raises")

    def delete(self, name: str) -> None:
        """See `BlobStore`."""
        with self._trouble():
            self._client.delete_object(**self._at(name))

    def days(self) -> list[str]:
        """See `BlobStore`."""
        found = []
        for page in self._pages(self._settings.prefix, Delimiter="/"):
            for one in page.get("CommonPrefixes", ()):
                name = str(one["Prefix"]).removeprefix(self._settings.prefix).rstrip("/")
                if is_day(name):
                    found.append(name)
        return sorted(found)

    def names(self, day: str) -> Iterator[Stored]:
        """See `BlobStore`."""
        for page in self._pages(f"{self._settings.prefix}{day}/"):
            now = _server_time(page)
            for one in page.get("Contents", ()):
                name = str(one["Key"]).removeprefix(self._settings.prefix)
                if is_blob_name(name):
                    yield Stored(name, int(one["Size"]), now - one["LastModified"])

    def free(self) -> int | None:
        """See `BlobStore`: S3 has no word for it."""
        return None

    # -- parts ---------------------------------------------------------------------------------

    @property
    def _client(self) -> Any:
        with self._making:  # a client is for all threads; making one is not
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> Any:
        one = self._settings
        nothing = (None, None, os.devnull, None)
        core = botocore.session.Session(
            session_vars={
                "profile": (None, None, None, None),
                "config_file": nothing,
                "credentials_file": nothing,
            }
        )
        return boto3.session.Session(
            aws_access_key_id=one.access_key,
            aws_secret_access_key=one.secret_key,
            region_name=one.region,
            botocore_session=core,
        ).client(
            "s3",
            endpoint_url=one.endpoint,
            verify=str(one.ca_file) if one.ca_file is not None else True,
            config=Config(
                connect_timeout=min(_CONNECT, one.timeout).total_seconds(),
                read_timeout=one.timeout.total_seconds(),
                retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                s3={"addressing_style": "path" if one.path_style else "virtual"},
                # Only the checksum that we give: others are not known to every server.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                proxies={},
            ),
        )

    def _at(self, name: str) -> dict[str, str]:
        """Where it lies; a name comes from the database, and no other object is ever touched."""
        if name != MARKER and not name.startswith(_PROBE) and not is_blob_name(name):
            raise BlobMissing(
                Problem("blobs.name", "{name} is not the name of a blob", {"name": name[:100]})
            )
        return {"Bucket": self._settings.bucket, "Key": self._settings.prefix + name}

    def _pages(self, prefix: str, **more: str) -> Iterator[Mapping[str, Any]]:
        with self._trouble():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._settings.bucket,
                Prefix=prefix,
                PaginationConfig={"PageSize": _PAGE},
                **more,
            )
            for page in pages:
                if "IsTruncated" not in page:
                    raise self._unusable("its answer is not a list")
                yield page

    def _read(self, answer: Mapping[str, Any], deadline: float) -> bytes:
        """The whole answer; a server that sends an octet now and then holds nobody for ever."""
        size = int(answer["ContentLength"])
        # What has come, not what was asked for: `read` waits until there is that much.
        stream = answer["Body"]._raw_stream
        found = bytearray()
        while len(found) < size and (chunk := stream.read1(_STEP)):
            found += chunk
            if len(found) > _MOST or time.monotonic() > deadline:
                stream.close()
                raise self._unusable("its answer does not come to an end")
        if len(found) != size:
            raise IncompleteReadError(actual_bytes=len(found), expected_bytes=size)
        return bytes(found)

    def _missing(self, name: str) -> BlobMissing:
        return BlobMissing(
            Problem(
                "blobs.missing",
                "the blob {name} is not in {place}",
                {"name": name[:100], "place": self.place},
            )
        )

    def _unusable(self, why: str) -> BlobTrouble:
        return BlobTrouble(
            Problem(
                "blobs.s3",
                "the blob store {place} cannot be used: {why}",
                {"place": self.place, "why": why},
            )
        )

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            found = error.response.get("Error", {})
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            why = f"{status} {found.get('Code', '-')}: {found.get('Message', '-')}"[:300]
            problem = self._unusable(why).problem
            full = _code(error) in _FULL or status == 507
            raise (BlobStoreFull if full else BlobTrouble)(problem) from error
        except (BotoCoreError, HTTPClientError, HTTPError) as error:
            raise self._unusable(str(error)[:300]) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            # An answer that is not one: no XML, no time, a body that is cut.
            raise self._unusable(f"{type(error).__name__}: {error}"[:300]) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _server_time(page: Mapping[str, Any]) -> datetime:
    """The server's own now, by which ages are told: its clock and ours need not agree."""
    moment = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
