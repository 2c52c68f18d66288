"""`python -m scripts.vectors.mutate`: switches each check of the core off in turn; the pack must notice every one.

A mutant is one change to one function: a condition that guards a `raise` made false, one operand of such a condition
made false, a call that checks and gives nothing made void, an exception let through untranslated. The changed code is
put in place of the live function's, in this process, and the pack is run until the first vector that does not pass.
Survivors are listed, and are an error where `mutants-allowed.json` gives no reason for them.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import gc
import importlib
import json
import logging
import sys
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aauthkit.conformance import own
from aauthkit.conformance.pack import Pack, Vector, load
from aauthkit.protocol import ed25519

ALLOWED = Path(__file__).with_name("mutants-allowed.json")
PACKAGE = Path(own.__file__).parents[1]


@dataclass
class Mutant:
    """One check that is off."""

    module: str
    function: str
    line: int
    what: str
    code: types.CodeType = field(repr=False)

    @property
    def name(self) -> str:
        """The same while the check is: no line number stands in it."""
        return f"{self.module}:{self.function}: {self.what}"


def modules() -> list[str]:
    """Every module of `protocol`, and `verification`."""
    inner = sorted(path.stem for path in (PACKAGE / "protocol").glob("*.py") if path.stem != "__init__")
    return [*(f"protocol.{stem}" for stem in inner), "verification"]


def _raises(body: Sequence[ast.stmt]) -> bool:
    """Whether a block ends by raising."""
    return bool(body) and isinstance(body[-1], ast.Raise)


def _refuses(body: Sequence[ast.stmt]) -> bool:
    """Whether a block ends by raising, or by answering `False` or `None`."""
    last = body[-1] if body else None
    negative = (
        isinstance(last, ast.Return) and isinstance(last.value, ast.Constant) and last.value.value in (False, None)
    )
    return _raises(body) or negative


def _sites(function: ast.FunctionDef) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """Each mutation: the node that is replaced, what is said of it, and the replacement."""
    asks = isinstance(function.returns, ast.Name) and function.returns.id == "bool"
    for node in ast.walk(function):
        if isinstance(node, ast.If) and (_refuses(node.body) or function.name.startswith("_required")):
            yield from _off(node.test, f"if {ast.unparse(node.test)}", False)
        elif isinstance(node, ast.If) and _raises(node.orelse):
            yield from _off(node.test, f"else of {ast.unparse(node.test)}", True)
        elif isinstance(node, ast.Return) and asks and isinstance(node.value, ast.expr):
            if not isinstance(node.value, ast.Constant):
                yield from _off(node.value, f"return {ast.unparse(node.value)}", True)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Tuple) and not _harmless(node):
            yield node, ast.unparse(node), ast.Pass()
        elif isinstance(node, ast.ExceptHandler) and _raises(node.body):
            caught = ast.unparse(node.type) if node.type is not None else ""
            raised = node.body[-1]
            bare = isinstance(raised, ast.Raise) and raised.exc is None
            yield raised, f"except {caught}: {ast.unparse(raised)}", ast.Pass() if bare else ast.Raise()


def _off(test: ast.expr, what: str, value: bool) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """A condition made `value`, and so each part of it that is a check of its own."""
    yield test, what, ast.Constant(value)
    for operand, forced in _parts(test, value):
        yield operand, f"{what} [{ast.unparse(operand)}]", ast.Constant(forced)


def _parts(test: ast.expr, value: bool) -> Iterator[tuple[ast.expr, bool]]:
    """The operands of which each alone decides against `value`, at any depth."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        if isinstance(test.operand, ast.BoolOp):
            yield from _parts(test.operand, not value)
    elif isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And if value else ast.Or):
        for operand in test.values:
            yield operand, value
            yield from _parts(operand, value)


def _harmless(node: ast.Expr) -> bool:
    """Calls that check nothing."""
    call = node.value
    return isinstance(call, ast.Call) and ast.unparse(call.func).split(".")[0] in ("log", "super", "object")


def _codes(code: types.CodeType, path: str = "") -> Iterator[tuple[str, types.CodeType]]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant.co_qualname, constant
            yield from _codes(constant, constant.co_qualname)


class _Replace(ast.NodeTransformer):
    def __init__(self, target: tuple[int, int, type], replacement: ast.AST) -> None:
        self.target, self.replacement, self.done = target, replacement, False

    def visit(self, node: ast.AST) -> Any:
        if not self.done and (getattr(node, "lineno", 0), getattr(node, "col_offset", 0), type(node)) == self.target:
            self.done = True
            return ast.copy_location(copy.deepcopy(self.replacement), node)
        return self.generic_visit(node)


def _enclosing(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every outermost function, with its qualified name."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}", inner  # type: ignore[misc]


def mutants(module: str) -> list[Mutant]:
    """Every mutant of one module."""
    path = PACKAGE / (module.replace(".", "/") + ".py")
    text = path.read_text(encoding="utf-8")
    found: list[Mutant] = []
    for name, function in _enclosing(ast.parse(text)):
        for node, what, replacement in _sites(function):
            position = (node.lineno, node.col_offset, type(node))  # type: ignore[attr-defined]
            changed = ast.fix_missing_locations(_Replace(position, replacement).visit(ast.parse(text)))
            codes = dict(_codes(compile(changed, str(path), "exec")))
            found.append(Mutant(module, name, node.lineno, what, codes[name]))  # type: ignore[attr-defined]
    return found


def _live(mutant: Mutant) -> types.FunctionType | None:
    """The function that a mutant stands for, beneath whatever wraps it."""
    module = importlib.import_module(f"aauthkit.{mutant.module}")
    owner: Any = module
    *classes, last = mutant.function.split(".")
    for each in classes:
        owner = getattr(owner, each)
    value = owner.__dict__[last]
    for attribute in ("__func__", "fget", "func", "__wrapped__"):
        value = getattr(value, attribute, value)
    return value if isinstance(value, types.FunctionType) else None


def _forget() -> None:
    """Empty every memory of the package's functions: what they remember was decided with the check on."""
    for each in gc.get_objects():
        if isinstance(each, functools._lru_cache_wrapper) and str(each.__module__).startswith("aauthkit"):
            each.cache_clear()


def killer(mutant: Mutant, pack: Pack, order: Sequence[Vector]) -> str | None:
    """The first vector that notices, or `None`."""
    function = _live(mutant)
    if function is None or function.__code__.co_freevars != mutant.code.co_freevars:
        return "(cannot be put in place)"
    before, verify = function.__code__, ed25519.verify
    _forget()
    function.__code__ = mutant.code
    if mutant.function in ("verify_with_openssl", "_sound_point"):
        ed25519.verify = ed25519.verify_with_openssl  # the way in where libsodium is not at hand
    try:
        last = own.run(order, pack, until_failure=True)[-1]
    except Exception as error:
        return f"({type(error).__name__} while running)"
    finally:
        function.__code__, ed25519.verify = before, verify
    return last.vector.id if last.outcome in ("failed", "broken") else None


def allowed() -> dict[str, str]:
    """Reason by mutant, for those that no vector can notice; a name that ends in `*` stands for all that begin so."""
    found: dict[str, str] = json.loads(ALLOWED.read_text(encoding="utf-8"))
    return found


def reason_for(mutant: Mutant, reasons: Mapping[str, str]) -> str | None:
    """Why no vector can notice this mutant, where that is known."""
    if mutant.name in reasons:
        return reasons[mutant.name]
    return next((why for name, why in reasons.items() if name[-1] == "*" and mutant.name.startswith(name[:-1])), None)


def run(names: Sequence[str], sample: int = 1, tell: Any = None) -> tuple[dict[str, str], list[Mutant]]:
    """Killers by mutant, and the survivors; with `sample` n only every n-th mutant."""
    pack, killed, survivors = load(), {}, []
    order = list(pack.vectors)
    broken = [result for result in own.run(order, pack) if result.outcome in ("failed", "broken")]
    if broken:
        raise RuntimeError(f"with every check on, {broken[0].vector.id} does not pass: {broken[0].reason}")
    every = [mutant for name in names for mutant in mutants(name)][::sample]
    for mutant in every:
        by = killer(mutant, pack, order)
        if by is None:
            survivors.append(mutant)
        else:
            killed[mutant.name] = by
            # The checks of one function are noticed by like vectors: what noticed this one is tried first next time.
            order.sort(key=lambda vector: vector.id != by)
        if tell is not None:
            tell(mutant, by)
    _forget()
    return killed, survivors


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.vectors.mutate", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="such as protocol.jose; all where none is named")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="only every N-th mutant")
    parser.add_argument("--verbose", action="store_true", help="a line for each mutant")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.monotonic()

    def tell(mutant: Mutant, by: str | None) -> None:
        if options.verbose:
            print(f"{'survived' if by is None else by:40} {mutant.name}")

    killed, survivors = run(options.modules or modules(), options.sample, tell)
    reasons = allowed()
    unexplained = [mutant for mutant in survivors if reason_for(mutant, reasons) is None]
    for mutant in unexplained:
        print(f"survived: {mutant.module}:{mutant.line} {mutant.function}: {mutant.what}")
    gone = [name for name in reasons if name in killed]
    for name in gone:
        print(f"allowed, and noticed by {killed[name]}: {name}")
    total = len(killed) + len(survivors)
    print(
        f"{total} mutants in {time.monotonic() - began:.0f} s: {len(killed)} noticed, "
        f"{len(survivors) - len(unexplained)} allowed to survive, {len(unexplained)} survived"
    )
    return 1 if unexplained or gone else 0


if __name__ == "__main__":
    sys.exit(main())
