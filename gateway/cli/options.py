"""Options that several commands have, spelled and read the same everywhere."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.errors import SceauError

if TYPE_CHECKING:
    from gateway.config import Config
    from pki.token_uri import TokenKeyName

DEFAULT_PLACES = (Path("sceau.toml"), Path("/etc/sceau/sceau.toml"))


def add_json(parser: ArgumentParser) -> None:
    """`--json`; `output_of(args)` obeys it."""
    parser.add_argument(
        "--json", dest="as_json", action="store_true", help="print one JSON object a line"
    )


def add_config(parser: ArgumentParser) -> None:
    """`--config FILE`; `config_of(args)` reads it."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="configuration (otherwise SCEAU_CONFIG, ./sceau.toml, /etc/sceau/sceau.toml)",
    )


def add_moment(parser: ArgumentParser) -> None:
    """`--at RFC3339`; `args.at` is an aware UTC time, or None."""
    parser.add_argument(
        "--at", metavar="RFC3339", type=moment, help="check as of this time, not as of now"
    )


def config_of(args: Namespace, environment: Mapping[str, str] | None = None) -> Config:
    """The configuration this command line means. Raises ConfigFaults, SceauError."""
    from gateway.config import load  # not for commands without a configuration: it takes time

    return load(config_path(args, os.environ if environment is None else environment))


def config_path(args: Namespace, environment: Mapping[str, str]) -> Path:
    """Which file that is. Raises SceauError when none is named and none is found."""
    if args.config is not None:
        return Path(args.config)
    if environment.get("SCEAU_CONFIG"):
        return Path(environment["SCEAU_CONFIG"])
    for place in DEFAULT_PLACES:
        if _is_there(place):
            return place
    raise SceauError(
        "there is no configuration: neither --config, nor SCEAU_CONFIG, nor {places}",
        hint="sceau init DIR writes one that works",
        facts={"places": ", ".join(map(str, DEFAULT_PLACES))},
    )


def _is_there(place: Path) -> bool:
    try:
        return place.exists()
    except PermissionError:
        # `runuser -u sceau` in /root: the folder one stands in but may not look into has nothing
        # for us. A named place that is closed is there, and opening it says so.
        return place.is_absolute()


def key_source(text: str) -> Path | TokenKeyName:
    """A file with a key, or a key in a token (RFC 7512). Raises PrivateKeyError."""
    if text[:7].lower() != "pkcs11:":
        return Path(text)
    from pki.token_uri import parse_token_uri

    return parse_token_uri(text)


def count(text: str) -> int:
    """A number of things, at least one. Raises SceauError."""
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise SceauError("{value} is not a number from 1 on", facts={"value": text})
    return int(text)


def moment(text: str) -> datetime:
    """A time as RFC 3339 writes it, with its offset. Raises SceauError."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or "T" not in text.upper():
        raise SceauError(
            "{value} is not a time with its offset",
            hint="write 2026-11-21T14:00:00Z",
            facts={"value": text},
        )
    return found.astimezone(UTC)
