"""This package's own answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from . import forms, requests, tokens
from .pack import Pack, Vector
from .results import Result
from .verdict import differences

Answers = Callable[[Mapping[str, Any], Pack], Any]

_KINDS: Final[Mapping[str, Answers]] = {
    "request": requests.verify,
    "token": tokens.verify,
    "mint": tokens.mint,
    "base": forms.base,
    "sign": forms.sign,
    "digest": forms.digest,
    "key": forms.key,
    "identifier": forms.identifier,
    "metadata": forms.metadata,
    "signature-key": forms.signature_key,
    "field": forms.field,
    "response": forms.response,
    "error": forms.error,
    "body": forms.body,
    "mission": forms.mission,
}


async def answer(kind: str, given: Mapping[str, Any], pack: Pack) -> dict[str, Any]:
    """What this package makes of one case: `result`, `error` or `skip`. Raises whatever it raises."""
    made = _KINDS[kind](given, pack)
    found: dict[str, Any] = await made if isinstance(made, Awaitable) else made
    return found


async def _one(vector: Vector, pack: Pack) -> Result:
    began = time.perf_counter()
    try:
        given = await answer(vector.kind, vector.input, pack)
    except Exception as error:
        return Result(vector, "broken", f"{type(error).__name__}: {error}", time.perf_counter() - began)
    seconds = time.perf_counter() - began
    if "skip" in given:
        return Result(vector, "skipped", given["skip"], seconds, given)
    wrong = differences(vector.expected, given, whole=True)
    return Result(vector, "failed" if wrong else "passed", "; ".join(wrong), seconds, given)


def run(vectors: Sequence[Vector], pack: Pack, *, until_failure: bool = False) -> list[Result]:
    """Every vector, one after another; with `until_failure` up to the first that does not pass."""

    async def all_of_them() -> list[Result]:
        results: list[Result] = []
        for vector in vectors:
            results.append(await _one(vector, pack))
            if until_failure and results[-1].outcome in ("failed", "broken"):
                break
        return results

    return asyncio.run(all_of_them())
