"""`aauthkit vectors`: measures this package, another implementation, or a running server by the vector pack."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .failing import CalledWrongly, CommandError

if TYPE_CHECKING:
    import ssl

    from ..conformance import Pack, Result, Vector

LEVELS = ("agent", "person", "grant")
LISTEN = "127.0.0.1:8650"


def configure(parser: argparse.ArgumentParser) -> None:
    """The options of `vectors`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    running = _action(actions, "run", "try the vectors, and say which outcomes are other than they must be", run)
    _choosing(running)
    _measured(running)
    _reporting(running)
    running.epilog = _EPILOG
    listing = _action(actions, "list", "the vectors, one a line: id, kind, sections, title", show_list)
    _choosing(listing)
    showing = _action(actions, "show", "vectors whole, with what must come of them", show)
    _choosing(showing)
    for each in (listing, showing):
        each.add_argument("--json", action="store_true", help="the vectors for a program")


def _action(actions: Any, name: str, summary: str, do: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
    below: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    below.set_defaults(run=do)
    return below


_EPILOG = """\
Without --command and --url this package is measured.
A program of --command reads one vector, a JSON object, on standard input and writes its answer:
{"result": {...}}, {"error": {"code": ...}} or {"skip": "why"}. docs/vectors.md is the contract.
With --url the cases that do not hang on their own time are signed anew. The server under test
must trust the pack's issuers, which are served at --listen: as http://NAME.localhost:PORT, or
with --domain as https://NAME.DOMAIN.
Exit code: 0 every outcome is as it must be, 1 some are not, 2 called wrongly.
examples:
  aauthkit vectors run
  aauthkit vectors run --section 11.3 --junit report.xml
  aauthkit vectors run --kind base --command 'python adapter.py'
  aauthkit vectors run --url http://a.localhost:80/agent --route grant=http://a.localhost:80/grant"""


def _choosing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="only these vectors; 'agent-*' names all that begin so")
    parser.add_argument(
        "--kind", action="append", default=[], metavar="KIND", help="only vectors of this kind; repeatable"
    )
    parser.add_argument(
        "--group", action="append", default=[], metavar="GROUP", help="only this file of the pack; repeatable"
    )
    parser.add_argument(
        "--section",
        action="append",
        default=[],
        metavar="SECTION",
        help="only vectors of this section or one below: 11.3, 'SK 3.3' (Signature-Keys), 'RFC 9421 2.2'; repeatable",
    )
    parser.add_argument("--lenient", action="store_true", help="leave out those that are stricter than the documents")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="another pack than the one of this package")


def _measured(parser: argparse.ArgumentParser) -> None:
    program = parser.add_argument_group("another implementation")
    program.add_argument("--command", dest="program", metavar="CMD", help="a program that answers vectors")
    program.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="seconds for one answer (%(default)g)"
    )
    program.add_argument("--jobs", type=int, default=4, metavar="N", help="programs that run at once (%(default)d)")
    server = parser.add_argument_group("a running server")
    server.add_argument("--url", metavar="URL", help="a route that needs an agent token")
    server.add_argument(
        "--route",
        action="append",
        default=[],
        metavar="LEVEL=URL",
        help=f"a route of another level: {', '.join(LEVELS[1:])} (with the scope orders.read); repeatable",
    )
    server.add_argument("--identifier", metavar="ID", help="the server's own identifier; else the origin of URL")
    server.add_argument("--listen", default=LISTEN, metavar="HOST:PORT", help="where issuers are served (%(default)s)")
    server.add_argument("--domain", metavar="DOMAIN", help="serve the issuers over TLS as https://NAME.DOMAIN")
    server.add_argument("--certificate", type=Path, metavar="FILE", help="chain and key (PEM) for --domain")
    server.add_argument("--connect", metavar="HOST:PORT", help="where the server is reached, whatever its name says")
    server.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust of the server under test")


def _reporting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    parser.add_argument("--json", dest="report", metavar="FILE", help="write a JSON report; - for standard output")
    parser.add_argument(
        "--all", dest="every", action="store_true", help="a line for each vector, not only for failures"
    )


def _chosen(options: argparse.Namespace) -> tuple[Pack, tuple[Vector, ...]]:
    from ..conformance import PackError, load
    from ..conformance.pack import KINDS

    unknown = [kind for kind in options.kind if kind not in KINDS]
    if unknown:
        raise CalledWrongly(f"there is no kind {unknown[0]!r}", f"kinds: {', '.join(KINDS)}")
    try:
        pack = load(options.pack)
    except PackError as error:
        raise CommandError(str(error)) from error
    try:
        vectors = pack.select(options.ids, options.kind, options.section, options.group)
    except PackError as error:
        raise CalledWrongly(str(error), "aauthkit vectors list shows all") from error
    if options.lenient:
        vectors = tuple(vector for vector in vectors if vector.stricter is None)
    return pack, vectors


def run(options: argparse.Namespace) -> int:
    """Try vectors."""
    if options.program is not None and options.url is not None:
        raise CalledWrongly("--command and --url are two ways to measure", "give one of them")
    pack, vectors = _chosen(options)
    results, measured = _results(options, pack, vectors)
    _report(options, results, measured)
    return 1 if any(result.outcome in ("failed", "broken") for result in results) else 0


def _results(options: argparse.Namespace, pack: Pack, vectors: Sequence[Vector]) -> tuple[list[Result], str]:
    from .. import __version__

    if options.program is not None:
        from ..conformance import commands

        try:
            return commands.run(vectors, options.program, timeout=options.timeout, jobs=options.jobs), options.program
        except (commands.NoProgram, ValueError) as error:
            raise CommandError(f"the program cannot be run: {error}") from error
    if options.url is not None:
        return _live(options, pack, vectors), options.url
    from ..conformance import own

    logging.getLogger("aauthkit").setLevel(logging.CRITICAL)  # what is refused here is refused on purpose
    return own.run(vectors, pack), f"aauthkit {__version__}"


def _live(options: argparse.Namespace, pack: Pack, vectors: Sequence[Vector]) -> list[Result]:
    from ..conformance import live
    from ..conformance.issuers import Issuers, issuers_of, on_loopback, under_domain

    routes = _routes(options)
    parts = urlsplit(options.url)
    identifier = options.identifier or f"{parts.scheme}://{parts.netloc}"
    host, port = _place("--listen", options.listen)
    if options.domain is not None:
        parties = under_domain(pack.documents, options.domain, identifier)
    else:
        parties = on_loopback(pack.documents, port, identifier)
    names = ", ".join(parties.names[issuer] for issuer in issuers_of(pack.documents)[:3])
    print(f"the pack's issuers are served at {options.listen}: {names}, ...", file=sys.stderr)
    connect = _place("--connect", options.connect) if options.connect is not None else None
    target = live.Target(routes, parties, context=_trusting(options), connect=connect)
    with ExitStack() as stack:
        try:
            served = Issuers(pack.documents, parties, host=host, port=port, context=_certified(options))
        except OSError as error:
            raise CommandError(f"{options.listen}: {error.strerror}", "give another --listen") from error
        stack.enter_context(served)
        try:
            return live.run(vectors, pack, target)
        except live.NoServer as error:
            raise CommandError(str(error), "check the address, and that the server is running") from error


def _place(option: str, value: str) -> tuple[str, int]:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal():
        raise CalledWrongly(f"{option} takes HOST:PORT")
    return host, int(port)


def _routes(options: argparse.Namespace) -> dict[str, str]:
    routes = {"agent": options.url}
    for each in options.route:
        level, mark, url = each.partition("=")
        if not mark or level not in LEVELS:
            raise CalledWrongly(f"--route takes LEVEL=URL, with a level of {', '.join(LEVELS)}")
        routes[level] = url
    for url in routes.values():
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc or "?" in url or "#" in url:
            raise CalledWrongly(f"{url!r} is not the whole URL of a route, without a query")
    return routes


def _certified(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.domain is None:
        return None
    if options.certificate is None:
        raise CalledWrongly("--domain is served over TLS", "give --certificate, a chain and its key in one file")
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate)
    return context


def _trusting(options: argparse.Namespace) -> ssl.SSLContext | None:
    if options.ca is None:
        return None
    import ssl

    return ssl.create_default_context(cafile=str(options.ca))


def _report(options: argparse.Namespace, results: Sequence[Result], measured: str) -> None:
    from ..conformance import reports

    if options.junit is not None:
        options.junit.write_text(reports.junit(results, measured), encoding="utf-8")
    text = json.dumps(reports.as_json(results, measured), indent=2, ensure_ascii=False)
    if options.report == "-":
        print(text)
        return
    if options.report is not None:
        Path(options.report).write_text(f"{text}\n", encoding="utf-8")
    print("\n".join(reports.table(results, every=options.every)))


def show_list(options: argparse.Namespace) -> int:
    """The vectors, one a line."""
    _, vectors = _chosen(options)
    if options.json:
        named = [{"id": v.id, "kind": v.kind, "sections": list(v.sections), "title": v.title} for v in vectors]
        print(json.dumps(named, indent=2, ensure_ascii=False))
        return 0
    for vector in vectors:
        print(f"{vector.id}\t{vector.kind}\t{', '.join(vector.sections)}\t{vector.title}")
    return 0


def show(options: argparse.Namespace) -> int:
    """Vectors whole."""
    _, vectors = _chosen(options)
    if options.json:
        whole = [{**v.asked(), "title": v.title, "stricter": v.stricter, "expected": v.expected} for v in vectors]
        print(json.dumps(whole, indent=2, ensure_ascii=False))
        return 0
    for vector in vectors:
        print(f"{vector.id}: {vector.title}\n{vector.kind}, {', '.join(vector.sections)}")
        if vector.stricter is not None:
            print(f"stricter than it need be: {vector.stricter}")
        for name, part in (("input", vector.input), ("expected", vector.expected)):
            print(f"{name} {json.dumps(part, indent=2, ensure_ascii=False)}")
    return 0
