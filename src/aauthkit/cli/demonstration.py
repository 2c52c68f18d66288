"""`aauthkit demo`: the whole story on this machine."""

from __future__ import annotations

import argparse
import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from .failing import CommandError

NEEDED: Final = ("uvicorn", "fastapi", "argon2", "jinja2", "markdown_it", "nh3")


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `demo`."""
    parser.add_argument("--headless", action="store_true", help="play the person's part too; fails if anything differs")
    parser.add_argument(
        "--folder", type=Path, default=Path("aauthkit-demo"), help="where everything is kept (default: ./aauthkit-demo)"
    )
    parser.add_argument("--show", choices=("browser", "terminal"), help="how you are brought to a page")
    parser.add_argument("--no-colour", action="store_true", help="plain text")
    parser.epilog = "Ctrl-C ends it all. A second run in the same folder keeps your account and the keys."
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start everything, tell the story, end everything."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"the demonstration needs libraries that are not installed ({', '.join(missing)})",
            "pip install 'aauthkit[demo]'",
        )
    from ..demo.stage import DemonstrationFailed, Stage
    from ..demo.visitor import VisitFailed
    from ..narration import Narrator
    from ..supervision import Supervisor

    narrator = Narrator(sys.stdout, colour=False if options.no_colour else None)
    stage = Stage.set_up(options.folder.absolute(), narrator)
    with Supervisor(stage.found.root / "logs") as supervisor:
        stage.start(supervisor)
        narrator.line("Three processes on this machine, speaking AAuth:")
        narrator.line(f"  agent provider  {stage.found.provider}")
        narrator.line(f"  person server   {stage.found.person}")
        narrator.line(f"  a shop's API    {stage.shop}")
        narrator.line(f"  everything they keep is in {stage.found.root}")
        try:
            asyncio.run(_tell(stage, options))
        except (DemonstrationFailed, VisitFailed) as failed:
            raise CommandError(f"not as expected: {failed}", f"logs: {stage.found.root / 'logs'}") from failed
    return 0


async def _tell(stage: object, options: argparse.Namespace) -> None:
    from ..agent import Browser, PersonChannel, Terminal
    from ..agent.person import default_channel
    from ..demo.stage import Stage
    from ..demo.story import tell

    assert isinstance(stage, Stage)
    channels: dict[str, PersonChannel] = {"browser": Browser(), "terminal": Terminal()}
    channel = channels[options.show] if options.show else default_channel()
    await tell(stage, headless=options.headless, person=channel)
