"""PKCS#12 files by the hundred, quickly: EC keys, few iterations."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    KeySerializationEncryption,
    PrivateFormat,
    pkcs12,
)

from tests.pki_maker import Issued
from tests.unit.cli_pki_house import House


def encryption(password: str, rounds: int = 1) -> KeySerializationEncryption:
    """PBES2 as everybody writes it, with hardly any work in it."""
    return (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(rounds)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(password.encode())
    )


class P12Folder:
    """A folder with one PKCS#12 for each person, and the list with their passwords."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.path = house.folder / "p12"
        self.path.mkdir()
        self.list = house.folder / "list.csv"
        self.rows: list[dict[str, str]] = []

    def add(
        self,
        name: str,
        address: str = "",
        *,
        password: str = "secret",
        row: dict[str, str] | None = None,
        subject_key: Any = None,
        **more: Any,
    ) -> Issued:
        """A person. row: further columns of the list."""
        issued = self.house.issue(
            name,
            address or f"{name}@interior.example",
            kind="ec",
            subject_key=subject_key or ec.generate_private_key(ec.SECP256R1()),
            **more,
        )
        data = pkcs12.serialize_key_and_certificates(
            b"key", issued.key, issued.cert, [self.house.ca.cert], encryption(password)
        )
        self.put(f"{name}.p12", data, password=password, row=row)
        return issued

    def put(
        self, file: str, data: bytes, *, password: str = "secret", row: dict[str, str] | None = None
    ) -> None:
        """A file with these octets, and its line."""
        (self.path / file).write_bytes(data)
        self.rows.append({"file": file, "password": password, **(row or {})})

    def write_list(self, separator: str = ",") -> Path:
        """The CSV; its path."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with self.list.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, delimiter=separator, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        self.list.chmod(0o600)
        return self.list
