"""Whether a JSON Schema keeps what consumers of an earlier one rely on.

A schema may say more than it did, never less: whatever the current one takes, the earlier one took too. So a
consumer that was written against the earlier one meets nothing that it was promised not to meet. What is said
in a way that this comparison cannot weigh has to stay as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

ANNOTATIONS = {"$schema", "$comment", "$defs", "title", "description", "examples"}
"""Keywords for readers: they refuse nothing."""

LEAST = {"minimum", "minLength", "minProperties"}
MOST = {"maximum", "maxLength", "maxProperties"}


def breaks(released: dict[str, Any], current: dict[str, Any]) -> list[str]:
    """What `current` takes away from consumers of `released`, one line for each; empty where nothing.

    Raises ValueError at a `$ref` that is not of the form `#/$defs/name`.
    """
    return list(_breaks(_inlined(released, released), _inlined(current, current), "$"))


def _inlined(part: Any, schema: dict[str, Any]) -> Any:
    """The same without references and without what is for readers. References must not go in circles."""
    if isinstance(part, list):
        return [_inlined(each, schema) for each in part]
    if not isinstance(part, dict):
        return part
    rules = {name: value for name, value in part.items() if name not in ANNOTATIONS | {"$ref"}}
    found = {
        name: {key: _inlined(each, schema) for key, each in value.items()}
        if name == "properties"
        else value
        if name in ("enum", "const", "required")
        else _inlined(value, schema)
        for name, value in rules.items()
    }
    if "$ref" not in part:
        return found
    before, slash, name = part["$ref"].rpartition("/")
    if before + slash != "#/$defs/":
        raise ValueError(f"expected a $ref to #/$defs/…, found {part['$ref']!r}")
    target = _inlined(schema["$defs"][name], schema)
    return {**found, "allOf": [target, *found.get("allOf", [])]} if found else target


def _breaks(old: Any, new: Any, path: str) -> Iterator[str]:
    """`old` and `new` are schemas at the same place of the message, references inlined."""
    if old is True or new is False:
        return
    if old is False:
        yield f"{path}: taken now, refused before"
        return
    new = {} if new is True else new
    for name in sorted(set(old) - {"const", "then", "else"}):
        if name in LEAST | MOST:
            if name not in new or (new[name] < old[name] if name in LEAST else new[name] > old[name]):
                yield f"{path}: {name} was {old[name]}, is {new.get(name)}"
        elif name == "type":
            yield from _wider_type(old, new, path)
        elif name == "required":
            for field in sorted(set(old[name]) - set(new.get(name, []))):
                yield f"{path}.{field}: no longer required"
        elif name == "properties":
            for field, rule in old[name].items():
                if field in new.get(name, {}):
                    yield from _breaks(rule, new[name][field], f"{path}.{field}")
                else:
                    yield f"{path}.{field}: no longer described"
        elif name == "additionalProperties":
            yield from _breaks(old[name], new.get(name, True), f"{path}.*")
            for field in sorted(set(new.get("properties", {})) - set(old.get("properties", {}))):
                yield from _breaks(old[name], new["properties"][field], f"{path}.{field}")
        elif name == "allOf":
            for rule in old[name]:
                yield from _nearest(rule, new.get(name, []), path)
        elif name == "anyOf":
            for rule in new.get(name, [True]):
                if not any(not list(_breaks(each, rule, path)) for each in old[name]):
                    yield f"{path}: one more way to be valid: {_text(rule)[:200]}"
        elif name == "if":
            if _text(old[name]) != _text(new.get(name)):
                yield f"{path}: a condition changed: {_text(old[name])[:200]}"
            for then in ("then", "else"):
                yield from _breaks(old.get(then, True), new.get(then, True), path)
        elif name != "enum" and _text(old[name]) != _text(new.get(name)):
            yield f"{path}: {name} was {_text(old[name])[:200]}, is {_text(new.get(name))[:200]}"
    before, after = _values(old), _values(new)
    if before is not None:
        if after is None:
            yield f"{path}: a closed list was opened"
        else:
            for value in sorted(after - before):
                yield f"{path}: {value} is new in a closed list"


def _nearest(rule: Any, rules: list[Any], path: str) -> Iterator[str]:
    """What is looser in the one of `rules` that is most like `rule`; nothing where one says as much."""
    found = [
        (_text(_condition(each)) != _text(_condition(rule)), list(_breaks(rule, each, path)))
        for each in rules
    ]
    if not found:
        yield f"{path}: a rule is gone: {_text(rule)[:200]}"
    elif all(breaks for _, breaks in found):
        yield from min(found, key=lambda each: (each[0], len(each[1])))[1]


def _condition(rule: Any) -> Any:
    return rule.get("if") if isinstance(rule, dict) else None


def _wider_type(old: dict[str, Any], new: dict[str, Any], path: str) -> Iterator[str]:
    def types(rule: dict[str, Any]) -> set[str]:
        named = rule.get("type", ["null", "boolean", "number", "string", "array", "object"])
        found = set([named] if isinstance(named, str) else named)
        return found | {"integer"} if "number" in found else found

    for kind in sorted(types(new) - types(old)):
        yield f"{path}: may be of type {kind} now"


def _values(rule: dict[str, Any]) -> set[str] | None:
    """The only values there can be, as JSON; None where the list is open."""
    if "const" in rule:
        return {_text(rule["const"])}
    return {_text(value) for value in rule["enum"]} if "enum" in rule else None


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
