"""Where a policy command takes its rules from: the configuration, or a file of its own."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.cli.options import config_path
from gateway.errors import SceauError

if TYPE_CHECKING:
    from gateway.config import Config, PolicySection


def base_config(args: Namespace) -> Config | None:
    """The configuration of this command line; None where none is named and none is found.

    Raises ConfigFaults.
    """
    from gateway.config import load

    try:
        path = config_path(args, os.environ)
    except SceauError:
        return None
    return load(path)


def policy_section(args: Namespace, file: Path | None) -> PolicySection:
    """The rules of `file`, checked against the configuration if there is one; without a file
    those in force. Raises ConfigFaults, SceauError.
    """
    from gateway.config import load, load_policy

    if file is None:
        return load(config_path(args, os.environ)).policy
    return load_policy(file, base_config(args))
