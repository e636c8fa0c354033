"""LDAP directories: asked for certificates and groups, believed in nothing.

octets, wire: messages; session: one connection; breaker, server: one server; entries: what an
answer says; client: a directory with all its servers. Why no library: docs/decisions/0012.
"""

from pki.directory import Directory
from pki.ldap.client import DirectoryClient
from pki.ldap.entries import DirectoryAnswer

__all__ = ["Directory", "DirectoryAnswer", "DirectoryClient"]
