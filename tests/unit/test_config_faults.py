"""Every way a configuration can be wrong, with the message a person gets.

Each row: what is replaced in the good file, by what, and the message after "FILE:LINE: ".
LINE is the line on which the replacement stands.
"""

# ruff: noqa: ISC004 - the last column of a row is one message

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from gateway.config import ConfigFaults, load
from tests.unit.config_files import GOOD, line_number, write_good

# The folder of the file stands as DIR in messages.
ROWS = [
    # -- keys and tables
    ("port = 10025", "prot = 10025",
     "listen.prot: there is no such key; did you mean port?"),
    ("port = 10025", "colour = 1",
     "listen.colour: there is no such key here; there are: address, port, tls_certificate, "
     "tls_key, require_tls, auth, max_size, max_line, max_recipients, max_connections, "
     "max_connections_per_address, max_idle_commands, max_errors, timeout, transaction_timeout"),
    ("[listen]", "[listne]",
     "listne: there is no such key; did you mean listen?"),
    ('organisation = "interior"', "",
     "gateway.organisation: this key is missing "
     '(right would be: organisation = "interior")'),
    ('encryption = "required"\n', "",
     "policy.rules[2].encryption: this key is missing "
     '(right would be: encryption = "required")'),
    ("[[relays]]", "[relays]",
     "relays: this must be a list of tables, each written [[relays]]"),
    ("[listen]", "[[listen]]",
     "listen: this must be a table, written [listen]"),
    # -- kinds of values
    ('organisation = "interior"', "organisation = 7",
     "gateway.organisation: 7 is not a text; write it in quotes "
     '(right would be: organisation = "interior")'),
    ('organisation = "interior"', 'organisation = "Ministère de l’Intérieur"',
     'gateway.organisation: "Ministère de l’Intérieur" is not a name: small letters, digits and '
     '- . _ only, at most 64 (right would be: organisation = "interior")'),
    ('hostname = "sceau.interior.example"', 'hostname = "https://sceau"',
     'gateway.hostname: "https://sceau" is not a host name '
     '(right would be: hostname = "sceau.interior.example")'),
    ('hostname = "sceau.interior.example"', 'hostname = "10.0.0.256"',
     'gateway.hostname: "10.0.0.256" is not a host name '
     '(right would be: hostname = "sceau.interior.example")'),
    # No mail could be given a Received field: it was taken, and never left.
    ('hostname = "sceau.interior.example"', 'hostname = "2001:db8::1"',
     'gateway.hostname: "2001:db8::1" is not a host name '
     '(right would be: hostname = "sceau.interior.example")'),
    ('postmaster = "postmaster@interior.example"', 'postmaster = "postmaster"',
     'gateway.postmaster: "postmaster" is not an address '
     '(right would be: postmaster = "postmaster@interior.example")'),
    ('language = "fr"', 'language = "de"',
     'gateway.language: "de" is not one of "en", "fr" (right would be: language = "fr")'),
    ('url = "sqlite:///data/sceau.db"', 'url = "mysql://db/sceau"',
     'database.url: "mysql://db/sceau" is not a database this version can use '
     '(right would be: url = "sqlite:///data/sceau.db")'),
    ('url = "sqlite:///data/sceau.db"', 'url = "postgresql+psycopg://sceau:secret@db/sceau"',
     "database.url: a password does not stand here: put it into a file, database.password_file "
     '(right would be: url = "sqlite:///data/sceau.db")'),
    ('url = "sqlite:///data/sceau.db"', 'url = "postgresql://sceau@127.0.0.1/sceau"',
     "database.url: an address of PostgreSQL has the form "
     "postgresql+psycopg://user@host:5432/database "
     '(right would be: url = "sqlite:///data/sceau.db")'),
    ('url = "sqlite:///data/sceau.db"', 'url = "postgresql+psycopg://127.0.0.1/sceau"',
     "database.url: the address says no user: postgresql+psycopg://user@… "
     '(right would be: url = "sqlite:///data/sceau.db")'),
    ('url = "sqlite:///data/sceau.db"', 'url = "postgresql+psycopg://sceau@/sceau"',
     "database.url: the address says no host "
     '(right would be: url = "sqlite:///data/sceau.db")'),
    ('url = "sqlite:///data/sceau.db"',
     'url = "postgresql+psycopg://sceau@127.0.0.1/sceau?options=-csynchronous_commit%3Doff"',
     "database.url: the address has an option options that cannot be used here; there are: "
     "channel_binding, connect_timeout, gssencmode, host, krbsrvname, sslcert, sslcrl, sslkey, "
     "sslmode, sslrootcert, target_session_attrs "
     '(right would be: url = "sqlite:///data/sceau.db")'),
    ('url = "sqlite:///data/sceau.db"', 'url = "postgresql+psycopg://sceau@10.1.2.9/sceau"',
     "database.url: the server is not on this machine, and nothing makes sure that it is the one "
     "meant (right would be: ?sslmode=verify-full&sslrootcert="
     "/etc/sceau/anchors/database-ca.crt at its end, or unsafe_plain = true on a wire of your "
     "own)"),
    ('url = "sqlite:///data/sceau.db"',
     'url = "postgresql+psycopg://sceau@/sceau?host=/run/pg&host=db2:5433&sslmode=require"',
     "database.url: the server is not on this machine, and nothing makes sure that it is the one "
     "meant (right would be: ?sslmode=verify-full&sslrootcert="
     "/etc/sceau/anchors/database-ca.crt at its end, or unsafe_plain = true on a wire of your "
     "own)"),
    ('url = "sqlite:///data/sceau.db"',
     'takeover = "1s"\nurl = "postgresql+psycopg://sceau@localhost/sceau"',
     "database.takeover: a machine that stutters for a moment would take mail away from a process "
     'at work (right would be: takeover = "60s")'),
    ('url = "sqlite:///data/sceau.db"', 'unsafe_plain = true\nurl = "sqlite:///data/sceau.db"',
     "database.unsafe_plain: SQLite is a file; this is for PostgreSQL"),
    ('url = "sqlite:///data/sceau.db"',
     'unsafe_plain = true\nurl = "postgresql+psycopg://sceau@db/sceau?sslmode=verify-full"',
     "database.unsafe_plain: unsafe_plain contradicts TLS"),
    ('url = "sqlite:///data/sceau.db"', 'url = "sqlite:///data"',
     "database.url: DIR/data is a folder, not a file "
     '(right would be: url = "sqlite:///data/sceau.db")'),
    ('url = "sqlite:///data/sceau.db"', 'url = "sqlite:///gone/sceau.db"',
     "database.url: there is no folder DIR/gone"),
    ('address = "127.0.0.1"', 'address = "localhost"',
     'listen.address: "localhost" is not an IP address '
     '(right would be: address = "127.0.0.1")'),
    ("port = 10025", "port = 70000",
     "listen.port: 70000 is not between 1 and 65535 (right would be: port = 10025)"),
    ("port = 10025", 'port = "10025"',
     'listen.port: "10025" is not an integer (right would be: port = 10025)'),
    ("port = 10025", "port = true",
     "listen.port: true is not an integer (right would be: port = 10025)"),
    ("port = 10025", "max_recipients = 0",
     "listen.max_recipients: 0 is not between 1 and 1000000 "
     "(right would be: max_recipients = 1000)"),
    ("port = 10025", 'require_tls = "yes"',
     'listen.require_tls: "yes" is neither true nor false (right would be: require_tls = true)'),
    ("port = 10025", 'timeout = "5 minutes"',
     'listen.timeout: "5 minutes" is not a duration: a number and s, m, h or d '
     '(right would be: timeout = "5m")'),
    ("port = 10025", 'timeout = "0s"',
     'listen.timeout: "0s" is not a duration: a number and s, m, h or d '
     '(right would be: timeout = "5m")'),
    ("port = 10025", 'max_size = "50"',
     'listen.max_size: "50" is not a size: a number and B, kB, MB, GB, KiB, MiB or GiB '
     '(right would be: max_size = "50 MB")'),
    ("port = 10025", "max_size = 50000000",
     "listen.max_size: 50000000 is not a text; write it in quotes "
     '(right would be: max_size = "50 MB")'),
    ('domains = ["interior.example", "police.interior.example"]\npost',
     'domains = ["interior.example", "police.interior.example", "a..b"]\npost',
     'gateway.domains: "a..b" is not a domain (right would be: domains = ["interior.example"])'),
    ('networks = ["10.1.2.3/32", "2001:db8::/64"]', 'networks = ["10.1.2.3/8"]',
     'relays[1].networks: "10.1.2.3/8" is an address inside a network; the network is '
     '"10.0.0.0/8" (right would be: networks = ["10.1.2.3/32"])'),
    ('networks = ["10.1.2.3/32", "2001:db8::/64"]', 'networks = ["10.1.2.3/33"]',
     'relays[1].networks: "10.1.2.3/33" is not a network '
     '(right would be: networks = ["10.1.2.3/32"])'),
    ('networks = ["10.1.2.3/32", "2001:db8::/64"]', 'networks = "10.1.2.3/32"',
     'relays[1].networks: "10.1.2.3/32" is not a list; write it in [ ] '
     '(right would be: networks = ["10.1.2.3/32"])'),
    ('networks = ["10.1.2.3/32", "2001:db8::/64"]', "networks = []",
     "relays[1].networks: this list is empty (right would be: networks = [\"10.1.2.3/32\"])"),
    ('networks = ["10.1.2.3/32", "2001:db8::/64"]', 'networks = ["10.1.2.3", "10.1.2.3/32"]',
     'relays[1].networks: "10.1.2.3/32" stands there twice '
     '(right would be: networks = ["10.1.2.3/32"])'),
    ('origin = "sceau.interior.example/archive"', 'origin = "https://sceau.interior.example"',
     'archive.origin: "https://sceau.interior.example" is not an origin: a domain and a path, '
     'without https:// (right would be: origin = "sceau.interior.example/archive")'),
    ('working_keys = "keys/working"', 'working_keys = "keys/kek"',
     "archive.working_keys: DIR/keys/kek is a file, not a folder "
     '(right would be: working_keys = "keys/working")'),
    ('key_encryption_key = "keys/kek"', 'key_encryption_key = "keys/kke"',
     "pki.key_encryption_key: there is no file DIR/keys/kke"),
    ('key_encryption_key = "keys/kek"', 'key_encryption_key = "keys"',
     "pki.key_encryption_key: DIR/keys is a folder, not a file "
     '(right would be: key_encryption_key = "keys/kek")'),
    ('key_encryption_key = "keys/kek"', f'key_encryption_key = "{"k" * 300}"',
     f'pki.key_encryption_key: "{"k" * 60}…" cannot be read: File name too long '
     '(right would be: key_encryption_key = "keys/kek")'),
    ('intermediates = ["anchors"]', 'former_key_encryption_key = "keys/kek"',
     "pki.former_key_encryption_key: this is the key in force; the former one is the one before "
     'it (right would be: former_key_encryption_key = "keys/kek-2025")'),
    ('intermediates = ["anchors"]',
     'former_key_encryption_key = {module = "keys/kek", token = "t", key = 7, pin_file = "a.pub"}',
     "pki.former_key_encryption_key.key: 7 is not a text; write it in quotes "
     '(right would be: key = "sceau-kek-2026")'),
    ('intermediates = ["anchors"]',
     'former_key_encryption_key = {module = "keys/gone", token = "t", key = "k", '
     'pin_file = "a.pub"}',
     "pki.former_key_encryption_key.module: there is no file DIR/keys/gone"),
    ('key_encryption_key = "keys/kek"', "key_encryption_key = 32",
     "pki.key_encryption_key: 32 is not a text; write it in quotes "
     '(right would be: key_encryption_key = "keys/kek")'),
    ('intermediates = ["anchors"]', "person_keys_kept = -1",
     "pki.person_keys_kept: -1 is not between 0 and 1000000 "
     "(right would be: person_keys_kept = 1000)"),
    ('intermediates = ["anchors"]', 'intermediates = ["ancors"]',
     "pki.intermediates: there is no file or folder DIR/ancors"),
    ('sha256 = "' + ":".join(["5F"] * 32) + '"', 'sha256 = "5F:5F"',
     'pki.anchors[1].sha256: "5F:5F" is not a SHA-256 fingerprint: 64 hex digits are, here are 4 '
     '(right would be: sha256 = "5f:1a:… (32 pairs of hex digits)")'),
    ('purposes = ["encrypt"]', 'purposes = ["encryption"]',
     'pki.anchors[1].purposes: "encryption" is not one of "encrypt", "sign" '
     '(right would be: purposes = ["encrypt", "sign"])'),
    ('revocation = "grace 24h"', 'revocation = "soft"',
     'pki.anchors[1].revocation: "soft" is neither "hard-fail" nor "grace" with a duration '
     '(right would be: revocation = "hard-fail")'),
    ('revocation = "grace 24h"', 'revocation = "grace a day"',
     'pki.anchors[1].revocation: "a day" is not a duration: a number and s, m, h or d '
     '(right would be: revocation = "hard-fail")'),
    ('revocation = "grace 24h"', 'comment = """a\nb"""',
     'pki.anchors[1].comment: "a\nb" is more than one line '
     '(right would be: comment = "fingerprint read out by phone, 2026-03-02")'),
    ('url = "ldaps://ldap.justice.example"', 'url = "https://ldap.justice.example"',
     'pki.directories[1].url: "https://ldap.justice.example" is not an address that begins with '
     'ldaps://, ldap:// (right would be: url = "ldaps://ldap.justice.example")'),
    ('url = "ldaps://ldap.justice.example"', 'url = "ldaps://ldap.justice.example/dc=x"',
     'pki.directories[1].url: "ldaps://ldap.justice.example/dc=x" has a path; the base stands in '
     'its own key (right would be: url = "ldaps://ldap.justice.example")'),
    ('base = "dc=justice,dc=example"',
     'base = "dc=justice,dc=example"\naddress_attributes = ["mail", "mail)(x=*"]',
     'pki.directories[1].address_attributes: "mail)(x=*" is not the name of an LDAP attribute '
     '(right would be: address_attributes = ["mail", "mailAlternateAddress", "proxyAddresses"])'),
    ('base = "dc=justice,dc=example"', 'base = "dc=justice,dc=example"\norder = "random"',
     'pki.directories[1].order: "random" is not one of "preference", "round-robin" '
     '(right would be: order = "preference")'),
    ('url = "ldaps://ldap.justice.example"', 'url = "ldaps://sceau:secret@ldap.justice.example"',
     "pki.directories[1].url: an address must not carry a name or a password "
     '(right would be: url = "ldaps://ldap.justice.example")'),
    ('base = "dc=justice,dc=example"', 'base = "justice.example"',
     'pki.directories[1].base: "justice.example" is not a distinguished name '
     '(right would be: base = "ou=people,dc=justice,dc=example")'),
    ('allow = ["crl.justice.example:80"]', 'allow = ["crl.justice.example:80", "crl"]',
     'pki.fetch.allow: "crl" is not a host and a port '
     '(right would be: allow = ["crl.justice.example:80"])'),
    ('recipient = ["@news.example", "*.news.example"]', 'recipient = "news.example"',
     'policy.rules[1].recipient: "news.example" is not a pattern: "a@b.example", "@b.example", '
     '"*.b.example" or "*" '
     '(right would be: recipient = ["@justice.example", "*.justice.example"])'),
    ('encryption = "required"', 'encryption = "always"',
     'policy.rules[2].encryption: "always" is not one of "required", "if-possible", "never" '
     '(right would be: encryption = "required")'),
    ("port = 10025", "port = 10025\n[queue]\nretry = [\"5m\", \"soon\"]",
     'queue.retry: "soon" is not a duration: a number and s, m, h or d '
     '(right would be: retry = ["5m", "15m", "1h", "4h"])'),
    ("port = 10025", 'port = 10025\n[workers]\nintake = "all"',
     'workers.intake: "all" is not an integer (right would be: intake = "auto")'),
    # -- between keys and tables
    ("port = 10025", 'tls_certificate = "a.pub"',
     "listen.tls_key: tls_certificate and tls_key go together "
     '(right would be: tls_certificate = "keys/smtp.crt" with tls_key = "keys/smtp.key")'),
    ("port = 10025", "require_tls = true",
     "listen.require_tls: nobody can use TLS here: there is no tls_certificate "
     '(right would be: tls_certificate = "keys/smtp.crt")'),
    ('domains = ["interior.example"]', 'domains = ["interior.example", "justice.example"]',
     "relays[1].domains: justice.example is not one of our domains (gateway.domains)"),
    ('recipients = ["a.pub", "b.pub"]', 'recipients = ["a.pub"]',
     "archive.recipients: the archive needs two recipients at least, of whom neither alone is "
     "the only one who can open it "
     '(right would be: recipients = ["recipients/authority.pub", "recipients/escrow.pub"])'),
    ('url = "ldaps://ldap.justice.example"', 'url = "ldap://ldap.justice.example"',
     "pki.directories[1].url: this connection would be in clear text, and anyone on the way "
     "could give us his own certificates "
     '(right would be: url = "ldaps://ldap.justice.example", or starttls = true)'),
    ('base = "dc=justice,dc=example"', 'base = "dc=justice,dc=example"\nstarttls = true',
     "pki.directories[1].starttls: ldaps:// is TLS from the start; starttls is for ldap://"),
    ('base = "dc=justice,dc=example"', 'base = "dc=justice,dc=example"\nunsafe_plain = true',
     "pki.directories[1].unsafe_plain: unsafe_plain contradicts TLS"),
    ('domains = ["justice.example"]\nca = "anchors/root.crt"', 'domains = ["justice.example"]',
     "pki.directories[1].ca: TLS needs the CA that the server's certificate is checked against; "
     "the system's roots are not trusted "
     '(right would be: ca = "anchors/ldap-ca.crt")'),
    ('base = "dc=justice,dc=example"', 'base = "dc=justice,dc=example"\nbind_dn = "cn=sceau"',
     "pki.directories[1].bind_dn: bind_dn and password_file go together "
     '(right would be: bind_dn = "cn=sceau,dc=justice,dc=example" with '
     'password_file = "keys/ldap.password")'),
    ('base = "dc=justice,dc=example"',
     'base = "dc=justice,dc=example"\nclient_certificate = "a.pub"',
     "pki.directories[1].client_key: client_certificate and client_key go together "
     '(right would be: client_certificate = "keys/ldap-client.crt" with '
     'client_key = "keys/ldap-client.key")'),
    ('base = "dc=justice,dc=example"', 'base = "dc=justice,dc=example"\nsasl_external = true',
     "pki.directories[1].sasl_external: SASL EXTERNAL logs in by a client certificate, and there "
     'is none (right would be: client_certificate = "keys/ldap-client.crt" with '
     'client_key = "keys/ldap-client.key")'),
    ('base = "dc=justice,dc=example"',
     'base = "dc=justice,dc=example"\nsasl_external = true\nbind_dn = "cn=x"\n'
     'password_file = "a.pub"\nclient_certificate = "a.pub"\nclient_key = "b.pub"',
     "pki.directories[1].sasl_external: the login is by client certificate or by name and "
     "password, not by both (right would be: sasl_external = true without bind_dn and "
     "password_file)"),
    ('url = "ldaps://ldap.justice.example"',
     'client_certificate = "a.pub"\nclient_key = "b.pub"\n'
     'url = ["ldaps://ldap.justice.example", "ldap://127.0.0.1"]',
     "pki.directories[1].client_certificate: a client certificate is shown in TLS only, and one "
     'of the servers is asked without (right would be: url = "ldaps://ldap.justice.example", or '
     "starttls = true)"),
    ('url = "ldaps://ldap.justice.example"',
     'url = ["ldaps://ldap.justice.example", "ldap://ldap2.justice.example"]',
     "pki.directories[1].url: this connection would be in clear text, and anyone on the way "
     "could give us his own certificates "
     '(right would be: url = "ldaps://ldap.justice.example", or starttls = true)'),
    ('domains = ["justice.example"]\nca = "anchors/root.crt"',
     'domains = ["justice.example"]\nca = "anchors/root.crt"\n[pki.directories.groups]\nnested = 3',
     "pki.directories[1].groups.base: no group is looked for without the place where groups lie "
     '(right would be: base = "ou=groups,dc=justice,dc=example")'),
    ('domains = ["justice.example"]\nca = "anchors/root.crt"',
     'domains = ["justice.example"]\nca = "anchors/root.crt"\n[pki.directories.groups]\n'
     'base = "dc=x"\nmember = ""',
     "pki.directories[1].groups.member: nothing says who is in a group: neither member nor "
     'member_of (right would be: member = "member")'),
    ("[[pki.crls]]", '[[pki.crls]]\nfile = "a.pub"',
     "pki.crls[1]: a CRL has either url or file "
     '(right would be: url = "http://crl.justice.example/issuing.crl")'),
    ('url = "http://crl.justice.example/issuing.crl"',
     f'url = "http://crl.justice.example/{"i" * 500}"',
     f'pki.crls[1].url: "http://crl.justice.example/{"i" * 33}…" is longer than 500 characters '
     '(right would be: url = "http://crl.justice.example/issuing.crl")'),
    ('url = "http://crl.justice.example/issuing.crl"', 'url = "http://crl.justice.example:81/i"',
     "pki.crls[1].url: crl.justice.example:81 is not in the list of places that may be fetched "
     'from, pki.fetch.allow (right would be: [pki.fetch] with allow = '
     '["crl.justice.example:81"])'),
    ('domains = ["interior.example", "police.interior.example"]\nkey',
     'domains = ["interior.example", "police.interior.example", "other.example"]\nkey',
     "seals[1].domains: other.example is not one of our domains (gateway.domains)"),
    ('domains = ["interior.example", "police.interior.example"]\nkey',
     'domains = ["interior.example"]\nkey',
     "seals: no seal signs for our domain police.interior.example "
     '(right would be: domains = ["police.interior.example"])'),
    ('name = "justice"\nrecipient', 'name = "press"\nrecipient',
     "policy.rules[2].name: another one is already called press"),
    ('name = "justice"\nrecipient', 'name = "default"\nrecipient',
     'policy.rules[2].name: "default" is the name of the built-in last rule '
     '(right would be: name = "everybody-else")'),
    ('encryption = "required"', 'encryption = "required"\nwithout_certificate = "send-signed"',
     "policy.rules[2].without_certificate: mail that must be encrypted never leaves in clear "
     "text: required and send-signed contradict each other "
     '(right would be: without_certificate = "hold", or encryption = "if-possible")'),
    ('encryption = "required"', 'encryption = "if-possible"',
     "policy.rules[2].without_certificate: this rule must say what happens when encryption is "
     'not possible (right would be: without_certificate = "send-signed")'),
    ('encryption = "required"', 'encryption = "never"\nwithout_certificate = "hold"',
     'policy.rules[2].without_certificate: with encryption = "never" no certificate is looked '
     "for, so this says nothing"),
    ('encryption = "required"', 'encryption = "required"\nsign = "none"',
     "policy.rules[2].sign: encrypted mail is always signed inside, or nobody would notice "
     'tampering: none is only possible with encryption = "never" '
     '(right would be: sign = "seal")'),
    ('recipient = "@justice.example"', 'sender = "press@interior.example"\n'
     'recipient = "desk@a.news.example"',
     "policy.rules[2]: this rule never decides: the rule press stands before it and matches all "
     "its mail"),
    ('route = "justice"', 'route = "justize"',
     "policy.rules[2].route: there is no route justize; there are: justice, onward"),
    ('[[policy.partners]]', '[[policy.partners]]\ndomains = ["justice.example"]\n'
     'crypto = "strict"\n[[policy.partners]]',
     "policy.partners[2].domains: justice.example already stands in number 1"),
    ('name = "onward"', 'name = "justice"',
     "routes[2].name: another one is already called justice"),
    ("default = true", 'domains = ["other.example"]',
     "routes: there is no way for mail to domains that no route names "
     "(right would be: [[routes]] with default = true)"),
    ('domains = ["justice.example"]\nhost', "default = true\nhost",
     "routes[2].default: another route is already the default"),
    ("default = true", 'default = true\ndomains = ["other.example"]',
     "routes[2]: a route has either domains or default = true "
     '(right would be: domains = ["justice.example"])'),
    ('tls = "verified"\nca = "anchors/root.crt"', 'tls = "verified"',
     "routes[1].ca: verified TLS needs the CA that the next hop's certificate is checked against "
     '(right would be: ca = "anchors/mx-ca.crt")'),
    ('tls = "verified"', 'tls = "opportunistic"',
     'routes[1].ca: only verified TLS looks at certificates (right would be: tls = "verified")'),
    ("port = 10025", 'port = 10025\n[queue]\nexpire = "3h"',
     "queue.expire: mail would be given up before it is tried a second time "
     '(right would be: expire = "5d")'),
]  # fmt: skip


@pytest.mark.parametrize(("right", "wrong", "message"), ROWS, ids=[row[2][:60] for row in ROWS])
def test_the_message_says_what_is_wrong_where_and_what_would_be_right(
    tmp_path: Path, right: str, wrong: str, message: str
) -> None:
    assert right in GOOD
    path = write_good(tmp_path, GOOD.replace(right, wrong, 1))

    with pytest.raises(ConfigFaults) as caught:
        load(path)

    told = {str(fault).partition(": ")[2] for fault in caught.value.faults}
    assert message.replace("DIR", str(tmp_path)) in told


def test_the_line_is_the_one_of_the_fault(tmp_path: Path) -> None:
    text = GOOD.replace("port = 10026", "port = 0").replace('tls = "none"', 'tls = "maybe"')
    path = write_good(tmp_path, text)

    with pytest.raises(ConfigFaults) as caught:
        load(path)

    assert [(fault.key, fault.line) for fault in caught.value.faults] == [
        ("routes[2].port", line_number(text, "port = 0")),
        ("routes[2].tls", line_number(text, 'tls = "maybe"')),
    ]
    assert str(caught.value.faults[0]).startswith(f"{path}:{line_number(text, 'port = 0')}: ")


def test_a_missing_key_is_told_with_the_line_of_its_table(tmp_path: Path) -> None:
    text = GOOD.replace('host = "127.0.0.1"\n', "")

    with pytest.raises(ConfigFaults) as caught:
        load(write_good(tmp_path, text))

    (fault,) = caught.value.faults
    assert (fault.key, fault.line) == (
        "routes[2].host",
        line_number(text, '[[routes]]\nname = "onward"'),
    )


def test_all_faults_are_told_at_once_also_those_between_tables(tmp_path: Path) -> None:
    text = (
        GOOD.replace("port = 10025", "port = 0")
        .replace('language = "fr"', 'language = "de"\nmotto = "x"')
        .replace('recipients = ["a.pub", "b.pub"]', 'recipients = ["a.pub"]')
        .replace('route = "justice"', 'route = "justize"')
        .replace('networks = ["10.1.2.3/32", "2001:db8::/64"]', 'networks = ["a", "b"]')
    )

    with pytest.raises(ConfigFaults) as caught:
        load(write_good(tmp_path, text))

    assert [fault.key for fault in caught.value.faults] == [
        "gateway.language",
        "gateway.motto",
        "listen.port",
        "relays[1].networks",
        "relays[1].networks",
        "archive.recipients",
        "policy.rules[2].route",
    ]


def test_a_network_behind_a_wider_one_of_another_relay_is_told(tmp_path: Path) -> None:
    """Its clients would be taken for the other relay, and could have its domains signed."""
    narrow = '[[relays]]\nname = "police"\nnetworks = ["10.1.2.3/32"]\ndomains = '
    narrow += '["police.interior.example"]\n\n'
    wide = GOOD.replace('networks = ["10.1.2.3/32", ', 'networks = ["10.0.0.0/8", ')
    file = write_good(tmp_path, wide.replace("[[relays]]", narrow + "[[relays]]"))
    load(file)
    file.write_text(wide.replace("[archive]", narrow + "[archive]"))
    with pytest.raises(ConfigFaults) as caught:
        load(file)
    (fault,) = caught.value.faults
    assert fault.key == "relays[2].networks"
    assert "10.1.2.3/32 is never looked at: the relay postfix stands before it" in str(fault)


def test_an_empty_file_asks_for_everything_that_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        load(write_good(tmp_path, ""))

    keys = {fault.key for fault in caught.value.faults}
    assert keys >= {"gateway.hostname", "database.url", "archive.origin", "relays", "routes"}


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        load(tmp_path / "sceau.toml")

    assert str(caught.value) == (
        f"{tmp_path}/sceau.toml: there is no such file (right would be: sceau init DIR)"
    )


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        load(tmp_path)

    assert str(caught.value) == f"{tmp_path}: cannot be read: Is a directory"


def test_toml_that_is_none_names_the_line(tmp_path: Path) -> None:
    path = write_good(tmp_path, GOOD.replace("port = 10025", "port 10025"))

    with pytest.raises(ConfigFaults) as caught:
        load(path)

    (fault,) = caught.value.faults
    assert fault.line == line_number(GOOD, "port = 10025")
    assert fault.template == "this is not TOML: {detail}"


def test_bytes_that_are_not_utf8_name_the_line(tmp_path: Path) -> None:
    path = write_good(tmp_path)
    path.write_bytes(GOOD.encode().replace(b'"interior"', b'"int\xe9rieur"'))

    with pytest.raises(ConfigFaults) as caught:
        load(path)

    assert str(caught.value) == f"{path}:2: this line is not UTF-8"


def test_a_file_that_this_user_may_not_read_names_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_good(tmp_path)
    monkeypatch.setattr("os.access", lambda *_args: False)  # the tests may run as root
    with pytest.raises(ConfigFaults) as caught:
        load(path)
    (told,) = [str(f) for f in caught.value.faults if f.key == "pki.key_encryption_key"]
    assert told.endswith(f"/keys/kek may not be read by the user {getpass.getuser()}")
