"""The command `sceau`: a noun, a verb, options.

Each noun is a module with

- `HELP: str`, one line, the same as in the table here;
- `configure(parser)`, which adds verbs and options and `set_defaults(run=…)`;
- that `run(args) -> int`, which gives an exit code (`gateway.cli.exits`) and prints through
  `gateway.cli.output.output_of(args)`.

Only the module of the noun that was typed is imported: `sceau --help` answers at once.
"""

from __future__ import annotations

import os
import resource
import sys
from argparse import Namespace
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

from gateway import __version__
from gateway.cli.border import guarded
from gateway.cli.output import Output
from gateway.cli.usage import SceauParser, UsageError, localise
from gateway.i18n import language_of
from gateway.unwarned import unwarned

# Noun, module, help line. The line stands here too because a list of all nouns must not import
# all modules; a test holds that both are the same.
NOUNS: dict[str, tuple[str, str]] = {
    "demo": (
        "gateway.cli.demo",
        "show the whole product at work, with a made-up PKI",
    ),
    "init": ("gateway.cli.init", "write a configuration that works, with comments"),
    "upgrade": ("gateway.cli.upgrade", "bring the tables of an older version up to date"),
    "check": ("gateway.cli.check", "try out the configuration and everything it depends on"),
    "serve": ("gateway.cli.serve", "run the gateway: take mail, seal it, deliver it"),
    "reload": ("gateway.cli.reload", "have the running gateway read its configuration anew"),
    "clock": ("gateway.cli.clock", "whether the machine's clock is believed; say that it is right"),
    "queue": ("gateway.cli.queue", "show and steer the mail that waits"),
    "policy": (
        "gateway.cli.policy",
        "the rules: show, check, explain what they decide, try out others",
    ),
    "smime": (
        "gateway.cli.smime",
        "sign, encrypt, decrypt, verify and look into files, without any configuration",
    ),
    "pki": (
        "gateway.cli.pki",
        "anchors, certificates, revocation lists, keys: show, import, find, validate",
    ),
    "person": ("gateway.cli.person", "those who decide about trust: enrol, approve, suspend"),
    "user": ("gateway.cli.user", "logins of the users file: add, list, change, remove, try out"),
    "archive": ("gateway.cli.archive", "search, read, follow and verify the archive"),
}

DESCRIPTION = "Sceau signs and encrypts mail on its way and keeps it in a hash-chained archive."
EXIT_CODES = (
    "Exit codes: 0 done or valid; 1 checked and not so, refused, or not found; "
    "2 usage or unreadable input; 3 cannot tell."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code. argv: without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # The memory of nearly every command holds keys or mail in clear: when it crashes, it must not
    # come to lie on a disk (systemd-coredump asks this limit too). Children inherit it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for stream in (sys.stdout, sys.stderr):
        # A name from a certificate must not end a command because the terminal is not UTF-8.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    unwarned()
    language = language_of(os.environ)
    noun = arguments[0] if arguments and arguments[0] in NOUNS else ""
    return guarded(
        lambda: _run_noun(noun, arguments[1:], language) if noun else _top(arguments, language),
        command=f"sceau {noun}".rstrip(),
        output=Output(language),
        environment=os.environ,
    )


def _run_noun(noun: str, arguments: list[str], language: str) -> int:
    module = import_module(NOUNS[noun][0])
    parser = SceauParser(prog=f"sceau {noun}", description=module.HELP)
    module.configure(parser)
    localise(parser, language)
    try:
        args = parser.parse_args(arguments, Namespace(language=language))
    except SystemExit as end:  # --help has printed
        return int(end.code or 0)
    return int(args.run(args))


def _top(arguments: list[str], language: str) -> int:
    parser = SceauParser(prog="sceau", description=DESCRIPTION, epilog=EXIT_CODES)
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    nouns = parser.add_subparsers(title="commands", metavar="COMMAND", prog="sceau")
    for noun, (_, line) in NOUNS.items():
        nouns.add_parser(noun, help=line)
    localise(parser, language)
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    if not arguments[0].startswith("-"):
        raise _unknown(arguments[0])
    try:
        args = parser.parse_args(arguments)
    except SystemExit as end:
        return int(end.code or 0)
    if args.version:
        print(f"sceau {__version__}")
        return 0
    raise UsageError("a command is missing", hint="sceau --help")


def _unknown(word: str) -> UsageError:
    close = get_close_matches(word, NOUNS, n=1)
    if close:
        return UsageError(
            "there is no command {word}; did you mean {close}?",
            hint="sceau --help",
            facts={"word": word, "close": close[0]},
        )
    return UsageError("there is no command {word}", hint="sceau --help", facts={"word": word})
