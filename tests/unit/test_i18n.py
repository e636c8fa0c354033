"""Every sentence for people has a French text with the same places."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.i18n import catalogue, language_of, translate
from pki.algorithms import Operation, judge
from tests.templates import collect, places

FOUND = collect()


def test_every_template_of_the_sources_has_a_french_text() -> None:
    missing = {text: at for text, at in FOUND.templates.items() if text not in catalogue("fr")}

    assert missing == {}, "python -m tests.templates prints them"


def test_french_texts_have_the_places_of_their_template() -> None:
    different = {
        english: french
        for english, french in catalogue("fr").items()
        if places(english) != places(french)
    }

    assert different == {}


def test_no_french_text_is_left_of_a_template_that_is_gone() -> None:
    assert catalogue("fr").keys() - FOUND.templates.keys() == set()


def test_french_texts_are_not_empty_and_not_the_english_ones() -> None:
    same_word = {"options", "date", "Python {version}, {openssl}"}
    for english, french in catalogue("fr").items():
        assert french.strip()
        assert french != english or english in same_word, english


def test_the_collector_sees_the_usual_ways_to_say_something() -> None:
    """Guards the tests above: a collector that finds nothing would let them pass."""
    for expected in (
        "{value} is not a domain",  # Wrong(…)
        "there is no such file",  # Fault(…), by position
        "rule {rule} says that mail to this recipient is not encrypted",  # a module's constant
        "print one JSON object a line",  # add_argument(help=…)
        "{config} is written and can be used as it is.",  # Output.say(…)
        "sceau init DIR writes one that works",  # a hint
        "{name} takes no value",  # message(…) in a table
        "these bytes are not a log entry: {why}",  # archive's Problem(…)
        "{domain} cannot be used as a mail domain: ",  # a beginning …
        "it is not a host name",  # … and what follows it
        "Connection refused",  # sentence(…) in a table
        "the server does not offer StartTLS",  # sentence(…) in an error
    ):
        assert expected in FOUND.templates, expected


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr"}, "fr"),
        ({"LANG": "fr_BE@euro"}, "fr"),
        ({"LANG": "fr.UTF-8"}, "fr"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "frp_FR"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_MESSAGES": "en_US"}, "en"),
        ({"LANG": "en_US", "LC_MESSAGES": "fr_FR"}, "fr"),
        ({"LANG": "fr_FR", "LC_ALL": "C"}, "en"),
        ({"LANG": "fr_FR", "LC_ALL": ""}, "fr"),
    ],
)
def test_the_language_comes_from_the_environment(
    environment: dict[str, str], language: str
) -> None:
    assert language_of(environment) == language


def test_a_beginning_and_what_follows_are_translated_each() -> None:
    text = translate(
        "{domain} cannot be used as a mail domain: it is not a host name",
        {"domain": "a..b"},
        "fr",
    )

    assert text == (
        "a..b n’est pas utilisable comme domaine de messagerie\u00a0: "
        "ce n’est pas un nom de machine"
    )


def test_a_template_without_translation_is_shown_in_english() -> None:
    assert translate("unheard of: {what}", {"what": "x"}, "fr") == "unheard of: x"


def test_a_text_without_facts_keeps_its_braces() -> None:
    assert translate("a {brace} of a stranger", {}, "en") == "a {brace} of a stranger"


def test_what_the_table_of_algorithms_says_is_translated_where_it_is_the_source() -> None:
    template = "the key ({key}) is not allowed at this time ({source})"
    source = judge(Operation.ENCRYPT_TO, "rsa", 512, datetime.now(UTC)).source

    text = translate(template, {"key": "ended; for old evidence only", "source": source}, "fr")

    assert text == (
        "la clé (ended; for old evidence only) n’est pas admise à cette date "
        "(aucune ligne de sceau smime algorithms ne l’admet)"
    )


def test_facts_are_never_read_as_templates() -> None:
    assert translate("{value} is not a domain", {"value": "{0.__class__}"}, "en") == (
        "{0.__class__} is not a domain"
    )
