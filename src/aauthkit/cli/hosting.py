"""`aauthkit init NAME --self-hosted URL`: an agent that is its own provider, under a domain of its owner's."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..agent.self_hosting import host_agent
from ..installation import Installation
from ..selfhosted import PUBLISHED
from .failing import CalledWrongly
from .places import egress_for, folder


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `init` for a self-hosted agent."""
    hosting = parser.add_argument_group("an agent that is its own provider")
    hosting.add_argument("--self-hosted", metavar="URL", help="the domain that vouches for it, https://host")
    hosting.add_argument("--publish", type=Path, metavar="FOLDER", help="where its two public documents are written")


def run(options: argparse.Namespace, found: Installation | None) -> int:
    """Make a self-hosted agent, or write its documents anew."""
    if options.provider is not None:
        raise CalledWrongly("a self-hosted agent has no other provider", "leave out --provider, or --self-hosted")
    if options.publish is None:
        raise CalledWrongly(
            "where are the public documents to be written?", "name a folder with --publish, the root of the domain"
        )
    listed = found is not None and options.self_hosted in found.loopback.origins
    record = host_agent(
        options.name,
        issuer=options.self_hosted,
        person_server=None if options.no_ps else options.ps,
        publish=options.publish,
        home=folder(options),
        egress=egress_for(found),
        egress_file=found.egress_file if found is not None and listed else None,
    )
    written = [str(options.publish / path.removeprefix("/")) for path in PUBLISHED]
    publish = dict(zip((f"{record.provider}{path}" for path in PUBLISHED), written, strict=True))
    if options.json:
        named = {name: getattr(record, name) for name in ("agent", "provider", "person_server", "keys")}
        print(json.dumps({**named, "publish": publish}, indent=2))
        return 0
    print(f"{record.agent} is its own provider; its key is in {record.keys}")
    print("publish, and again after each rotation of that key:")
    for url, path in publish.items():
        print(f"  {path}\n    as {url}")
    return 0
