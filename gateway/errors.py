"""Errors that know what a peer may hear of them.

An error that reaches the SMTP session becomes a reply in one place (`smtp/replies.py`): a
`Refusal` says its own code, everything else is `451 4.3.0` with an id that stands in the log.
"""

from __future__ import annotations

from collections.abc import Mapping


class SceauError(Exception):
    """Base of the errors that a user may be shown as they are: one clear sentence.

    template: English; with facts, its `{places}` are filled by them, and the template is the key
        of the French catalogue. Without facts it is taken as it is.
    hint: what to do about it, or ""; a template too, with the same facts.
    """

    def __init__(
        self, template: str, *, hint: str = "", facts: Mapping[str, str] | None = None
    ) -> None:
        self.template = template
        self.hint_template = hint
        self.facts = dict(facts or {})
        super().__init__(template.format(**self.facts) if self.facts else template)
        self.hint = hint.format(**self.facts) if self.facts else hint


class NotFound(SceauError):
    """A named thing does not exist (exit code 1)."""


class CannotTell(SceauError):
    """A dependency or data is missing, so no verdict was reached (exit code 3)."""


class Refusal(SceauError):
    """Mail that is not taken: the reply says why.

    code: SMTP code (RFC 5321 §4.2); status: enhanced code (RFC 3463); text: ASCII, one line,
    names no internal host, rule or person.
    """

    def __init__(self, code: int, status: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.status = status
        self.text = text
