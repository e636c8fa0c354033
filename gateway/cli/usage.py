"""The command line's grammar: argparse that speaks two languages and raises instead of exiting."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from typing import NoReturn

from gateway.errors import SceauError
from gateway.i18n import message, translate


class UsageError(SceauError):
    """A command line that cannot be understood."""


class SceauParser(argparse.ArgumentParser):
    """An ArgumentParser without abbreviations, whose errors are `UsageError`."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("allow_abbrev", False)  # an abbreviation breaks with the next option
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Called by argparse with an English text of its own."""
        template, facts = _recognised(message)
        raise UsageError(template, hint="{command} --help", facts={**facts, "command": self.prog})


# What argparse says (3.11 to 3.14), and what we say instead: our sentence is a template, so it
# can be translated, while argparse's is already filled.
_SAYINGS = (
    (r"the following arguments are required: (?P<names>.+)", message("{names} is missing")),
    (r"one of the arguments (?P<names>.+) is required", message("one of {names} is missing")),
    (r"unrecognized arguments: (?P<names>.+)", message("nothing is known of {names}")),
    (r"argument (?P<name>.+?): expected one argument", message("{name} needs a value")),
    (r"argument (?P<name>.+?): expected at least one argument", message("{name} needs a value")),
    (r"argument (?P<name>.+?): expected \d+ arguments?", message("{name} needs a value")),
    (
        r"argument (?P<name>.+?): not allowed with argument (?P<other>.+)",
        message("{name} and {other} exclude each other"),
    ),
    (
        r"argument (?P<name>.+?): invalid choice: (?P<value>.+?) \(choose from (?P<choices>.+)\)",
        message("{name} cannot be {value}; there are: {choices}"),
    ),
    (
        r"argument (?P<name>.+?): invalid \w+ value: (?P<value>.+)",
        message("{value} is not a value for {name}"),
    ),
    (
        r"argument (?P<name>.+?): ignored explicit argument (?P<value>.+)",
        message("{name} takes no value"),
    ),
)


def _recognised(text: str) -> tuple[str, dict[str, str]]:
    for saying, template in _SAYINGS:
        if match := re.fullmatch(saying, text, re.DOTALL):
            facts = match.groupdict()
            if "choices" in facts:
                facts["choices"] = facts["choices"].replace("'", "")
            return template, facts
    return "{text}", {"text": text}


class _FrenchFormatter(argparse.HelpFormatter):
    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        super().add_usage(usage, actions, groups, prefix or "utilisation : ")


def localise(parser: argparse.ArgumentParser, language: str) -> None:
    """Translate all texts of a finished parser, and of its verbs."""

    def text(template: str | None) -> str | None:
        return translate(template, {}, language) if template else template

    if language == "fr":
        parser.formatter_class = _FrenchFormatter
    parser.description = text(parser.description)
    parser.epilog = text(parser.epilog)
    for group in parser._action_groups:
        group.title = text(group.title)
        group.description = text(group.description)
    for action in parser._actions:
        if action.help is not argparse.SUPPRESS:
            action.help = text(action.help)
        if isinstance(action, argparse._SubParsersAction):
            for choice in action._choices_actions:
                choice.help = text(choice.help)
            for verb in set(action.choices.values()):
                localise(verb, language)
