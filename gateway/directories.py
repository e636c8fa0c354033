"""Directories as the configuration describes them, and what the log says of their servers."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import structlog

from gateway.config.pki_sections import Directory as Section
from gateway.neighbours import DIRECTORY, Neighbours
from gateway.passwords import secret
from pki.directory import Directory, GroupRules
from pki.groups import DirectoryGroups, Groups
from pki.health import ServerHealth, ServerState
from pki.ldap import DirectoryClient

log = structlog.get_logger()


def make_client(section: Section, neighbours: Neighbours | None = None) -> DirectoryClient:
    """A client for one `[[pki.directories]]`; it connects when it is first asked.

    neighbours: is told of servers that are away.
    Raises DirectoryTrouble for settings that would be unsafe,
    OSError without the password file.
    """
    groups = section.groups
    return DirectoryClient(
        Directory(
            name=section.name,
            urls=section.url,
            base=section.base,
            domains=section.domains,
            order=section.order,
            starttls=section.starttls,
            ca_file=section.ca,
            certificate_file=section.client_certificate,
            key_file=section.client_key,
            external=section.sasl_external,
            bind_dn=section.bind_dn,
            password=secret(section.password_file).decode() if section.password_file else "",
            network_timeout=section.network_timeout,
            operation_timeout=section.operation_timeout,
            connections=section.connections,
            attributes=section.certificate_attributes,
            mail_attributes=section.address_attributes,
            unsafe_plain=section.unsafe_plain,
            ignore_references=section.ignore_references,
            groups=GroupRules(
                base=groups.base,
                object_class=groups.object_class,
                member=groups.member,
                member_of=groups.member_of,
                name=groups.name,
                nested=groups.nested,
                ttl=groups.ttl,
            )
            if groups.base
            else None,
        ),
        changed=partial(_log_change, neighbours),
    )


def make_groups(clients: Iterable[DirectoryClient]) -> Groups:
    """The groups of those directories that have any."""
    return Groups(
        [
            DirectoryGroups(client, client.directory.groups)
            for client in clients
            if client.directory.groups is not None
        ]
    )


def _log_change(neighbours: Neighbours | None, directory: str, server: ServerHealth) -> None:
    if neighbours is not None:
        name = f"{directory} {server.url}"
        if server.state is ServerState.CLOSED:
            neighbours.well(DIRECTORY, name)
        else:
            reason = server.problem.sentence if server.problem else ""
            neighbours.away(DIRECTORY, name, reason)
    if not structlog.is_configured():
        return  # a command: it has no log, and standard output is for its answer
    if server.state is ServerState.CLOSED:
        log.info("directory_server_back", directory=directory, server=server.url)
        return
    log.warning(
        "directory_server_away",
        directory=directory,
        server=server.url,
        code=server.problem.code if server.problem else "",
        reason=server.problem.text if server.problem else "",
    )
