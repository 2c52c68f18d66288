"""Whether an answer is the one a vector wants.

What a vector lists must be there and equal; an answer may say more. Header fields are compared as the structured fields
they are, and `*` stands for any value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..protocol.structured import FieldError, Member, parse_dictionary, token_list

_DICTIONARIES: Final = frozenset({"signature-error", "aauth-requirement"})
_LISTS: Final = frozenset({"accept-signature-scheme", "accept-signature-alg"})


def differences(expected: Mapping[str, Any], answer: Mapping[str, Any], *, whole: bool) -> list[str]:
    """What is wrong with `answer`; nothing where it is as it must be.

    Where it is not `whole`, an answer may leave out status and headers, which not every implementation decides, and
    what was found of a request it accepts.
    """
    if "result" in expected:
        if "result" not in answer:
            return [f"refused with {_code(answer)}, and must be accepted"]
        return list(_missing(expected["result"], answer["result"], "result", whole))
    if "error" not in answer:
        return [f"accepted, and must be refused with {expected['error'].get('code')}"]
    return _errors(expected["error"], answer["error"], whole)


def _code(answer: Mapping[str, Any]) -> str:
    error = answer.get("error")
    return str(error.get("code")) if isinstance(error, Mapping) else "nothing"


def _errors(expected: Mapping[str, Any], error: object, whole: bool) -> list[str]:
    if not isinstance(error, Mapping):
        return ["error is no object"]
    found = []
    code, wanted = error.get("code"), [expected["code"], *([] if whole else expected.get("also", []))]
    if code not in wanted:
        found.append(f"code is {code}, and must be {' or '.join(wanted)}")
    if "status" in expected and ("status" in error or whole) and error.get("status") != expected["status"]:
        found.append(f"status is {error.get('status')}, and must be {expected['status']}")
    if "headers" in error or whole:
        found += _fields(expected.get("headers", {}), error.get("headers", {}), code in expected.get("also", []))
    return found


def _missing(expected: object, found: object, where: str, whole: bool) -> list[str]:
    """Each member of `expected` that `found` has not, or has otherwise."""
    if isinstance(expected, Mapping):
        if not isinstance(found, Mapping):
            return [f"{where} is no object"]
        wrong: list[str] = []
        for name, value in expected.items():
            if name == "headers" and isinstance(value, Mapping):
                wrong += _fields(value, found.get(name, {}))
            elif name == "absent":
                fields = found.get("headers", {})
                wrong += [f"{each} stands in the answer" for each in value if each in fields]
            elif name in found or whole:
                wrong += _missing(value, found.get(name), f"{where}.{name}", whole)
        return wrong
    if expected != found or type(expected) is not type(found):
        return [f"{where} is {_short(found)}, and must be {_short(expected)}"]
    return []


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _fields(expected: Mapping[str, str], found: object, other_code: bool = False) -> list[str]:
    if not isinstance(found, Mapping):
        return ["headers is no object"]
    fields = {str(name).lower(): str(value) for name, value in found.items()}
    wrong = []
    for name, value in expected.items():
        if name not in fields:
            wrong.append(f"{name} is missing")
        elif value != "*" and not (other_code and name == "signature-error") and not _agree(name, value, fields[name]):
            wrong.append(f"{name} is {_short(fields[name])}, and must be {_short(value)}")
    return wrong


def _agree(name: str, expected: str, found: str) -> bool:
    try:
        if name in _DICTIONARIES:
            return _members_agree(parse_dictionary([expected]), parse_dictionary([found]))
        if name in _LISTS:
            return set(token_list([expected])) == set(token_list([found]))
    except FieldError:
        return False
    return expected.lower() == found.split(";", 1)[0].strip().lower()


def _members_agree(expected: Mapping[str, Member], found: Mapping[str, Member]) -> bool:
    for name, (value, params) in expected.items():
        if name not in found:
            return False
        other, others = found[name]
        if isinstance(value, list):
            if not isinstance(other, list) or not {item for item, _ in value} <= {item for item, _ in other}:
                return False
        elif value != other or type(value) is not type(other):
            return False
        if any(others.get(key) is None or (each != "*" and others[key] != each) for key, each in params.items()):
            return False
    return True
