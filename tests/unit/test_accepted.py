"""A configuration frozen with its files: what changes on disk afterwards changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.accepted import Accepted, Snapshot, inherited
from gateway.config import ConfigFaults
from tests.unit.config_files import GOOD, write_good


def test_files_are_read_as_they_were_accepted(tmp_path: Path) -> None:
    path = write_good(tmp_path)
    (tmp_path / "keys" / "seal.p12").write_bytes(b"the key of today")
    accepted = Accepted(Snapshot.read(path))
    (tmp_path / "keys" / "seal.p12").write_bytes(b"rubbish")
    (tmp_path / "anchors" / "root.crt").unlink()
    path.write_text("half a line = ")

    config = inherited(accepted.fd)

    assert config.seals[0].key.read_bytes() == b"the key of today"
    assert config.pki.anchors[0].certificate.read_bytes() == b"x"
    assert [file.read_bytes() for file in config.pki.intermediates] == [b"x"]
    assert config.archive.working_keys == tmp_path / "keys" / "working"
    assert config.database.url == f"sqlite:///{tmp_path}/data/sceau.db"
    assert config.policy.rules[0].name == "press"
    accepted.close()


def test_a_frozen_key_is_closed_to_others_and_cannot_be_written(tmp_path: Path) -> None:
    accepted = Accepted(Snapshot.read(write_good(tmp_path)))
    key = inherited(accepted.fd).seals[0].key

    assert key.stat().st_mode & 0o777 == 0o600
    fd = os.open(key, os.O_RDWR)
    with pytest.raises(PermissionError):
        os.write(fd, b"other")
    os.close(fd)
    accepted.close()


def test_a_list_brought_by_hand_is_looked_at_anew(tmp_path: Path) -> None:
    text = GOOD.replace(
        'url = "http://crl.justice.example/issuing.crl"', 'file = "crls/issuing.crl"'
    )
    (tmp_path / "crls").mkdir()
    crl = tmp_path / "crls" / "issuing.crl"
    crl.write_bytes(b"old")
    accepted = Accepted(Snapshot.read(write_good(tmp_path, text)))
    crl.unlink()  # in the middle of being replaced: no reason not to start

    assert inherited(accepted.fd).pki.crls[0].file == crl
    accepted.close()


def test_the_digest_changes_with_the_file_and_with_what_it_names(tmp_path: Path) -> None:
    path = write_good(tmp_path)
    first = Snapshot.read(path).digest
    assert Snapshot.read(path).digest == first

    (tmp_path / "keys" / "kek").write_bytes(b"another")
    second = Snapshot.read(path).digest
    path.write_text(GOOD + "\n# a comment\n")

    assert len({first, second, Snapshot.read(path).digest}) == 3


def test_all_faults_of_a_file_are_told(tmp_path: Path) -> None:
    path = write_good(tmp_path, GOOD.replace("port = 10025", 'prot = 1\naddress = "x"'))

    with pytest.raises(ConfigFaults) as caught:
        Snapshot.read(path)

    assert len(caught.value.faults) >= 2 or "not TOML" in str(caught.value)
