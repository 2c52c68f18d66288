"""Options that several commands share: where things are kept."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..agent.home import home_folder
from ..installation import Installation

__all__ = ["add_home", "home_folder", "installation", "use"]


def add_home(parser: argparse.ArgumentParser) -> None:
    """`--home`."""
    parser.add_argument(
        "--home",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="the installation's folder (default: AAUTHKIT_HOME, else ~/.local/share/aauthkit)",
    )


def installation(options: argparse.Namespace) -> Installation:
    """The installation that the options mean. Raises `InstallationError`."""
    return Installation.load(options.home or home_folder())


def use(found: Installation) -> None:
    """Make this process take part in the installation: its agents, its loopback profile."""
    for name, value in found.environment().items():
        os.environ.setdefault(name, value)
