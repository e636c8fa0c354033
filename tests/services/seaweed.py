"""SeaweedFS, a real S3 server, on loopback; everything it writes is in one folder."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from archive.blob_s3 import S3Settings, S3Store
from gateway.demo.process import Program, free_port

WEED = Path(sys.executable).with_name("weed")
ACCESS_KEY, SECRET_KEY = "SCEAUACCESSKEY", "sceau-secret-key"
BUCKET = "sceau"


@dataclass
class Seaweed:
    """One server. `start` and `stop` may be called in turn; the data stays."""

    folder: Path
    certificate: Path | None = None
    key: Path | None = None
    port: int = field(default_factory=free_port)
    program: Program | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._ports = [free_port() for _ in range(9)]
        identity = {
            "name": "sceau",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        self.credentials = self.folder / "credentials"
        self.credentials.write_text(
            f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
        )
        self.credentials.chmod(0o600)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> Seaweed:
        """Returns when it takes requests and the bucket is there."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc, plain, _ = self._ports
        command: list[str | Path] = [
            WEED, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-master.telemetry=false", f"-master.port={master}", f"-master.port.grpc={master_grpc}",
            "-master.volumeSizeLimitMB=64", "-volume.max=12",
            f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}",
            "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
            f"-filer.localSocket={self.folder}/filer.sock",
            "-s3", "-s3.autoCreateBucket=false", f"-s3.port.grpc={s3_grpc}",
            f"-s3.config={self.folder}/s3.json",
            f"-s3.localSocket={self.folder}/s3.sock", "-s3.port.iceberg=0", "-s3.port.lance=0",
        ]  # fmt: skip
        if self.certificate is not None:
            command += [f"-s3.port={plain}", f"-s3.port.https={self.port}"]
            command += [f"-s3.cert.file={self.certificate}", f"-s3.key.file={self.key}"]
        else:
            command.append(f"-s3.port={self.port}")
        self.program = Program(command, self.folder / "weed.log")
        self.program.wait_for_port(self.port, seconds=120)
        return self

    def make_bucket(self, store: S3Store) -> None:
        """Make the bucket, once the parts of the server have found each other."""
        deadline = time.monotonic() + 120
        while True:
            try:
                store._client.create_bucket(Bucket=BUCKET)
            except (ClientError, BotoCoreError):
                assert time.monotonic() < deadline, (self.folder / "weed.log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """By its process id."""
        if self.program is not None:
            self.program.stop(seconds=1)
            self.program = None
        for port in (*self._ports, self.port):
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()

    def settings(self, **changed: Any) -> S3Settings:
        """As a client of this server has them."""
        values: dict[str, Any] = {
            "endpoint": self.endpoint,
            "bucket": BUCKET,
            "prefix": "",
            "region": "us-east-1",
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "ca_file": None,
            "path_style": True,
            "timeout": timedelta(seconds=30),
        }
        return S3Settings(**{**values, **changed})


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """A running server with a bucket, without TLS."""
    server = Seaweed(folder)
    try:
        server.start()
        server.make_bucket(S3Store(server.settings()))
        yield server
    finally:
        server.stop()
