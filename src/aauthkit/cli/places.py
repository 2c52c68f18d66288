"""Where things are kept: the folder that the options mean, the installation in it, and what may be connected to."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..agent.home import home_folder
from ..egress import Egress
from ..egress.configuration import VARIABLE
from ..installation import Installation
from .failing import CommandError


def add_home(parser: argparse.ArgumentParser) -> None:
    """`--home`."""
    parser.add_argument(
        "--home",
        type=Path,
        metavar="FOLDER",
        help="where everything is kept (default: AAUTHKIT_HOME, else this user's folder for application data)",
    )


def folder(options: argparse.Namespace) -> Path:
    """The folder that the options mean."""
    return Path(options.home or home_folder()).absolute()


def installed(options: argparse.Namespace) -> Installation | None:
    """The installation there, or `None` where there is none. Raises `InstallationError` if it cannot be used."""
    home = folder(options)
    return Installation.load(home) if (home / "installation.json").exists() else None


def egress_for(found: Installation | None) -> Egress:
    """What may be connected to: as `AAUTHKIT_EGRESS` says, else as the installation does, else https alone."""
    if found is None or os.environ.get(VARIABLE):
        return Egress.from_environment()
    return Egress.from_file(found.egress_file)


def with_next_step(failure: CommandError, found: Installation | None) -> CommandError:
    """The same failure; where it has no next step, and the installation is not running, that is it."""
    down = found.not_running() if found is not None and not failure.hint else []
    if down:
        failure.hint = f"{' and '.join(down)} {'is' if len(down) == 1 else 'are'} not running: start with `aauthkit up`"
    return failure
