"""`sceau pki key`: our own keys, those of our people, and the consents without which none signs."""

from __future__ import annotations

from argparse import ArgumentParser

from gateway.cli.pki_key_consent import add_consent, add_withdraw
from gateway.cli.pki_key_create import add_create, add_csr
from gateway.cli.pki_key_depart import add_depart, add_escrow
from gateway.cli.pki_key_import import add_import
from gateway.cli.pki_key_install import add_install
from gateway.cli.pki_key_list import add_list, add_show
from gateway.cli.pki_key_remove import add_remove


def add_key(parser: ArgumentParser) -> None:
    """The verbs of `sceau pki key`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add_create(verbs.add_parser("create", help="make a new key, in a file or in a token"))
    add_csr(verbs.add_parser("csr", help="write what the CA is asked with for a key"))
    add_install(verbs.add_parser("install", help="put the CA's answer to its key, and use both"))
    add_import(verbs.add_parser("import", help="store persons' keys from PKCS#12 files, wrapped"))
    add_list(verbs.add_parser("list", help="keys that are stored, and who agreed to their use"))
    add_show(verbs.add_parser("show", help="one person's certificates, keys and consents"))
    add_consent(verbs.add_parser("consent", help="record that a person agrees to be signed for"))
    add_remove(verbs.add_parser("remove", help="take a person's key away, and say what follows"))
    add_depart(verbs.add_parser("depart", help="somebody leaves: end signing, keys into escrow"))
    add_escrow(verbs.add_parser("escrow", help="decryption keys of those who left"))
    add_withdraw(verbs.add_parser("withdraw", help="end the consents of an address, at once"))
