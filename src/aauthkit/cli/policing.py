"""`aauthkit policy`: a gateway's rules on decisions that it logged."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..egress import Egress
from ..gateway.recordings import Recorded, changes, parts_of, read_recordings, resource_of, run_again
from ..gateway.rules import Rule, Ruling
from ..gateway.service import load
from ..inspection import plain
from .failing import CommandError, need
from .gateway import FILE


def configure(parser: argparse.ArgumentParser) -> None:
    """The commands below `policy`."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, summary, run in (
        ("test", "run the rules of a file on a decision log, and say which decisions would change", _test),
        ("explain", "say which rule decided, and what every part of every rule gave", _explain),
    ):
        each = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        each.add_argument(
            "--config", type=Path, default=FILE, metavar="FILE", help=f"the gateway's file (default: {FILE})"
        )
        each.add_argument("--json", action="store_true", help="a line of JSON for each decision that is told of")
        each.add_argument("--line", type=int, metavar="N", help="that line of the log alone")
        each.add_argument("log", type=Path, metavar="LOG", help="what a gateway wrote for --decisions")
        each.set_defaults(run=run)


def _read(options: argparse.Namespace) -> list[Recorded]:
    need("gateway", "cel_expr_python", "yaml")
    with options.log.open(encoding="utf-8") as lines:
        return [one for one in read_recordings(lines) if options.line in (None, one.line)]


def _test(options: argparse.Namespace) -> int:
    recorded = _read(options)
    count, found = changes(load(options.config, Egress.from_environment()), recorded)
    for change in found:
        was, now = ("allowed", "refused") if change.recorded.allowed else ("refused", "allowed")
        rule = change.ruling.rule.name if change.ruling.rule is not None else None
        if options.json:
            print(json.dumps({"line": change.recorded.line, "was": was, "would_be": now, "rule": rule}))
        else:
            by = f" by {rule}" if rule else ""
            what = f"{change.recorded.facts['request']['method']} {change.recorded.facts['request']['path']}"
            print(f"line {change.recorded.line}: {plain(what)} was {was}, would be {now}{by}")
    if not options.json:
        print(f"{count} decisions, {len(found)} would change")
    return 1 if found else 0


def _explain(options: argparse.Namespace) -> int:
    configuration = load(options.config, Egress.from_environment())
    chosen = _read(options)
    if not chosen:
        raise CommandError("rules had no say in any such decision", "challenges and limits are not decided by rules")
    for recorded in chosen:
        ruling, resource = run_again(configuration, recorded), resource_of(configuration, recorded)
        if ruling is None or resource is None:
            print(f"line {recorded.line}: {recorded.resource} is not configured any more")
            continue
        decided = ruling.rule.name if ruling.rule is not None else "no rule"
        if options.json:
            print(json.dumps(_as_json(resource.rules, recorded, ruling)))
            continue
        print(f"line {recorded.line}: {'allowed' if ruling.allowed else 'refused'}, decided by {decided}")
        for rule in resource.rules:
            _tell(rule, recorded, decided=rule is ruling.rule)
    return 0


def _as_json(rules: Sequence[Rule], recorded: Recorded, ruling: Ruling) -> dict[str, Any]:
    parts = {rule.name: [[part.text, part.said] for part in parts_of(rule, recorded)] for rule in rules}
    rule = ruling.rule.name if ruling.rule is not None else None
    return {"line": recorded.line, "allowed": ruling.allowed, "rule": rule, "parts": parts}


def _tell(rule: Rule, recorded: Recorded, *, decided: bool) -> None:
    parts = parts_of(rule, recorded)
    if not parts:
        return
    print(f"  {'>' if decided else ' '} {rule.effect} {rule.name}{' (in shadow)' if rule.shadow else ''}")
    for part in parts:
        print(f"      {part.said:<6} {part.text}")
