"""Another implementation, as a program: one vector on its standard input, its answer on its standard output."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .pack import Vector
from .results import Result
from .verdict import differences

MAX_TOLD = 300


class NoProgram(Exception):
    """What is to be measured cannot be started at all."""


def _ended(vector: Vector, words: Sequence[str], timeout: float) -> tuple[Mapping[str, Any] | None, str]:
    """The answer, or none and why."""
    try:
        ran = subprocess.run(
            list(words),
            input=json.dumps(vector.asked()) + "\n",
            capture_output=True,
            check=False,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {timeout:g} s"
    except OSError as error:
        raise NoProgram(f"{words[0]}: {error.strerror}") from error
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["nothing on standard error"])[-1]
        return None, f"it ended with {ran.returncode}: {last[:MAX_TOLD]}"
    try:
        answer = json.loads(ran.stdout)
    except ValueError:
        return None, f"its answer is no JSON: {ran.stdout.strip()[:MAX_TOLD]!r}"
    if not isinstance(answer, dict) or not {"result", "error", "skip"} & answer.keys():
        return None, "its answer is no object with `result`, `error` or `skip`"
    return answer, ""


def judged(vector: Vector, answer: Mapping[str, Any], seconds: float) -> Result:
    """What an answer is worth."""
    if "skip" in answer:
        return Result(vector, "skipped", str(answer["skip"])[:MAX_TOLD], seconds, answer)
    wrong = differences(vector.expected, answer, whole=False)
    return Result(vector, "failed" if wrong else "passed", "; ".join(wrong), seconds, answer)


def run(
    vectors: Sequence[Vector],
    command: str,
    *,
    timeout: float = 30.0,
    jobs: int = 4,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Result]:
    """Every vector, each by a process of its own, `jobs` at a time. Raises `NoProgram`, `ValueError`."""
    words = shlex.split(command)
    if not words:
        raise ValueError("the command is empty")

    def one(vector: Vector) -> Result:
        began = clock()
        answer, why = _ended(vector, words, timeout)
        seconds = clock() - began
        return Result(vector, "broken", why, seconds) if answer is None else judged(vector, answer, seconds)

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        return list(pool.map(one, vectors))
