"""`aauthkit gateway`: enforce AAuth in front of services that cannot be changed."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ..egress import Egress
from ..gateway.configuration import Configuration
from ..gateway.proxy import Envoy
from ..gateway.service import Service, load
from ..running import Listen, RunningError, log_to
from .failing import CommandError, need

FILE: Final = Path("gateway.yaml")
CHECK: Final = Listen("127.0.0.1", 9191)
OWN: Final = Listen("127.0.0.1", 9192)
LOOK_EVERY: Final = 0.5
"""Seconds between two looks whether Envoy is still there."""
_LIBRARIES: Final = ("cel_expr_python", "grpc", "uvicorn", "yaml")


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `gateway`."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    up = _command(commands, "up", "run an Envoy of its own and the decision service, from one command", _up)
    serve = _command(commands, "serve", "run the decision service alone, for an Envoy or agentgateway of yours", _serve)
    for each in (up, serve):
        _add_file(each)
        each.add_argument("--operations", type=_listen, metavar="[HOST:]PORT", help="where health and metrics are")
        each.add_argument("--decisions", type=Path, metavar="FILE", help="where decisions go, a line of JSON each")
    _add_ports(serve)
    shown = commands.add_parser("config", help="print a complete configuration for a proxy of yours")
    proxies = shown.add_subparsers(dest="proxy", metavar="PROXY", required=True)
    for proxy in ("envoy", "agentgateway"):
        show = _command(proxies, proxy, f"print a complete configuration for an {proxy} of yours, in YAML", _show)
        show.add_argument("--json", action="store_true", help="in JSON")
        _add_file(show)
        _add_ports(show)
    check = _command(commands, "check", "look a configuration over before it goes out", _check)
    check.add_argument("config", type=Path, metavar="FILE", nargs="?", default=FILE, help=f"by default {FILE}")
    check.add_argument("--json", action="store_true", help="what it holds, for a program")
    parser.epilog = "Write a file (docs/gateway.md), look it over, run it:\n  aauthkit gateway check gateway.yaml\n"
    parser.epilog += "  aauthkit gateway up --config gateway.yaml"


def _command(commands: Any, name: str, summary: str, run: Callable[[argparse.Namespace], int]) -> Any:
    made = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    made.set_defaults(run=run)
    return made


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=FILE, metavar="FILE", help=f"the gateway's file (default: {FILE})"
    )


def _add_ports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check", type=_listen, default=CHECK, metavar="[HOST:]PORT", help=f"where the proxy asks ({CHECK.port})"
    )
    parser.add_argument(
        "--own", type=_listen, default=OWN, metavar="[HOST:]PORT", help=f"where it leads own paths ({OWN.port})"
    )


def _listen(text: str) -> Listen:
    try:
        return Listen.parse(text)
    except RunningError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _check(options: argparse.Namespace) -> int:
    need("gateway", *_LIBRARIES)
    found = load(options.config, Egress.from_environment())
    if options.json:
        counted_by = ("open", "routes", "rules", "limits")
        told = [
            {
                "identifier": one.identifier,
                "shadow": one.shadow,
                **{name: len(getattr(one, name)) for name in counted_by},
            }
            for one in found.resources
        ]
        print(json.dumps({"resources": told}, indent=2))
        return 0
    for one in found.resources:
        counted = f"{len(one.open)} open, {len(one.routes)} routes, {len(one.rules)} rules, {len(one.limits)} limits"
        print(f"{one.identifier}: {counted}{', in shadow' if one.shadow else ''}")
    return 0


def _show(options: argparse.Namespace) -> int:
    need("gateway", *_LIBRARIES)
    import yaml

    found = load(options.config, Egress.from_environment())
    check, own = options.check, options.own
    if options.proxy == "envoy":
        made = _for_envoy(found, check, own)
    else:
        from ..gateway.agentgateway import configuration

        if found.listener.check != "grpc":
            raise CommandError("agentgateway asks over gRPC alone", "listener: {check: grpc} in the gateway's file")
        made = configuration(found, check=f"{check.host}:{check.port}", own=f"{own.host}:{own.port}")
    if options.json:
        print(json.dumps(made, indent=2))
    else:
        yaml.safe_dump(made, sys.stdout, sort_keys=False)
    return 0


def _for_envoy(found: Configuration, check: Listen, own: Listen) -> dict[str, Any]:
    from ..gateway.envoy import configuration

    listener = found.listener
    pair = (listener.certificate, listener.key)
    return configuration(
        found,
        listen=(listener.address.host, listener.address.port),
        check=(check.host, check.port),
        own=(own.host, own.port),
        grpc=listener.check == "grpc",
        certificate=(str(pair[0]), str(pair[1])) if pair[0] is not None and pair[1] is not None else None,
        covered=listener.covered,
    )


def _serve(options: argparse.Namespace) -> int:
    need("gateway", *_LIBRARIES)
    log_to()
    asyncio.run(_run(options, options.check, options.own, with_envoy=False))
    return 0


def _up(options: argparse.Namespace) -> int:
    need("gateway", *_LIBRARIES, "envoy")
    log_to()
    anywhere = Listen("127.0.0.1", 0)
    asyncio.run(_run(options, anywhere, anywhere, with_envoy=True))
    return 0


async def _run(options: argparse.Namespace, check: Listen, own: Listen, *, with_envoy: bool) -> None:
    """Run until told to end; SIGHUP has the file read again."""
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, again.set)
    with contextlib.ExitStack() as ending:
        envoys: list[Envoy] = []

        def changed(configuration: Configuration) -> None:
            for envoy in envoys:
                envoy.configure(configuration)

        service = Service(
            options.config,
            check=check,
            own=own,
            operations=options.operations,
            decisions=options.decisions,
            changed=changed,
        )
        try:
            await service.start()
            if with_envoy:
                ports = {"check": (check.host, service.check_port), "own": (own.host, service.own_port)}
                envoys.append(ending.enter_context(Envoy(**ports)))
                await envoys[0].start(service.gate.configuration)
            where = service.gate.configuration.listener.address
            listens = where if with_envoy else Listen(check.host, service.check_port)
            print(f"the gateway listens on {listens.host}:{listens.port}", file=sys.stderr, flush=True)
            await _stay(service, envoys, stop, again)
        finally:
            ending.close()  # Envoy first: a request in flight still finds whom to ask
            await service.close()


async def _stay(service: Service, envoys: list[Envoy], stop: asyncio.Event, again: asyncio.Event) -> None:
    following = asyncio.create_task(service.follow())
    try:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY)
            if again.is_set():
                again.clear()
                await service.reload()
            for envoy in envoys:
                if envoy.ended():
                    raise CommandError(f"Envoy ended by itself:\n{envoy.tail()}")
                envoy.refresh(service.gate.configuration)
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
