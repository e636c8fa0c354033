"""`sceau pki`: trust anchors, certificates, revocation lists, persons' keys, validation.

Each subject has its own module with a function that adds its verbs.
"""

from __future__ import annotations

from argparse import ArgumentParser

from gateway.cli.pki_anchor import add_anchor
from gateway.cli.pki_cert import add_cert
from gateway.cli.pki_crl import add_crl
from gateway.cli.pki_directory import add_directory
from gateway.cli.pki_kek import add_kek
from gateway.cli.pki_key import add_key
from gateway.cli.pki_ocsp import add_ocsp
from gateway.cli.pki_validate import add_validate

HELP = "anchors, certificates, revocation lists, keys: show, import, find, validate"


def configure(parser: ArgumentParser) -> None:
    """Subjects, their verbs and options."""
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    add_anchor(subjects.add_parser("anchor", help="whom the gateway trusts, and who decided so"))
    add_cert(subjects.add_parser("cert", help="certificates of others: find, show, import"))
    add_crl(subjects.add_parser("crl", help="revocation lists: show, fetch, import"))
    add_ocsp(subjects.add_parser("ocsp", help="OCSP responses: show, ask"))
    add_directory(subjects.add_parser("directory", help="LDAP servers: show, try out"))
    add_key(subjects.add_parser("key", help="the keys of our people, and their consents"))
    add_kek(subjects.add_parser("kek", help="the key-encryption key that wraps these keys"))
    add_validate(subjects.add_parser("validate", help="check certificates against given anchors"))
