"""`sceau init DIR`: a configuration that works as it is, with everything it names."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from string import Template

from gateway.cli.exits import DONE
from gateway.cli.options import add_json
from gateway.cli.output import Output, output_of
from gateway.errors import SceauError

HELP = "write a configuration that works, with comments"

# What lies in the folder, and who may look. The keys' folders are closed to everybody else even
# before the first key is written.
FOLDERS = {
    "anchors": 0o755,
    "authority": 0o700,
    "crls": 0o755,
    "data": 0o700,
    "data/index": 0o700,
    "intermediates": 0o755,
    "keys": 0o700,
    "keys/working": 0o700,
    "recipients": 0o755,
}
ARCHIVE_RECIPIENTS = ("authority", "escrow")


def configure(parser: ArgumentParser) -> None:
    """Options of `sceau init`."""
    parser.add_argument("directory", metavar="DIR", type=Path, help="folder that is made")
    parser.add_argument("--domain", default="example.org", help="our mail domain")
    parser.add_argument("--hostname", help="name of this machine (otherwise sceau.DOMAIN)")
    parser.add_argument(
        "--organisation", help="short name of the organisation (otherwise from the domain)"
    )
    parser.add_argument(
        "--database",
        metavar="URL",
        default="sqlite:///data/sceau.db",
        help="postgresql+psycopg://USER@HOST/NAME, an empty database (otherwise a file)",
    )
    parser.add_argument(
        "--password-file", metavar="FILE", type=Path, help="password of the database"
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Make the folder, all of it or nothing. Raises SceauError (not empty, a wrong value)."""
    from pki.addresses import canonical_domain

    output = output_of(args)
    base: Path = args.directory.absolute()
    if base.exists() and (not base.is_dir() or any(base.iterdir())):
        raise SceauError(
            "{directory} is not empty; nothing in it was changed",
            hint="name a folder that does not exist yet",
            facts={"directory": str(args.directory)},
        )
    domain = canonical_domain(args.domain)
    text = configuration(
        organisation=_organisation(args.organisation or domain.partition(".")[0]),
        hostname=canonical_domain(args.hostname or f"sceau.{domain}"),
        domain=domain,
        language=output.language,
        database=_database(args.database, args.password_file),
    )

    base.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{base.name}.", dir=base.parent))
    try:
        _fill(made, text, domain)
        made.chmod(0o755)
        _sync_all(made)
        made.rename(base)  # over an empty folder at most
        _sync(base.parent)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    _report(args.directory, output)
    return DONE


def _organisation(value: str) -> str:
    from gateway.config.faults import Wrong
    from gateway.config.kinds import slug

    try:
        return slug.read(value, Path())
    except Wrong as wrong:
        template, facts = wrong.reasons[0]
        raise SceauError(template, hint="--organisation interior", facts=facts) from None


def _database(url: str, password_file: Path | None) -> str:
    """The keys of [database], as TOML, whose basic strings are written like JSON's."""
    lines = json.dumps(url)
    if password_file is not None:
        lines += f"\npassword_file = {json.dumps(str(password_file.absolute()))}"
    return lines


def configuration(
    *, organisation: str, hostname: str, domain: str, language: str, database: str
) -> str:
    """The text of the file, for values that are already checked."""
    text = (files("gateway.config") / "template.toml").read_text("utf-8")
    return Template(text).substitute(
        organisation=organisation,
        hostname=hostname,
        domain=domain,
        language=language,
        database=database,
    )


def _fill(base: Path, text: str, domain: str) -> None:
    from archive.recipients import generate_recipient
    from gateway.config import load
    from gateway.config.selfmade import make_seal
    from gateway.install import make_database
    from pki.persons import create_kek

    for name, mode in FOLDERS.items():
        (base / name).mkdir()
        (base / name).chmod(mode)  # mkdir's own mode is cut by the umask
    _write(base / "sceau.toml", text.encode(), 0o644)
    for name in ARCHIVE_RECIPIENTS:
        generate_recipient(
            name, base / "recipients" / f"{name}.pub", base / "authority" / f"{name}.key"
        )
    create_kek(base / "keys" / "kek")
    key, certificate = make_seal(domain=domain, moment=datetime.now(UTC))
    _write(base / "keys" / "seal.key", key, 0o600)
    _write(base / "keys" / "seal.crt", certificate, 0o644)
    make_database(load(base / "sceau.toml"))


def _write(path: Path, data: bytes, mode: int) -> None:
    # O_EXCL and the mode at creation: no moment at which others could read a key, and no file
    # of somebody else is followed or overwritten.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _sync_all(folder: Path) -> None:
    """On the disk, names too: mail is soon sealed to these keys, and a power cut would leave an
    archive that nobody can open."""
    for place, _, names in os.walk(folder):
        for name in names:
            _sync(Path(place, name))
        _sync(Path(place))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _report(base: Path, output: Output) -> None:
    config = base / "sceau.toml"
    private = [str(base / "authority" / f"{name}.key") for name in ARCHIVE_RECIPIENTS]
    if output.as_json:
        output.record({"config": str(config), "private_keys_to_move": private})
    output.say("{config} is written and can be used as it is.", config=str(config))
    output.say("Next: sceau check --config {config}", config=str(config))
    output.note(
        "WARNING: {first} and {second} open the whole archive. Move them off this machine, each "
        "to its own keeper, before the first mail.",
        first=private[0],
        second=private[1],
    )
    output.note(
        "WARNING: keys/seal.crt was made here and nobody trusts it: put your PKI's in place."
    )
