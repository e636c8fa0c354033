"""The address of a PostgreSQL server, taken apart without the driver: commands that read the
configuration only should not wait for that."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urlsplit

from gateway.config.faults import Wrong

# Of libpq's options the ones that say where the server is and how TLS is done with it. What a
# session does once it is there is set by the product; a password stands in a file of its own.
OPTIONS = (
    "channel_binding",
    "connect_timeout",
    "gssencmode",
    "host",
    "krbsrvname",
    "sslcert",
    "sslcrl",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "target_session_attrs",
)
_SCHEME = "postgresql+psycopg"


def postgres_url(value: str) -> str:
    """The address as it is. Raises Wrong, in whose texts no password stands."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise Wrong("this is not an address") from None
    if parts.password is not None:
        raise Wrong("a password does not stand here: put it into a file, database.password_file")
    if parts.scheme != _SCHEME or not parts.path.strip("/") or "/" in parts.path[1:]:
        raise Wrong(
            "an address of PostgreSQL has the form {form}",
            form=f"{_SCHEME}://user@host:5432/database",
        )
    if not parts.username:
        raise Wrong("the address says no user: {form}", form=f"{_SCHEME}://user@…")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if name not in OPTIONS:
            raise Wrong(
                "the address has an option {option} that cannot be used here; there are: {options}",
                option=name,
                options=", ".join(OPTIONS),
            )
    if not hosts_of(value):
        raise Wrong("the address says no host")
    return value


def hosts_of(url: str) -> list[str]:
    """The hosts of an address without their ports; a folder of a Unix socket begins with "/"."""
    parts = urlsplit(url)
    given = [value for name, value in parse_qsl(parts.query) if name == "host"]
    names = [name for value in given for name in value.split(",")]
    if parts.hostname:
        names.append(parts.hostname)
    return [name if name.startswith("/") else _without_port(name) for name in names if name]


def option_of(url: str, name: str) -> str:
    """The last value of an option; "" if it is not there."""
    parts: SplitResult = urlsplit(url)
    return dict(parse_qsl(parts.query)).get(name, "")


def _without_port(place: str) -> str:
    return urlsplit(f"//{place}").hostname or ""
