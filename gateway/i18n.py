"""Messages for people in their language.

English templates are the keys; `locale/fr.toml` has the French text of each, with the same places.
A template without a translation is shown in English: a wrong language is better than no message.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pki.sentences import Sentence

LANGUAGES = ("en", "fr")
_LOCALE = Path(__file__).parent / "locale"


def translate(template: str, facts: Mapping[str, str], language: str) -> str:
    """The text of a template in a language ("en", "fr"), its places filled.

    A template that was already filled (no facts) is taken as it is: a brace in it is a brace.
    A fact that is a Sentence is translated too, and the fact `source` may be a sentence of ours, of
    the table of algorithms; all others stay as they are: a stranger's words are never a template.
    """
    texts = catalogue(language)
    text = _translated(template, texts)
    if any(isinstance(fact, Sentence) for fact in facts.values()):
        facts = {name: _said(fact, language) for name, fact in facts.items()}
    if "source" in facts:
        facts = {**facts, "source": texts.get(facts["source"], facts["source"])}
    return text.format(**facts) if facts else text


def _said(fact: str, language: str) -> str:
    return translate(fact.template, fact.facts, language) if isinstance(fact, Sentence) else fact


def _translated(sentence: str, texts: Mapping[str, str]) -> str:
    """The text of a template, or of its beginning and of what follows, each of their own.

    Beginnings end in a blank: "the CRL cannot be used: ", followed by one of several reasons.
    """
    if sentence in texts:
        return texts[sentence]
    for beginning in texts:
        if beginning.endswith(" ") and sentence.startswith(beginning):
            return texts[beginning] + _translated(sentence[len(beginning) :], texts)
    return sentence


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English template to text in `language`; empty for English. An immutable table."""
    if language == "en":
        return {}
    texts: dict[str, str] = {}
    for subject in tomllib.loads((_LOCALE / f"{language}.toml").read_text("utf-8")).values():
        texts.update(subject)
    return texts


def message(template: str) -> str:
    """The template itself: marks one that stands in a table, so that it is collected."""
    return template


def language_of(environment: Mapping[str, str]) -> str:
    """The language of a person at a terminal, from LC_ALL, LC_MESSAGES, LANG (POSIX XBD 8.2)."""
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = environment.get(name, "")
        if value:
            code = re.split(r"[_.@-]", value)[0].lower()
            return code if code in LANGUAGES else "en"
    return "en"
