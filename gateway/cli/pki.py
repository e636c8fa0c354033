"""`sceau pki`: trust anchors, certificates, revocation lists, persons' keys, validation.

Each subject has its own module with a function that adds its verbs.
"""

from __future__ import annotations

from argparse import ArgumentParser

from gateway.cli.pki_key import add_key

HELP = "anchors, certificates, revocation lists, keys: show, import, find, validate"


def configure(parser: ArgumentParser) -> None:
    """Subjects, their verbs and options."""
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    add_key(subjects.add_parser("key", help="the keys of our people, and their consents"))
