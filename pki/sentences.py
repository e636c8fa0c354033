"""Sentences that stand as facts in other sentences, and can be shown in every language.

"http://… was not fetched: Connection refused" is one sentence in another, and each has a template
of its own. Filled in as plain text the inner one would stay English where the outer one is French.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

_NO_FACTS: Mapping[str, str] = MappingProxyType({})


class Sentence(str):
    """A sentence of ours as a fact: English as text, with the template and facts it is made of.

    Whoever takes it for text (logs, JSON, evidence) has the English one; `gateway.i18n.translate`
    says it anew in its language. A template without facts is taken as it is: a brace in it is a
    brace. Raises LookupError, ValueError, AttributeError for a template that the facts do not fill.
    """

    template: str
    facts: Mapping[str, str]

    def __new__(cls, template: str, facts: Mapping[str, str] = _NO_FACTS) -> Sentence:
        self = super().__new__(cls, template.format(**facts) if facts else template)
        self.template, self.facts = template, dict(facts)
        return self


def sentence(template: str, /, **facts: str) -> Sentence:
    """A Sentence with its facts given by name."""
    return Sentence(template, facts)


def packed(text: str) -> str:
    """A text as it is kept in a file or column, so that a Sentence comes back as one.

    What is no Sentence is kept as it is. Always the same for the same: rows are grouped by it.
    """
    if not isinstance(text, Sentence) and not text.startswith("{"):
        return text
    return json.dumps(_tree(text), sort_keys=True)


def unpacked(kept: str) -> str:
    """Inverse of `packed`; a text of a version that kept plain text, or a damaged one, as it is."""
    if not kept.startswith("{"):
        return kept
    try:
        return _sentence(json.loads(kept))
    except (LookupError, ValueError, TypeError, AttributeError, RecursionError):
        return kept


def _tree(text: str) -> object:
    # In a fact may stand words of a stranger's server, and PostgreSQL takes no NUL in a text.
    if not isinstance(text, Sentence):
        return {"template": text.replace("\0", "\ufffd"), "facts": {}}
    facts = {
        name: _tree(fact) if isinstance(fact, Sentence) else fact.replace("\0", "\ufffd")
        for name, fact in text.facts.items()
    }
    return {"template": text.template, "facts": facts}


def _sentence(tree: dict[str, object]) -> Sentence:
    template, facts = tree["template"], tree["facts"]
    if not isinstance(template, str) or not isinstance(facts, dict):
        raise TypeError("no sentence")
    return Sentence(
        template,
        {
            name: _sentence(fact) if isinstance(fact, dict) else str(fact)
            for name, fact in facts.items()
        },
    )
