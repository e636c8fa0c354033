"""Full text: found as people look for it, never behind by more than it says, never twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import tantivy

from archive import store
from archive.entry import new_archive_id
from archive.errors import IndexTrouble, IndexUnusable, SearchError
from archive.fulltext import open_index
from archive.index import Extracted, Indexer, unreadable
from archive.lag import Onlooker, lag, position
from archive.search import Hit, search
from archive.store import Draft
from archive.working import erase_wraps
from tests.unit.archive_world import MOMENT, ORIGIN, World


def extract(raw: bytes) -> Extracted:
    """Test mails are JSON."""
    found = json.loads(raw)
    return Extracted(
        subject=found.get("subject", ""),
        senders=tuple(found.get("from", ())),
        recipients=tuple(found.get("to", ())),
        body=found.get("body", ""),
        attachment_names=tuple(found.get("attachments", ())),
        date=datetime.fromisoformat(found["date"]) if "date" in found else None,
    )


class Indexed:
    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.indexer = Indexer(folder, extract, world.database.read, world.gateway)

    def add(self, **mail: object) -> str:
        draft = self.world.accepted(json.dumps(mail).encode())
        self.world.append(draft)
        return draft.archive_id

    def step(self) -> None:
        while self.indexer.step():
            pass

    def find(self, query: str, **more: object) -> list[str]:
        return [hit.archive_id for hit in search(self.folder, query, **more)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as world:
        yield world


@pytest.fixture
def indexed(world: World, tmp_path: Path) -> Iterator[Indexed]:
    indexed = Indexed(world, tmp_path / "index")
    yield indexed
    indexed.indexer.close()


@pytest.mark.parametrize(
    "query",
    [
        "élection",
        "ELECTIONS",
        "elections presidentielle",
        "l'élection",
        "d'élections",
        "d’élection",
        "body:l'élection",
        '"élections présidentielles"',
        '"l\'élection présidentielle"',
        "subject:décision",
        "decisions",
        "from:zoe.martin@interieur.gouv.example",
        "zoé.martin@interieur.gouv.example",
        "from:Martin",
        "from:interieur.gouv.example",
        "from:@interieur.gouv.example",
        "to:paul",
        "zoe AND paul",
        "chevaux OR absent",
        "cheval -absent",
        "attachment:rapport",
        "attachment:Rapport_annuel-2026.pdf",
        "attachment:pdf",
        "annuel 2026",
        "date:[2026-11-01T00:00:00Z TO 2026-12-01T00:00:00Z]",
        "*",
    ],
)
def test_a_mail_is_found_as_people_look_for_it(indexed: Indexed, query: str) -> None:
    wanted = indexed.add(
        subject="Décisions du ministre",
        body="Pendant l’élection présidentielle, des chevaux.\nLes élections présidentielles.",
        **{"from": ["Zoé Martin <zoe.martin@interieur.gouv.example>"]},
        to=["paul@justice.example"],
        attachments=["Rapport_annuel-2026.pdf"],
        date="2026-11-20T10:00:00+01:00",
    )
    indexed.add(subject="Autre", body="Rien à voir", **{"from": ["x@y.example"]})
    indexed.step()
    found = indexed.find(query)
    assert found[0] == wanted or query == "*"
    assert len(found) == (2 if query == "*" else 1)


@pytest.mark.parametrize(
    "query", ["absent", "from:paul", "subject:cheval", "to:zoe", '"chevaux les pendant"']
)
def test_what_is_not_there_is_not_found(indexed: Indexed, query: str) -> None:
    indexed.add(
        subject="a", body="les chevaux pendant", **{"from": ["zoe@x.example"]}, to=["paul@x"]
    )
    indexed.step()
    assert indexed.find(query) == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "nothing to search"),
        ("  ", "nothing to search"),
        ("(a", "cannot be understood"),
        ("AND", "cannot be understood"),
        ("a:b:c", "cannot be understood"),
        ("Re: truc", "'Re' is not a field"),
        ("-paris", "excluded"),
        ("x" * 3000, "longer than"),
        ("time:hier", "cannot be understood"),
        ("\ud800", "cannot be understood"),
    ],
)
def test_a_bad_query_is_answered_in_plain_words(indexed: Indexed, query: str, says: str) -> None:
    indexed.step()
    with pytest.raises(SearchError, match=says) as caught:
        indexed.find(query)
    assert "\n" not in str(caught.value)


def test_hits_carry_times_and_can_be_limited_to_them(indexed: Indexed) -> None:
    wanted = indexed.add(body="texte", date="2026-11-20T10:00:00+01:00")
    indexed.step()
    (hit,) = search(indexed.folder, "texte")
    assert isinstance(hit, Hit)
    assert (hit.archive_id, hit.time, hit.unreadable) == (wanted, MOMENT, False)
    assert hit.date == datetime(2026, 11, 20, 9, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert indexed.find("texte", since=MOMENT, until=MOMENT + hour) == [wanted]
    assert indexed.find("texte", until=MOMENT) == []
    assert indexed.find("texte", since=MOMENT + hour) == []


def test_mail_that_cannot_be_read_is_counted_and_does_not_block(
    indexed: Indexed, world: World
) -> None:
    good = [indexed.add(body="avant")]
    broken = world.accepted(b"not what the parser expects")
    erased = world.accepted(b"{}")
    odd = world.accepted(
        json.dumps({"body": "\ud800 apres", "date": "0001-01-01T00:00:00+00:00"}).encode()
    )
    damaged = world.accepted(b"{}")
    world.append(broken, erased, odd, damaged)
    world.change("UPDATE log_contents SET sealed = x'00' WHERE archive_id = ?", damaged.archive_id)
    with world.database.write() as conn:
        erase_wraps(conn, [erased.archive_id])
    good.append(indexed.add(body="apres"))
    indexed.step()
    assert sorted(indexed.find("avant") + indexed.find("apres")) == sorted([*good, odd.archive_id])
    assert unreadable(indexed.folder) == 3
    for draft in (broken, erased, damaged):
        (hit,) = search(indexed.folder, f"id:{draft.archive_id}")
        assert hit.unreadable


def test_lag_is_visible_and_the_position_survives(indexed: Indexed, world: World) -> None:
    later = MOMENT + timedelta(seconds=7)
    with world.database.read() as conn:
        assert lag(indexed.folder, conn, moment=later).entries == 0
    indexed.add(body="a")
    world.append(Draft("noted", "o", new_archive_id(), {"a": b"b"}))
    with world.database.read() as conn:
        behind = lag(indexed.folder, conn, moment=later)
    assert (behind.entries, behind.seconds) == (2, 7.0)
    assert indexed.indexer.step() == 2
    assert indexed.indexer.step() == 0
    with world.database.read() as conn:
        assert lag(indexed.folder, conn, moment=later).entries == 0
    found = position(open_index(indexed.folder))
    assert found is not None
    assert (found.origin, found.size) == (ORIGIN, 2)


def test_a_second_indexer_and_a_foreign_or_rolled_back_log_are_refused(
    indexed: Indexed, world: World, tmp_path: Path
) -> None:
    with pytest.raises(IndexUnusable, match="another process"):
        Indexer(indexed.folder, extract, world.database.read, world.gateway)
    indexed.add(body="a")
    indexed.step()
    (tmp_path / "other").mkdir()
    with (
        World(tmp_path / "other") as other,
        other.database.read() as conn,
        pytest.raises(IndexUnusable, match="rolled back"),
    ):
        lag(indexed.folder, conn, moment=MOMENT)
    world.change("UPDATE log_head SET origin = 'other/log'")
    with pytest.raises(IndexUnusable, match="belongs to the log"):
        indexed.indexer.step()
    with pytest.raises(IndexUnusable, match="there is no full-text index"):
        search(tmp_path / "nowhere", "a")


PROGRAM = """
import json, sys
from pathlib import Path
from archive.index import Indexer
from archive.working import WorkingKeys, WorkingUnwrapper
from gateway.database import open_database
from tests.unit.test_archive_index import extract
folder = Path(sys.argv[1])
database = open_database(f"sqlite:///{folder}/archive.db")
keys = WorkingUnwrapper(WorkingKeys(folder / "working"))
indexer = Indexer(folder / "index", extract, database.read, keys, batch=3)
print("ready", flush=True)
while indexer.step():
    print("step", flush=True)
print("done", flush=True)
sys.stdin.readline()
"""


def numbered(world: World, number: int) -> list[str]:
    """So many mails; their archive ids."""
    drafts = [world.accepted(json.dumps({"body": f"texte n{n}"}).encode()) for n in range(number)]
    for draft in drafts:
        world.append(draft)
    return [draft.archive_id for draft in drafts]


DIES_IN_ITS_COMMIT = """
import os, signal
class Writer:
    def __init__(self, real):
        self.real = real
    def __getattr__(self, name):
        return getattr(self.real, name)
    def commit(self):
        os.kill(os.getpid(), signal.SIGKILL)
indexer._writer = Writer(indexer._writer)
"""


def test_no_mail_is_blamed_for_a_kill_in_the_middle_of_a_commit(
    world: World, tmp_path: Path
) -> None:
    """A slow disk makes commits long: most kills and power cuts come in one of them."""
    ids = numbered(world, 3)
    dying = PROGRAM.replace("print(", DIES_IN_ITS_COMMIT + "print(", 1)
    for _ in range(5):
        ended = subprocess.run([sys.executable, "-c", dying, str(tmp_path)], check=False)
        assert ended.returncode == -signal.SIGKILL
    whole = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], check=False, input=b"")
    assert whole.returncode == 0
    hits = search(tmp_path / "index", "texte", limit=1000)
    assert sorted(hit.archive_id for hit in hits) == sorted(ids)


def test_killed_again_and_again_every_mail_is_in_the_index_once(
    world: World, tmp_path: Path
) -> None:
    ids = numbered(world, 60)
    reached = []
    for attempt in range(40):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        if attempt < 5:
            # A mail that three processes die of is left out, and so it should be: all but the
            # first have a piece behind them, whose end clears all the mails in it.
            if attempt:
                process.stdout.readline()
            time.sleep(0.02 * attempt + 0.005)
            process.send_signal(signal.SIGKILL)
        last = process.communicate(timeout=250)[0]
        found = position(open_index(tmp_path / "index"))
        reached.append(0 if found is None else found.size)
        if last.endswith("done\n"):
            break
    assert reached == sorted(reached)
    assert reached[-1] == 60
    hits = search(tmp_path / "index", "texte", limit=1000)
    assert sorted(hit.archive_id for hit in hits) == sorted(ids)


def test_a_step_done_twice_changes_nothing(indexed: Indexed, world: World) -> None:
    """What a kill between the work and its commit, or a copied index, comes to."""
    wanted = indexed.add(body="texte")
    indexed.step()
    indexed.indexer._position = None
    indexed.step()
    assert indexed.find("texte") == [wanted]
    assert indexed.find("*") == [wanted]
    with world.database.read() as conn:
        assert store.head(conn).size == 1


def test_opened_anew_now_and_then_it_goes_on_as_before(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tantivy remembers more with each commit; the index and its lock stay what they were."""
    monkeypatch.setattr("archive.index._FRESH_AFTER", 2)
    ids = []
    for number in range(4):
        ids.append(indexed.add(subject=f"lettre numero{number}"))
        indexed.step()
        with pytest.raises(IndexUnusable):
            Indexer(indexed.folder, extract, indexed.world.database.read, indexed.world.gateway)
    assert sorted(indexed.find("lettre")) == sorted(ids)


def test_a_disk_that_is_full_when_it_is_opened_anew_costs_no_mail(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archive.index._FRESH_AFTER", 1)
    first = indexed.add(subject="lettre première")
    indexed.indexer.step()
    second = indexed.add(subject="lettre seconde")
    indexer: Any = indexed.indexer
    writer = indexer._writer

    class Failing:
        """A writer whose last merge finds no room."""

        def wait_merging_threads(self) -> None:
            writer.wait_merging_threads()
            raise ValueError("No space left on device")

    indexer._writer = Failing()
    with pytest.raises(IndexTrouble, match="No space left"):
        indexed.indexer.step()
    indexed.step()
    assert sorted(indexed.find("lettre")) == sorted([first, second])


def test_a_damaged_later_entry_does_not_hide_the_mail(indexed: Indexed, world: World) -> None:
    wanted = indexed.add(body="texte")
    for _ in range(2):  # the second time the mail is in the index already
        world.append(Draft("delivered", "ministere", wanted, {"a": b"b"}))
        changed = world.change(
            "UPDATE log_payloads SET payload = x'00' WHERE commitment = "
            "(SELECT CAST(substr(entry, 16, 64) AS TEXT) FROM log_entries "
            "ORDER BY entry_index DESC LIMIT 1)"
        )
        assert changed == 1
        indexed.step()
    assert indexed.find("texte") == [wanted]
    assert unreadable(indexed.folder) == 0


def test_an_onlooker_follows_the_index_through_commits_damage_and_a_new_one(
    indexed: Indexed, world: World, tmp_path: Path
) -> None:
    onlooker = Onlooker(indexed.folder)

    def entries() -> int:
        with world.database.read() as conn:
            return onlooker.lag(conn, moment=MOMENT).entries

    assert entries() == 0
    indexed.add(body="a")
    assert entries() == 1
    indexed.step()
    assert entries() == 0
    aside = tmp_path / "aside"
    indexed.folder.rename(aside)
    for _ in range(2):
        with pytest.raises(IndexUnusable):
            onlooker.position()
    fresh = Indexer(indexed.folder, extract, world.database.read, world.gateway)
    assert entries() == 1
    fresh.step()
    assert entries() == 0
    fresh.close()


def test_an_onlooker_opens_the_index_anew_now_and_then(
    indexed: Indexed, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def opening(index_dir: Path) -> tantivy.Index:
        opened.append(index_dir)
        return open_index(index_dir)

    monkeypatch.setattr("archive.lag.open_index", opening)
    monkeypatch.setattr("archive.lag._LOOKS", 3)
    onlooker = Onlooker(indexed.folder)
    for number in range(1, 5):
        indexed.add(body="a")
        indexed.step()
        found = onlooker.position()
        assert found is not None
        assert found.size == number
    assert len(opened) == 2


def test_looking_again_and_again_costs_no_threads(indexed: Indexed) -> None:
    indexed.add(body="a")
    indexed.step()
    onlooker = Onlooker(indexed.folder)

    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    onlooker.position()
    before = threads()
    for _ in range(50):
        assert onlooker.position() is not None
    # An opening costs a thread each time; some that others have begun may come meanwhile.
    assert threads() < before + 25
