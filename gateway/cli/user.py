"""`sceau user`: the logins of the users file."""

from __future__ import annotations

import getpass
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.exits import DONE, NO
from gateway.cli.files import read_password
from gateway.cli.options import add_config, add_json, config_of
from gateway.cli.output import output_of
from gateway.cli.usage import UsageError
from gateway.errors import NotFound, SceauError

if TYPE_CHECKING:
    from gateway.senders.users import User

HELP = "logins of the users file: add, list, change, remove, try out"

_SHORTEST = 8
_LONGEST = 1024


def configure(parser: ArgumentParser) -> None:
    """The verbs."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    add = verbs.add_parser("add", help="make a login; the password is asked for, or in a file")
    add.add_argument("login", metavar="LOGIN", help="small letters, digits and . _ + - @")
    add.add_argument(
        "--address",
        dest="addresses",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="one of his own mail addresses, which he may send as (repeatable)",
    )
    add.set_defaults(run=_add)
    change = verbs.add_parser("password", help="give a login a new password")
    change.add_argument("login", metavar="LOGIN", help="the login")
    change.set_defaults(run=_password)
    listing = verbs.add_parser("list", help="logins and their own addresses")
    listing.set_defaults(run=_list)
    remove = verbs.add_parser("remove", help="take a login away, at once")
    remove.add_argument("login", metavar="LOGIN", help="the login")
    remove.set_defaults(run=_remove)
    check = verbs.add_parser("check", help="whether a password is the one of a login")
    check.add_argument("login", metavar="LOGIN", help="the login")
    check.set_defaults(run=_check)
    for verb in (add, change, check):
        verb.add_argument(
            "--password-file",
            type=Path,
            metavar="FILE",
            help="file with the password; one newline at its end is dropped",
        )
    for verb in (add, change, listing, remove, check):
        verb.add_argument(
            "--users",
            type=Path,
            metavar="FILE",
            help="the users file (otherwise auth.users of the configuration)",
        )
        add_config(verb)
        add_json(verb)


def _add(args: Namespace) -> int:
    from gateway.senders.passwords import Passwords
    from gateway.senders.users import User, Users, change
    from pki.addresses import canonical

    output = output_of(args)
    path, login = _file(args), _login(args.login)
    addresses = tuple(dict.fromkeys(canonical(each) for each in args.addresses))
    stored = Passwords().hash(_new_password(args))

    def act(users: Users) -> Users:
        if login in users:
            raise SceauError(
                "there is a login {login} already",
                hint="sceau user password {login} changes its password",
                facts={"login": login},
            )
        return {**users, login: User(login, stored, addresses)}

    change(path, act)
    if output.as_json:
        output.record({"login": login, "addresses": list(addresses)})
        return DONE
    output.say("{login} can log in from now on.", login=login)
    if not addresses:
        output.note(
            "{login} has no address of his own: he may send only what [[senders]] gives him",
            login=login,
        )
    return DONE


def _password(args: Namespace) -> int:
    from dataclasses import replace

    from gateway.senders.passwords import Passwords
    from gateway.senders.users import Users, change

    output = output_of(args)
    path, login = _file(args), _login(args.login)
    stored = Passwords().hash(_new_password(args))

    def act(users: Users) -> Users:
        return {**users, login: replace(_known(users, login), hash=stored)}

    change(path, act)
    if output.as_json:
        output.record({"login": login})
    else:
        output.say("The new password of {login} holds from now on.", login=login)
    return DONE


def _list(args: Namespace) -> int:
    from gateway.senders.users import read

    output = output_of(args)
    users = [user for _, user in sorted(read(_file(args)).items())]
    if output.as_json:
        for user in users:
            output.record({"login": user.login, "addresses": list(user.addresses)})
    else:
        output.table(["login", "addresses"], [[u.login, ", ".join(u.addresses)] for u in users])
    return DONE


def _remove(args: Namespace) -> int:
    from gateway.senders.users import Users, change

    output = output_of(args)
    path, login = _file(args), _login(args.login)

    def act(users: Users) -> Users:
        _known(users, login)
        return {name: user for name, user in users.items() if name != login}

    change(path, act)
    if output.as_json:
        output.record({"login": login})
    else:
        output.say("{login} can no longer log in.", login=login)
    return DONE


def _check(args: Namespace) -> int:
    from gateway.senders.passwords import Passwords
    from gateway.senders.users import read

    output = output_of(args)
    path, login = _file(args), _login(args.login)
    user = _known(read(path), login)
    right = Passwords().matches(user.hash, _old_password(args))
    if output.as_json:
        output.record({"login": login, "right": right})
    elif right:
        output.say("This is the password of {login}.", login=login)
    else:
        output.say("This is not the password of {login}.", login=login)
    return DONE if right else NO


# -- input -----------------------------------------------------------------------------------------


def _file(args: Namespace) -> Path:
    if args.users is not None:
        return Path(args.users)
    found = config_of(args).auth.users
    if found is None:
        raise SceauError(
            "the configuration names no users file",
            hint="name it as auth.users, or with --users",
        )
    return found


def _login(text: str) -> str:
    from gateway.senders.users import is_file_login

    if not is_file_login(text):
        raise UsageError(
            "{login} cannot be a login: small letters, digits, and . _ + - @ between them",
            facts={"login": text},
        )
    return text


def _known(users: dict[str, User], login: str) -> User:
    if login not in users:
        raise NotFound("there is no login {login}", facts={"login": login})
    return users[login]


def _new_password(args: Namespace) -> str:
    password = _old_password(args)
    if args.password_file is None and password != getpass.getpass("again: "):
        raise SceauError("these are two different passwords; nothing was changed")
    if not _SHORTEST <= len(password) <= _LONGEST:
        raise SceauError(
            "a password has {least} to {most} characters",
            facts={"least": str(_SHORTEST), "most": str(_LONGEST)},
        )
    return password


def _old_password(args: Namespace) -> str:
    if args.password_file is not None:
        octets = read_password(args.password_file) or b""
        try:
            return octets.decode("utf-8")
        except UnicodeDecodeError:
            raise SceauError(
                "{file}: the password is not UTF-8", facts={"file": str(args.password_file)}
            ) from None
    if not sys.stdin.isatty():
        raise UsageError("{name} needs a value", facts={"name": "--password-file"})
    return getpass.getpass()
