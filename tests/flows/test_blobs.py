"""A running gateway with its large content outside: in a folder, and on a real S3 server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archive.blob_s3 import S3Store
from gateway.demo.pki import Keys
from gateway.demo.stage import Stage
from tests.corpora import ROOT
from tests.flows.stages import stage
from tests.flows.way_out_scene import AMELIE, JEANNE, Scene, mail, until
from tests.services.seaweed import Seaweed
from tests.services.stopwatch import Stopwatch

pytestmark = pytest.mark.flow

RULES = """
[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
without_certificate = "hold"
sign = "seal"
"""
FOLDER = 'above = "64 kB"\nfolder = "data/blobs"\n'


def large(size: int = 200_000) -> bytes:
    """A mail that cannot be compressed to less than half of it."""
    return mail("\r\n".join(os.urandom(36).hex() for _ in range(size // 74)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("blobs"), keys=keys) as made:
        yield made


def scene_with(made: Stage, name: str, table: str) -> Scene:
    house = made.house(name, retry='["1s"]', rules=RULES).make(persons=False)
    text = house.config.read_text()
    place = 'index = "data/index"\n'
    house.config.write_text(text.replace(place, f"{place}\n[archive.blobs]\n{table}"))
    return Scene(made, house)


@pytest.fixture(scope="module")
def foldered(made: Stage) -> Iterator[Scene]:
    """A gateway with a blob folder; left running and whole."""
    scene = scene_with(made, "foldered", FOLDER)
    scene.house.start()
    yield scene
    assert scene.house.stop() == 0
    assert scene.faults() == []


def blob_files(scene: Scene) -> list[Path]:
    return sorted((scene.house.folder / "data" / "blobs").glob("*-*-*/*"))


def shown(scene: Scene, archive_id: str) -> bytes:
    arguments = ("archive", "show", "--key", str(scene.house.authority_key), "--case", "1")
    done = scene.sceau(*arguments, archive_id)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def verified(scene: Scene, *more: str) -> tuple[int, dict[str, object]]:
    done = scene.sceau("archive", "verify", *more, "--json")
    return done.returncode, json.loads(done.stdout)


def checked(scene: Scene) -> list[dict[str, object]]:
    done = scene.sceau("check", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for line in lines if line["subject"] == "blobs"]


def test_mail_above_and_below_the_size_is_given_back_octet_for_octet(foldered: Scene) -> None:
    mails = {foldered.accepted(one, AMELIE): one for one in (mail(), large(), mail(), large())}
    for archive_id, content in mails.items():
        ((_, path),) = foldered.wait_arrived(archive_id)
        opened = foldered.opened(path, AMELIE)
        assert content.partition(b"\r\n\r\n")[2].strip() in opened.entity
        assert shown(foldered, archive_id) == content
    assert len(blob_files(foldered)) == 2
    code, report = verified(foldered)
    assert (code, report["status"]) == (0, "valid")
    key = str(foldered.house.authority_key)
    code, report = verified(foldered, "--open", "--key", key, "--case", "2")
    assert (code, report["status"], report["opened"]) == (0, "valid", len(mails))
    assert foldered.house.wait_indexed(seconds=120)


def test_check_tries_the_store(foldered: Scene) -> None:
    before = blob_files(foldered)
    grades = [(line["level"], str(line["text"])) for line in checked(foldered)]
    assert [grade for grade, _ in grades] == ["ok", "ok"]
    assert "stores, gives back and deletes" in grades[0][1]
    assert "MB are free" in grades[1][1]
    assert blob_files(foldered) == before


def test_one_flipped_bit_in_a_blob_is_found_and_its_entry_named(
    foldered: Scene, tmp_path: Path
) -> None:
    archive_id = foldered.accepted(large(), AMELIE)
    foldered.wait_arrived(archive_id)
    first = foldered.history(archive_id)[0]
    name = first["fields"]["sealed.sha256"]
    (path,) = [path for path in blob_files(foldered) if path.name == name]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        code, report = verified(foldered)
        done = foldered.sceau("archive", "verify")
        refused = foldered.sceau(
            "archive", "show", "--key", str(foldered.house.authority_key), "--case", "1", archive_id
        )
    finally:
        path.write_bytes(whole)
    assert (code, report["status"], report["first_bad"]) == (1, "invalid", first["index"])
    assert f"First damaged entry: {first['index']}\n" in done.stdout.decode()
    assert name in done.stdout.decode()
    assert refused.returncode == 1
    assert refused.stdout == b""
    assert verified(foldered)[0] == 0


def test_a_kill_between_blob_and_commit_leaves_a_blob_that_is_swept(
    made: Stage, tmp_path: Path
) -> None:
    scene = scene_with(made, "killed", FOLDER)
    (tmp_path / "only-in-tests").touch()
    kill = tmp_path / "accept.blob-stored"
    kill.write_text("kill")
    house = scene.house.start(environment={"SCEAU_FAILPOINTS": str(tmp_path)})
    content = large()
    try:
        receipt = scene.send(content, AMELIE)
        assert receipt.code != 250
        assert not kill.exists()
        (orphan,) = blob_files(scene)
        until(lambda: scene.send(mail(), AMELIE).code == 250, 20, lambda: house.log.read_text())
        archive_id = scene.accepted(content, AMELIE)
        ((_, path),) = scene.wait_arrived(archive_id)
        assert verified(scene)[0] == 0
        assert len(scene.json("queue", "show", archive_id)) == 1
    finally:
        assert house.stop() == 0
    assert len(blob_files(scene)) == 2
    stamp = time.time() - 8 * 86400  # nobody's clock has to be believed for more than this
    for path in blob_files(scene):
        os.utime(path, (stamp, stamp))
    kill = tmp_path / "sweep.marked"
    kill.write_text("kill")
    house.start(environment={"SCEAU_FAILPOINTS": str(tmp_path)})
    try:

        def swept() -> list[dict[str, object]]:
            return [event for event in house.events() if event["event"] == "blob_swept"]

        # The line comes when the file is gone.
        until(lambda: bool(swept()), 20, lambda: house.log.read_text()[-2000:])
        assert not orphan.exists()
        assert not kill.exists()  # killed in the middle, and done by the next
        assert [event["blob"] for event in swept()] == [f"{orphan.parent.name}/{orphan.name}"]
        assert len(blob_files(scene)) == 1
        assert shown(scene, archive_id) == content
        assert verified(scene)[0] == 0
    finally:
        assert house.stop() == 0


def test_a_folder_that_is_not_mounted_is_451_and_nothing_is_written_under_it(made: Stage) -> None:
    scene = scene_with(made, "unmounted", FOLDER)
    blobs = scene.house.folder / "data" / "blobs"
    scene.house.start()
    try:
        first = scene.accepted(large(), AMELIE)
        scene.wait_arrived(first)
        blobs.rename(blobs.with_name("disk"))
        blobs.mkdir(mode=0o700)
        assert scene.send(large(), AMELIE).code == 451
        scene.wait_arrived(scene.accepted(mail(), AMELIE))
        code, report = verified(scene)
        assert (code, report["status"]) == (3, "indeterminate")
        key = str(scene.house.authority_key)
        done = scene.sceau("archive", "show", "--key", key, "--case", "1", first)
        assert (done.returncode, done.stdout) == (3, b"")
        (line,) = [line for line in checked(scene) if line["level"] == "error"]
        assert "mounted" in str(line["text"])
        assert list(blobs.iterdir()) == []
        blobs.rmdir()
        blobs.with_name("disk").rename(blobs)
        until(
            lambda: scene.send(large(), AMELIE).code == 250, 30, lambda: scene.house.log.read_text()
        )
        assert verified(scene)[0] == 0
    finally:
        assert scene.house.stop() == 0


def test_two_gateways_do_not_share_a_store(made: Stage) -> None:
    scene = scene_with(made, "shared", FOLDER)
    blobs = scene.house.folder / "data" / "blobs"
    blobs.mkdir()
    (blobs / "origin").write_text("justice.example/archive")
    done = scene.house.run("serve", check=False)
    assert done.returncode == 2
    assert b"justice.example/archive" in done.stderr
    assert b"Traceback" not in done.stderr


def test_the_way_to_the_disk_is_strictly_in_order(tmp_path: Path) -> None:
    """Judged by strace: the blob and its name are synced before the database is written to."""
    script = tmp_path / "take.py"
    script.write_text(
        "import asyncio, os, sys\n"
        "from gateway import clock\n"
        "from gateway.cli import main\n"
        "from gateway.config import load\n"
        "from gateway.mail import Peer, Submission\n"
        "from gateway.wiring import Wiring\n"
        "base = sys.argv[1]\n"
        "config = os.path.join(base, 'sceau.toml')\n"
        "from pathlib import Path\n"
        "wiring = Wiring(load(Path(config)))\n"
        "body = b'\\r\\n'.join(os.urandom(36).hex().encode() for _ in range(4000))\n"
        "raw = b'From: a@interieur.example\\r\\n\\r\\n' + body + b'\\r\\n'\n"
        "peer = Peer('127.0.0.1', 1, 'c', relay=wiring.intake.relays[0].name)\n"
        "wiring.try_out()\n"
        "print('BEGIN', flush=True)\n"
        "mail = Submission(raw, 'a@interieur.example', ('b@c.example',), peer, clock.now())\n"
        "asyncio.run(wiring.intake.accept(mail))\n"
        "print('ACCEPTED', flush=True)\n"
        "wiring.appender.close(); wiring.close()\n"
    )
    base = tmp_path / "sceau"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    init = [sys.executable, "-m", "gateway.cli", "init", str(base)]
    subprocess.run(
        [*init, "--domain", "interieur.example"], check=True, env=environment, timeout=60
    )
    config = base / "sceau.toml"
    text = config.read_text().replace("# [archive.blobs]\n", "[archive.blobs]\n")
    config.write_text(text.replace('# folder = "data/blobs"', 'folder = "data/blobs"'))
    text = config.read_text().replace('# above = "256 kB"', 'above = "64 kB"')
    config.write_text(text)
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-y", "-o", str(trace), "-s", "20"]
    command += ["-e", "trace=fsync,fdatasync,rename,pwrite64,write"]
    done = subprocess.run(
        [*command, sys.executable, str(script), str(base)],
        capture_output=True, env=environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    steps: list[str] = []
    for line in trace.read_text().split('"BEGIN')[1].splitlines():
        step = ""
        if "ACCEPTED" in line:
            break
        if "fsync(" in line and "/.new-" in line:
            step = "blob synced"
        elif "rename(" in line and "/blobs/" in line:
            step = "blob named"
        elif "fsync(" in line and "/blobs/20" in line:
            step = "name synced"
        elif "sceau.db-wal" in line and "pwrite64(" in line:
            step = "database written"
        elif "sceau.db-wal" in line and "sync(" in line:
            step = "database synced"
        if step and steps[-1:] != [step]:
            steps.append(step)
    assert steps[:4] == ["blob synced", "blob named", "name synced", "database written"], steps
    assert steps[-1] == "database synced"


# -- S3 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weed(made: Stage) -> Iterator[Seaweed]:
    """With TLS, by the certificate of the world's servers."""
    tls = made.world.tls_server
    server = Seaweed(made.folder / "weed", tls.certificate_file, tls.key_file)
    try:
        server.start()
        server.make_bucket(S3Store(server.settings(ca_file=made.world.tls_ca)))
        yield server
    finally:
        server.stop()


def s3_table(made: Stage, weed: Seaweed) -> str:
    return (
        'above = "64 kB"\n\n[archive.blobs.s3]\n'
        f'endpoint = "{weed.endpoint}"\nbucket = "sceau"\nprefix = "interieur"\n'
        f'credentials = "{weed.credentials}"\nca = "{made.world.tls_ca}"\ntimeout = "5s"\n'
    )


def test_s3_over_tls_and_a_server_that_dies_and_comes_back(made: Stage, weed: Seaweed) -> None:
    scene = scene_with(made, "on-s3", s3_table(made, weed))
    house = scene.house.start()
    try:
        content = large()
        archive_id = scene.accepted(content, AMELIE)
        ((_, path),) = scene.wait_arrived(archive_id)
        assert content.partition(b"\r\n\r\n")[2].strip() in scene.opened(path, AMELIE).entity
        assert shown(scene, archive_id) == content
        assert not (house.folder / "data" / "blobs").exists()
        assert [line["level"] for line in checked(scene)] == ["ok"]
        code, report = verified(scene, "--open", "--key", str(house.authority_key), "--case", "1")
        assert (code, report["status"], report["opened"]) == (0, "valid", 1)

        weed.stop()
        with Stopwatch() as watch:
            assert scene.send(large(), AMELIE).code == 451
        assert watch.seconds < 20
        scene.wait_arrived(scene.accepted(mail(), AMELIE))  # small mail needs no store
        code, report = verified(scene)
        assert (code, report["status"]) == (3, "indeterminate")
        (line,) = checked(scene)
        assert line["level"] == "error"
        assert "blob_store_fault" in {str(event["event"]) for event in house.events()}

        weed.start()
        until(lambda: scene.send(large(), AMELIE).code == 250, 40, lambda: house.log.read_text())
        assert house.wait_settled(seconds=120)
        assert verified(scene)[0] == 0
    finally:
        assert house.stop() == 0
    assert scene.faults(expected={"blob_store_fault"}) == []


def test_check_says_what_is_wrong_with_the_server(made: Stage, weed: Seaweed) -> None:
    scene = scene_with(made, "wrong-s3", s3_table(made, weed))
    good = scene.house.config.read_text()
    for change, said in (
        (('bucket = "sceau"', 'bucket = "none-such"'), "make the bucket"),
        ((str(weed.credentials), _other_secret(weed)), "secret key"),
        ((f'ca = "{made.world.tls_ca}"', f'ca = "{_other_ca(made)}"'), "did not issue"),
    ):
        scene.house.config.write_text(good.replace(*change))
        done = scene.sceau("check")
        text = done.stdout.decode() + done.stderr.decode()
        assert done.returncode == 1, text
        assert said in text, text
        assert "Traceback" not in text
        assert "sceau-secret-key" not in text


def _other_secret(weed: Seaweed) -> str:
    other = weed.folder / "other-credentials"
    other.write_text(weed.credentials.read_text().replace("sceau-secret-key", "another"))
    other.chmod(0o600)
    return str(other)


def _other_ca(made: Stage) -> Path:
    return made.world.justice.root.credential.certificate_file


def test_a_store_is_moved_by_copying_it(made: Stage, weed: Seaweed, tmp_path: Path) -> None:
    """From a folder to S3: the names are the same, and nothing else is needed."""
    scene = scene_with(made, "moved", FOLDER)
    scene.house.start()
    content = large()
    archive_id = scene.accepted(content, AMELIE)
    scene.wait_arrived(archive_id)
    assert scene.house.stop() == 0
    blobs = scene.house.folder / "data" / "blobs"
    client = S3Store(weed.settings(ca_file=made.world.tls_ca))._client
    for path in blobs.rglob("*"):
        if path.is_file():
            key = f"moved/{path.relative_to(blobs)}"
            client.put_object(Bucket="sceau", Key=key, Body=path.read_bytes())
    shutil.rmtree(blobs)
    text = scene.house.config.read_text()
    table = s3_table(made, weed).replace('"interieur"', '"moved"')
    scene.house.config.write_text(text.replace(FOLDER, table))
    assert shown(scene, archive_id) == content
    assert verified(scene)[0] == 0
    assert JEANNE in content.decode()
