"""A configuration that is right, for tests that put one thing wrong in it."""

from __future__ import annotations

from pathlib import Path

GOOD = """\
[gateway]
organisation = "interior"
hostname = "sceau.interior.example"
domains = ["interior.example", "police.interior.example"]
postmaster = "postmaster@interior.example"
language = "fr"

[database]
url = "sqlite:///data/sceau.db"

[listen]
address = "127.0.0.1"
port = 10025

[[relays]]
name = "postfix"
networks = ["10.1.2.3/32", "2001:db8::/64"]
domains = ["interior.example"]

[archive]
origin = "sceau.interior.example/archive"
recipients = ["a.pub", "b.pub"]
working_keys = "keys/working"
index = "data/index"

[pki]
key_encryption_key = "keys/kek"
intermediates = ["anchors"]

[[pki.anchors]]
name = "justice-root"
certificate = "anchors/root.crt"
sha256 = "{fingerprint}"
purposes = ["encrypt"]
domains = ["justice.example", "*.justice.example"]
revocation = "grace 24h"

[[pki.directories]]
name = "justice"
url = "ldaps://ldap.justice.example"
base = "dc=justice,dc=example"
domains = ["justice.example"]
ca = "anchors/root.crt"

[[pki.crls]]
url = "http://crl.justice.example/issuing.crl"

[pki.fetch]
allow = ["crl.justice.example:80"]

[[seals]]
domains = ["interior.example", "police.interior.example"]
key = "keys/seal.p12"
password_file = "keys/seal.password"

[[policy.rules]]
name = "press"
sender = "press@interior.example"
recipient = ["@news.example", "*.news.example"]
encryption = "if-possible"
without_certificate = "send-signed"

[[policy.rules]]
name = "justice"
recipient = "@justice.example"
encryption = "required"
route = "justice"

[[policy.partners]]
domains = ["justice.example"]
crypto = "modern"

[[routes]]
name = "justice"
domains = ["justice.example"]
host = "mx.justice.example"
tls = "verified"
ca = "anchors/root.crt"

[[routes]]
name = "onward"
default = true
host = "127.0.0.1"
port = 10026
tls = "none"
""".replace("{fingerprint}", ":".join(["5F"] * 32))

FILES = (
    "a.pub",
    "b.pub",
    "keys/kek",
    "anchors/root.crt",
    "keys/seal.p12",
    "keys/seal.password",
)


def write_good(folder: Path, text: str = GOOD) -> Path:
    """The file and everything it names; the path of the file."""
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "data").mkdir()
    (folder / "sceau.toml").write_text(text, "utf-8")
    return folder / "sceau.toml"


def line_number(text: str, wanted: str) -> int:
    """The line (from 1) on which `wanted` first stands."""
    return text[: text.index(wanted)].count("\n") + 1
