"""`sceau init DIR`: a configuration that works as it is, with everything it names."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import ExitStack
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
    "intermediates": 0o755,
    "keys": 0o700,
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
        "--data",
        metavar="FOLDER",
        type=Path,
        help="where all lies that changes: database file, index, keys of mail in flight "
        "(otherwise in DIR)",
    )
    parser.add_argument(
        "--database",
        metavar="URL",
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
    data: Path | None = None if args.data is None else args.data.absolute()
    _empty(base, args.directory)
    if data is not None:
        if data.is_relative_to(base):
            raise SceauError(
                "{folder} lies in {directory}",
                hint="leave --data out, and data lies there anyway",
                facts={"folder": str(args.data), "directory": str(args.directory)},
            )
        _empty(data, args.data)
    domain = canonical_domain(args.domain)
    text = configuration(
        organisation=_organisation(args.organisation or domain.partition(".")[0]),
        hostname=canonical_domain(args.hostname or f"sceau.{domain}"),
        domain=domain,
        language=output.language,
        places=_places(data),
        database=_database(args.database, args.password_file, data),
    )
    with ExitStack() as undo:
        if data is not None:
            _made_again(undo, data, 0o700)
        if base.exists():  # in place: it may be one that only root could make
            _made_again(undo, base, 0o755)
            made = base
        else:
            base.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=f".{base.name}.", dir=base.parent))
            undo.callback(shutil.rmtree, made, ignore_errors=True)
            made.chmod(0o755)
        _fill(made, text, domain, data)
        if data is not None:
            _sync_all(data)
            _sync(data.parent)
        _sync_all(made)
        made.rename(base)  # itself, or the name it gets when all is there
        _sync(base.parent)
        undo.pop_all()
    _report(args.directory, output)
    return DONE


def _empty(folder: Path, named: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SceauError(
            "{directory} is not empty; nothing in it was changed",
            hint="name a folder that does not exist yet",
            facts={"directory": str(named)},
        )


def _made_again(undo: ExitStack, folder: Path, mode: int) -> None:
    """Make an empty folder if there is none; if anything fails, it is as it was."""
    if folder.exists():
        undo.callback(_clear, folder)
        return
    folder.mkdir(parents=True)
    folder.chmod(mode)
    undo.callback(shutil.rmtree, folder, ignore_errors=True)


def _clear(folder: Path) -> None:
    for one in folder.iterdir():
        shutil.rmtree(one) if one.is_dir() else one.unlink()


def _organisation(value: str) -> str:
    from gateway.config.faults import Wrong
    from gateway.config.kinds import slug

    try:
        return slug.read(value, Path())
    except Wrong as wrong:
        template, facts = wrong.reasons[0]
        raise SceauError(template, hint="--organisation interior", facts=facts) from None


def _places(data: Path | None) -> dict[str, str]:
    """Where the index and the keys of mail in flight lie, as TOML writes it."""
    if data is None:
        return {"working_keys": '"keys/working"', "index": '"data/index"'}
    return {
        "working_keys": json.dumps(str(data / "working")),
        "index": json.dumps(str(data / "index")),
    }


def _database(url: str | None, password_file: Path | None, data: Path | None) -> str:
    """The keys of [database], as TOML, whose basic strings are written like JSON's."""
    if url is None:
        url = f"sqlite:///{'data' if data is None else data}/sceau.db"
    lines = json.dumps(url)
    if password_file is not None:
        lines += f"\npassword_file = {json.dumps(str(password_file.absolute()))}"
    return lines


def configuration(
    *,
    organisation: str,
    hostname: str,
    domain: str,
    language: str,
    places: Mapping[str, str],
    database: str,
) -> str:
    """The text of the file, for values that are already checked."""
    text = (files("gateway.config") / "template.toml").read_text("utf-8")
    return Template(text).substitute(
        organisation=organisation,
        hostname=hostname,
        domain=domain,
        language=language,
        database=database,
        **places,
    )


def _fill(base: Path, text: str, domain: str, data: Path | None) -> None:
    from archive.recipients import generate_recipient
    from gateway.config import load
    from gateway.config.selfmade import make_seal
    from gateway.install import make_database
    from pki.persons import create_kek

    for name, mode in FOLDERS.items():
        (base / name).mkdir()
        (base / name).chmod(mode)  # mkdir's own mode is cut by the umask
    places = (
        (base / "data", base / "keys" / "working") if data is None else (data, data / "working")
    )
    for folder in (*places, places[0] / "index"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
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
