"""A sentence in a sentence is said in one language, also where it was kept in between."""

from __future__ import annotations

import copy
import errno
import json
import os
import socket
import ssl
from http.client import RemoteDisconnected
from pathlib import Path

import pytest

from gateway.database import Database
from gateway.i18n import catalogue, translate
from gateway.neighbours import CRL, Neighbours, absent, neighbours_file
from gateway.queue.jobs import problem_from_json, problem_to_json
from pki import crl_store, ocsp_store
from pki.certificate import ParsedCertificate
from pki.errors import FetchTrouble, Problem, problem
from pki.fetch import FetchRules, fetch, trouble
from pki.keeper import _read
from pki.reach import NoAddress, NoneReached
from pki.sentences import Sentence, packed, sentence, unpacked
from pki.unreached import _CERTIFICATE, _SYSTEM, told
from tests.pki_maker import NOW, root
from tests.unit.cli_pki_house import House, sceau

URL = "http://crl.example/a.crl"


def reason() -> Problem:
    """Three sentences deep."""
    last = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    return trouble(URL, "{detail}", detail=told(NoneReached(2, "192.0.2.1", last))).problem


ENGLISH = (
    f"{URL} was not fetched: none of its 2 addresses could be reached; one of them, 192.0.2.1: "
    "Connection refused"
)
FRENCH = (
    f"{URL} n’a pas été téléchargé\u00a0: aucune de ses 2 adresses n’a pu être jointe\u00a0; "
    "l’une d’elles, 192.0.2.1\u00a0: connexion refusée"
)


def french(text: str) -> str:
    """As a fact of a sentence."""
    return translate("{source}: {reason} (tried at {date})", {"reason": text, "source": "a",
        "date": "b"}, "fr")  # fmt: skip


def test_it_is_english_as_text_and_french_in_a_french_sentence() -> None:
    said = reason().sentence
    assert said == reason().text == ENGLISH
    assert json.loads(json.dumps(said)) == f"{said}" == ENGLISH
    assert FRENCH in french(said)
    assert translate(reason().template, reason().facts, "fr") == FRENCH
    assert ENGLISH in french(str(said)), "plain text stays as it is"


def test_it_survives_being_kept_and_copied() -> None:
    kept = packed(reason().sentence)
    assert kept == packed(reason().sentence), "rows are counted by it"
    for back in (unpacked(kept), copy.deepcopy(reason().sentence)):
        assert isinstance(back, Sentence)
        assert back == ENGLISH
        assert FRENCH in french(back)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://a was not fetched: b",  # of a version that kept plain text
        "{braces} of a stranger",
        "{",
        '{"template": "{url.__class__}", "facts": {}}',
        "{'x",
    ],
)
def test_plain_text_stays_what_it_is(text: str) -> None:
    assert unpacked(packed(text)) == text


@pytest.mark.parametrize(
    "kept",
    [
        "{",
        "{}",
        '{"template": 1, "facts": {}}',
        '{"template": "a", "facts": []}',
        '{"template": "{a}", "facts": {"b": "c"}}',
        '{"template": "{a", "facts": {"a": "c"}}',
        '{"template": "{a.b}", "facts": {"a": "c"}}',
        '{"template": "{a:d}", "facts": {"a": "c"}}',
        '{"template": "{a}", "facts": {"a": {}}}',
        '{"template": "{0}", "facts": {"a": "c"}}',
        '{"facts": ' * 2000,
    ],
)
def test_what_is_damaged_is_shown_and_breaks_nothing(kept: str) -> None:
    assert unpacked(kept) == kept


def test_a_strangers_words_are_no_template() -> None:
    said = problem("x.y", "{url} was not fetched: {detail}", url=URL, detail="{0} {url}").sentence
    assert "{0} {url}" in french(unpacked(packed(said)))
    assert "\0" not in packed(sentence("{a}", a="\0"))
    assert unpacked(packed(sentence("{a}", a="\0"))) == "\ufffd"


def test_queue_rows_and_log_entries_have_the_english_text() -> None:
    back = problem_from_json(problem_to_json(reason()))
    assert back is not None
    assert back.text == ENGLISH


def test_what_the_system_says_is_named_as_the_system_names_it() -> None:
    """And all of it is French in French."""
    for number, said in _SYSTEM.items():
        assert said == os.strerror(number)
    for said in (*_SYSTEM.values(), *_CERTIFICATE.values()):
        assert said.template in catalogue("fr")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ECONNRESET, "[any]"), "connexion coupée"),
        (RemoteDisconnected("Remote end closed"), "le serveur a fermé la connexion"),
        (NoAddress("crl.example"), "crl.example n’a pas d’adresse"),
        (TimeoutError("timed out"), "pas de réponse dans le délai"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "échec de TLS ([SSL: WRONG"),
        (OSError(errno.EXDEV, "Invalid cross-device link"), "Invalid cross-device link"),
        (ConnectionError(sentence("the server does not offer StartTLS")), "ne propose pas"),
        (ValueError("\x1b[2J"), r"ValueError \x1b[2J"),
    ],
)
def test_told_in_french(error: Exception, words: str) -> None:
    assert words in french(told(error))


def test_a_name_without_an_address_is_told_in_french() -> None:
    rules = FetchRules(frozenset({"crl.example:80"}))

    def nobody(_host: str, _port: int) -> list[str]:
        return []

    with pytest.raises(FetchTrouble) as failed:
        fetch("http://crl.example:80/x", rules, look_up=nobody)
    assert "crl.example n’a pas d’adresse" in french(failed.value.problem.sentence)


def test_a_file_that_is_away_is_told_in_french(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("absent.crl", "fichier ou dossier inexistant"),
        ("pipe", "ce n’est pas un fichier ordinaire"),
    ):
        with pytest.raises(FetchTrouble) as failed:
            _read(str(tmp_path / name), FetchRules(frozenset()))
        assert words in french(failed.value.problem.sentence)


def closed_port() -> tuple[socket.socket, int]:
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))  # bound, not listening: nothing answers there
    return taken, taken.getsockname()[1]


@pytest.mark.parametrize("language", ["fr_FR.UTF-8", "en_GB.UTF-8"])
def test_sceau_check_says_in_one_language_why_crls_were_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    house = House(tmp_path)
    taken, port = closed_port()
    with taken:
        place = f"127.0.0.1:{port}"
        house.allow(place)
        house.configure(
            f'\n[[pki.crls]]\nurl = "http://{place}/other.crl"\n'
            f'\n[[pki.crls]]\nurl = "ldap://{place}/cn=CA"\n'
        )
        (house.folder / "root.crl").write_bytes(b"no CRL")
        monkeypatch.setenv("LC_ALL", language)
        house.run("crl", "refresh")
        checked = sceau("check", "--config", house.config)
        shown = checked.out
        assert shown, checked.err
        as_json = sceau("check", "--json", "--config", house.config).json
    english = ("was not fetched", "Connection refused", "this is not a CRL")
    for words in english:
        assert (words in shown) is not language.startswith("fr"), words
    if language.startswith("fr"):
        assert f"http://{place}/other.crl n’a pas été téléchargé\u00a0: connexion refusée" in shown
        assert f"ldap://{place}/cn=CA n’a pas été téléchargé\u00a0: connexion refusée" in shown
    texts = [one["text"] for one in as_json if one["code"] == "crl.fetch-failed"]
    assert len(texts) == 3
    assert any("Connection refused" in text for text in texts), "programs have the English text"


def test_what_is_stored_of_fetches_and_questions_comes_back_whole(pki_database: Database) -> None:
    ca = root()
    cert, issuer = ParsedCertificate(ca.issue("Anna").der), ParsedCertificate(ca.der)
    with pki_database.write() as conn:
        crl_store.record_fetch(conn, URL, moment=NOW, problem=reason().sentence)
        ocsp_store.want(conn, cert, issuer, moment=NOW)
        ocsp_store.note_attempt(
            conn, cert.sha256, moment=NOW, due=NOW, problem=reason().sentence
        )  # fmt: skip
    with pki_database.read() as conn:
        (question,) = ocsp_store.due_questions(conn, moment=NOW, limit=1)
        found = [
            crl_store.last_fetches(conn)[URL].problem,
            question.problem,
            ocsp_store.standing(conn, moment=NOW).reasons[0][0],
        ]
    for text in found:
        assert text == ENGLISH
        assert FRENCH in french(text)


def test_what_processes_tell_each_other_of_neighbours_comes_back_whole(tmp_path: Path) -> None:
    seen = Neighbours(neighbours_file(tmp_path, "keeper"), lambda: NOW)
    seen.away(CRL, "justice", reason().sentence)
    seen.away(CRL, "interior", "{plain} text")
    reasons = {one.name: one.reason for one in absent(tmp_path)}
    assert reasons == {"justice": ENGLISH, "interior": "{plain} text"}
    assert FRENCH in french(reasons["justice"])
