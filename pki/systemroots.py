"""Where the distribution keeps its root certificates: only to be listed for a choice.

Those roots are chosen by browser makers for web sites, and any of them could vouch for any mail
address: nothing here is ever trusted by being there (docs/decisions/0023-candidate-roots.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# Debian and Ubuntu; Fedora, RHEL; SUSE; Alpine, Arch, FreeBSD; OpenSSL's own.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/etc/ssl/cert.pem",
    "/usr/lib/ssl/cert.pem",
)


def system_bundle(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The PEM file with the system's roots: `SSL_CERT_FILE`, else where distributions put it."""
    for name in (environment.get("SSL_CERT_FILE", ""), *_BUNDLES):
        if name and (path := Path(name)).is_file() and path.stat().st_size:
            return path
    return None
