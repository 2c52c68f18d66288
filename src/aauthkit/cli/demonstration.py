"""`aauthkit demo`: the whole story on this machine."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .failing import SERVERS, CommandError, explain, need
from .stopping import stoppable

if TYPE_CHECKING:
    from ..demo.stage import Stage


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `demo`."""
    person = parser.add_mutually_exclusive_group()
    person.add_argument("--headless", action="store_true", help="play the person's part too; fails if anything differs")
    person.add_argument("--show", choices=("browser", "terminal"), help="how you are brought to a page")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("aauthkit-demo"),
        metavar="FOLDER",
        help="where everything is kept (default: ./aauthkit-demo)",
    )
    parser.add_argument("--no-colour", action="store_true", help="plain text, also on a terminal")
    parser.epilog = (
        "Ctrl-C ends it all. A second run in the same folder keeps your account and the keys.\n"
        "Exit code: 0 all was as expected, 1 something differed."
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Start everything, tell the story, end everything."""
    need("demo", "fastapi", "starlette", "httpx", "a2a", "mcp", *SERVERS)
    from ..demo.stage import Stage
    from ..narration import Narrator
    from ..supervision import Supervisor

    narrator = Narrator(sys.stdout, colour=False if options.no_colour else None)
    narrator.line("Starting an agent provider, a person server and a shop's API, three processes on this machine …")
    stage = Stage.set_up(options.folder.absolute(), narrator)
    with stoppable(), Supervisor(stage.found.root / "logs") as supervisor:
        _start(stage, supervisor)
        try:
            asyncio.run(_tell(stage, options))
        except Exception as error:
            failure = explain(error)
            if failure is None:
                raise
            ended = supervisor.ended()
            if ended is not None:
                raise CommandError(
                    f"the {ended.name} ended by itself:\n{ended.tail()}", f"its log: {ended.log}"
                ) from error
            hint = "; ".join(filter(None, [failure.hint, f"logs: {supervisor.folder}"]))
            raise CommandError(f"not as expected: {failure}", hint, kind=failure.kind) from error
        finally:
            narrator.done()
    return 0


def _start(stage: Stage, supervisor: object) -> None:
    from ..supervision import SupervisionError, Supervisor

    assert isinstance(supervisor, Supervisor)
    try:
        stage.start(supervisor)
    except SupervisionError as error:
        raise CommandError(
            str(error),
            "is it running already, in another terminal? A new folder gets ports that are free: --folder OTHER",
            kind="SupervisionError",
        ) from error
    narrator = stage.narrator
    narrator.line(f"  agent provider  {stage.found.provider}")
    narrator.line(f"  person server   {stage.found.person}")
    narrator.line(f"  a shop's API    {stage.shop}")
    narrator.line(f"  folder          {stage.found.root}: all that is kept, and all that is left behind")
    narrator.line("Loopback profile: http between them, on this machine only. Ctrl-C ends it all.")


async def _tell(stage: Stage, options: argparse.Namespace) -> None:
    from ..agent import Browser, PersonChannel, Terminal
    from ..agent.person import default_channel
    from ..demo.story import tell

    channels: dict[str, type[PersonChannel]] = {"browser": Browser, "terminal": Terminal}
    channel = channels[options.show]() if options.show else default_channel()
    await tell(stage, headless=options.headless, person=channel)
