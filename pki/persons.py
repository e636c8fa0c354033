"""Persons who sign: their keys (`pki.person_keys`), consents (`pki.consents`), signers."""

from __future__ import annotations

from pki.consents import (
    Consent,
    Ground,
    consents_of,
    give_consent,
    list_consents,
    set_entry,
    withdraw_consent,
    without_entry,
)
from pki.kek import Kek, KekRing, KeyEncryptionKey, create_kek, load_kek, prove
from pki.may_sign import MaySign, Unfit
from pki.person_keys import (
    CheckedKey,
    PersonKey,
    chain_of,
    list_keys,
    store_key,
    store_new_key,
    stored_sources,
)
from pki.person_p12 import Use, check_key, check_p12
from pki.person_removal import Removal, plan_removal, remove_key
from pki.person_signers import ConsentedSigner, PersonSigners

__all__ = [
    "CheckedKey",
    "Consent",
    "ConsentedSigner",
    "Ground",
    "Kek",
    "KekRing",
    "KeyEncryptionKey",
    "MaySign",
    "PersonKey",
    "PersonSigners",
    "Removal",
    "Unfit",
    "Use",
    "chain_of",
    "check_key",
    "check_p12",
    "consents_of",
    "create_kek",
    "give_consent",
    "list_consents",
    "list_keys",
    "load_kek",
    "plan_removal",
    "prove",
    "remove_key",
    "set_entry",
    "store_key",
    "store_new_key",
    "stored_sources",
    "withdraw_consent",
    "without_entry",
]
