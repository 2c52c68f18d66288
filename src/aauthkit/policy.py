"""Rules in CEL: typed facts, one vocabulary for each level, errors found at load, and no doubt that allows.

A condition is compiled against messages whose fields are declared, so that a misspelt name, or one that this level
does not have, is refused when the rule is loaded. When it is evaluated only the boolean `true` holds: the engine
answers a missing key with an error value, and that is `Undecided`, never a yes.
"""

from __future__ import annotations

import functools
import hashlib
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

FieldType = Literal["text", "texts", "whole", "number", "flag", "object", "time"]
"""`object` is JSON of somebody else's making, the one thing whose names cannot be checked at load."""

MAX_CONDITION: Final = 4096
"""Longest condition, in characters."""
PACKAGE: Final = "aauth"
_SCALARS: Final[Mapping[str, tuple[int, int]]] = {  # protobuf type and label
    "text": (9, 1),
    "texts": (9, 3),
    "whole": (3, 1),
    "number": (1, 1),
    "flag": (8, 1),
}
_MESSAGES: Final[Mapping[str, str]] = {
    "object": ".google.protobuf.Struct",
    "time": ".google.protobuf.Timestamp",
}


class PolicyError(ValueError):
    """A rule that cannot be loaded; the message says where and why."""


class Undecided(Exception):
    """A condition that gave no boolean: whoever asked takes it for a no, and says so in the log."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a variable of the vocabulary holds: field name to type. What is not known is empty, zero or false."""

    fields: Mapping[str, FieldType] = field(default_factory=dict)


Variables = Mapping[str, Shape | Literal["time"]]
Facts = Mapping[str, Any]
"""The facts of one request: for each variable its fields, or a time in seconds since the epoch. Plain JSON."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that was compiled. `sha256` is that of its text, in hex."""

    text: str
    sha256: str
    _program: Any = field(repr=False, compare=False)
    _vocabulary: Vocabulary = field(repr=False, compare=False)

    def holds(self, facts: Facts) -> bool:
        """Whether it is true of these facts. Raises `Undecided` where it is neither true nor false."""
        value = self._program.eval(data=self._vocabulary.activation(facts))
        if value.type() != _cel().Type.BOOL:
            raise Undecided(f"the condition gave {str(value.value())[:200]!r}")
        return value.value() is True


@dataclass(frozen=True, slots=True)
class Amount:
    """An expression that gives a number."""

    text: str
    _program: Any = field(repr=False, compare=False)
    _vocabulary: Vocabulary = field(repr=False, compare=False)

    def of(self, facts: Facts) -> float:
        """The number it gives of these facts. Raises `Undecided` where it gives none, or one that is not finite."""
        value = self._program.eval(data=self._vocabulary.activation(facts))
        kinds = _cel().Type
        if value.type() not in (kinds.INT, kinds.UINT, kinds.DOUBLE):
            raise Undecided("the expression gave no number")
        number = float(value.value())
        if not math.isfinite(number):
            raise Undecided("the expression gave no number")
        return number


@functools.cache
def _cel() -> Any:
    try:
        from cel_expr_python import cel
    except ImportError as error:
        raise PolicyError("rules need: pip install 'aauthkit[server]'") from error
    return cel


class Vocabulary:
    """The variables that conditions of one level may name. `level` is for messages."""

    def __init__(self, level: str, variables: Variables) -> None:
        self.level = level
        self.variables = dict(variables)
        self._lock = threading.Lock()
        self._made: tuple[Any, Mapping[str, Any]] | None = None

    def compile(self, text: str) -> Condition:
        """A condition of this level. Raises `PolicyError`."""
        if not 0 < len(text) <= MAX_CONDITION:
            raise PolicyError(f"a condition is a text of 1 to {MAX_CONDITION} characters")
        environment, _ = self._environment()
        try:
            program = environment.compile(text)
        except RuntimeError as error:
            raise PolicyError(f"at the level {self.level!r}: {_reason(error)}") from error
        if program.return_type() != _cel().Type.BOOL:
            raise PolicyError(f"at the level {self.level!r}: {text[:80]!r} is no condition: it gives no boolean")
        return Condition(text, hashlib.sha256(text.encode()).hexdigest(), program, self)

    def compile_amount(self, text: str) -> Amount:
        """An expression of this level that gives a number. Raises `PolicyError`."""
        if not 0 < len(text) <= MAX_CONDITION:
            raise PolicyError(f"an expression is a text of 1 to {MAX_CONDITION} characters")
        environment, _ = self._environment()
        try:
            program = environment.compile(text)
        except RuntimeError as error:
            raise PolicyError(f"at the level {self.level!r}: {_reason(error)}") from error
        kinds = _cel().Type
        if program.return_type() not in (kinds.INT, kinds.UINT, kinds.DOUBLE, kinds.DYN):
            raise PolicyError(f"at the level {self.level!r}: {text[:80]!r} gives no number")
        return Amount(text, program, self)

    def activation(self, facts: Facts) -> dict[str, Any]:
        """The facts as typed messages. Raises `Undecided` for any that this level does not have."""
        _, classes = self._environment()
        data: dict[str, Any] = {}
        for name, value in facts.items():
            shape = self.variables.get(name)
            if shape is None:
                raise Undecided(f"the level {self.level!r} has no {name}")
            data[name] = _time(value) if shape == "time" else _message(classes[name], name, shape, value)
        for name in self.variables.keys() - data.keys():
            data[name] = _time(0) if self.variables[name] == "time" else classes[name]()
        return data

    def _environment(self) -> tuple[Any, Mapping[str, Any]]:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def _make(self) -> tuple[Any, Mapping[str, Any]]:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2, timestamp_pb2

        cel = _cel()
        pool = descriptor_pool.DescriptorPool()
        for known in (struct_pb2, timestamp_pb2):
            copied = descriptor_pb2.FileDescriptorProto()
            known.DESCRIPTOR.CopyToProto(copied)
            pool.Add(copied)
        file = descriptor_pb2.FileDescriptorProto(name=f"{PACKAGE}.proto", package=PACKAGE, syntax="proto3")
        file.dependency.extend(["google/protobuf/struct.proto", "google/protobuf/timestamp.proto"])
        shapes = {name: shape for name, shape in self.variables.items() if isinstance(shape, Shape)}
        for name, shape in shapes.items():
            _declare(file.message_type.add(name=name.capitalize()), shape)
        pool.Add(file)
        types: dict[str, Any] = {}
        classes: dict[str, Any] = {}
        for name, value in self.variables.items():
            if not isinstance(value, Shape):
                types[name] = cel.Type.TIMESTAMP
                continue
            full = f"{PACKAGE}.{name.capitalize()}"
            types[name] = cel.Type(full)
            classes[name] = message_factory.GetMessageClass(pool.FindMessageTypeByName(full))
        return cel.NewEnv(descriptor_pool=pool, variables=types), classes


def _declare(message: Any, shape: Shape) -> None:
    for number, (name, kind) in enumerate(shape.fields.items(), 1):
        if kind in _SCALARS:
            protobuf, label = _SCALARS[kind]
            message.field.add(name=name, number=number, type=protobuf, label=label)
        else:
            message.field.add(name=name, number=number, type=11, label=1, type_name=_MESSAGES[kind])


def _message(made: Any, variable: str, shape: Shape, value: object) -> Any:
    if not isinstance(value, Mapping):
        raise Undecided(f"{variable} is not an object")
    message = made()
    for name, one in value.items():
        kind = shape.fields.get(name)
        if kind is None:
            raise Undecided(f"{variable} has no {name}")
        if one is None:
            continue
        try:
            _set(message, name, kind, one)
        except (TypeError, ValueError, OverflowError) as error:
            raise Undecided(f"{variable}.{name} is not of its type") from error
    return message


def _set(message: Any, name: str, kind: FieldType, value: Any) -> None:
    if kind == "texts":
        getattr(message, name).extend(value)
    elif kind == "object":
        getattr(message, name).update(value)
    elif kind == "time":
        getattr(message, name).FromDatetime(_time(value))
    else:
        setattr(message, name, value)


def _time(value: Any) -> datetime:
    return datetime.fromtimestamp(value, UTC)


def _reason(error: RuntimeError) -> str:
    """The engine's message without its frame: what is wrong, where, and the line with a mark under it."""
    text = str(error).removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ").removesuffix(" [INVALID_ARGUMENT]")
    return text.replace("<input>:", "line ", 1)
