"""The searches of CLS (Tencent's log service), as far as the alarms use them, over lines of the log.

Played is CQL (product 614, page 37803): `key:word`, `key:word*`, `key:"some words"`, `key:*`, `key:>1`, AND,
OR, NOT and parentheses; AND binds closer than OR. Texts are cut into words at the index's delimiters, and
case matters, as the index of `deploy/terraform` says. Of the analysis behind `|` there are `count(*)`,
`max(key)` and `sum(key)`. Anything else is refused, so that nobody takes it for tested.
"""

from __future__ import annotations

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.project import PROJECT

Line: TypeAlias = Mapping[str, Any]
Matches: TypeAlias = Callable[[Line], bool]

ALARMS = PROJECT / "deploy" / "alarms.json"

DELIMITERS = "@&?|#()='\",;:<>[]{}/ \n\t\r\\"
"""At these the index cuts a text into words; a `.`, `_` or `-` stays within one."""

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

TOKEN = re.compile(r'\s*(\(|\)|(?:\w+):(?:"[^"]*"|[^\s()"]+)|AND\b|OR\b|NOT\b)')


class SearchError(ValueError):
    """The search is not one that is played here."""


def read(path: Path = ALARMS) -> dict[str, Any]:
    """The alarms, charts and indexed fields."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


# --- searching ----------------------------------------------------------------------------------------


def search(text: str) -> Matches:
    """Whether a line matches. Raises SearchError."""
    tokens = _tokens(text)
    found = _either(tokens)
    if tokens:
        raise SearchError(f"expected AND, OR or the end, not {tokens[0]!r} in {text!r}")
    return found


def _tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = TOKEN.match(text, at)
        if match is None:
            raise SearchError(f"cannot be read from {text[at:]!r} on")
        found.append(match[1])
        at = match.end()
    return found


def _either(tokens: list[str]) -> Matches:
    parts = [_both(tokens)]
    while tokens and tokens[0] == "OR":
        tokens.pop(0)
        parts.append(_both(tokens))
    return lambda line: any(part(line) for part in parts)


def _both(tokens: list[str]) -> Matches:
    parts = [_one(tokens)]
    while tokens and tokens[0] == "AND":
        tokens.pop(0)
        parts.append(_one(tokens))
    return lambda line: all(part(line) for part in parts)


def _one(tokens: list[str]) -> Matches:
    if not tokens or tokens[0] in (")", "AND", "OR"):
        raise SearchError(f"expected a condition, not {tokens[:1]}")
    token = tokens.pop(0)
    if token == "NOT":
        inner = _one(tokens)
        return lambda line: not inner(line)
    if token != "(":
        return _condition(*token.split(":", 1))
    inner = _either(tokens)
    if tokens[:1] != [")"]:
        raise SearchError("a parenthesis is not closed")
    tokens.pop(0)
    return inner


def _condition(key: str, wanted: str) -> Matches:
    if wanted == "*":
        return lambda line: key in line
    if compared := re.fullmatch(r"([<>]=?)(-?\d+(?:\.\d+)?)", wanted):
        compare, number = COMPARE[compared[1]], float(compared[2])
        return lambda line: isinstance(line.get(key), (int, float)) and compare(line[key], number)
    if not re.fullmatch(r'"[^"*]+"|[\w.\-]+\*?', wanted):
        raise SearchError(f"no value that is played: {wanted!r}")
    words = _words(wanted.strip('"').rstrip("*"))
    begins = wanted.endswith("*")
    return lambda line: _holds(_words(_text(line.get(key))), words, begins)


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else "" if value is None else str(value)


def _words(text: str) -> list[str]:
    return [word for word in re.split(f"[{re.escape(DELIMITERS)}]+", text) if word]


def _holds(words: list[str], wanted: list[str], begins: bool) -> bool:
    """Whether the wanted words stand there one after the other; the last may only begin one."""
    for at in range(len(words) - len(wanted) + 1):
        *first, last = words[at : at + len(wanted)]
        if first == wanted[:-1] and (last.startswith(wanted[-1]) if begins else last == wanted[-1]):
            return True
    return False


# --- alarms -------------------------------------------------------------------------------------------


def value(expression: str, lines: Iterable[Line]) -> float:
    """What `… | select expression` gives of lines that a search has found. Raises SearchError."""
    found = list(lines)
    if expression == "count(*)":
        return len(found)
    asked = re.fullmatch(r"(max|sum)\((\w+)\)", expression)
    if asked is None:
        raise SearchError(f"no analysis that is played: {expression!r}")
    numbers = [line[asked[2]] for line in found if asked[2] in line]
    if not numbers:
        return math.nan  # as SQL gives NULL over no line: no comparison holds for it
    return float(max(numbers) if asked[1] == "max" else sum(numbers))


def fires(alarm: Mapping[str, Any], lines: Iterable[Line]) -> bool:
    """Whether an alarm goes off over the lines of its window."""
    every = list(lines)
    found = value(alarm["value"], filter(search(alarm["search"]), every))
    if "of" not in alarm:
        return COMPARE[alarm["fires"]](found, alarm["threshold"])
    whole = value("count(*)", filter(search(alarm["of"]), every))
    return whole >= alarm["of_least"] and COMPARE[alarm["fires"]](found * 100, alarm["threshold"] * whole)
