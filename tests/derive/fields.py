"""The shapes as fields with kinds, which is all that a template of a language needs to know."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from tests.derive.contract import Derived, pascal

Kind = Literal["text", "time", "whole", "number", "texts", "shape", "shapes", "null", "any"]


class Field(NamedTuple):
    """One field of a shape.

    `values` are all that it can be: texts, or a whole number. `shapes` names the shapes that it can have.
    `nullable` says that null is one more value, `optional` that the field can be missing.
    """

    name: str
    kind: Kind
    nullable: bool
    optional: bool
    values: tuple[Any, ...]
    shapes: tuple[str, ...]
    says: str


KINDS: Mapping[str, Kind] = {"string": "text", "integer": "whole", "number": "number", "object": "texts"}


def fields(derived: Derived, name: str) -> list[Field]:
    """The fields of a shape, in their order."""
    shape = derived.shapes[name]
    return [
        _field(field, rule, field not in shape["required"]) for field, rule in shape["properties"].items()
    ]


def _field(name: str, rule: dict[str, Any], optional: bool) -> Field:
    says = rule.get("description", "")
    options = rule.get("anyOf", [rule])
    shapes = tuple(each["$ref"].rpartition("/")[2] for each in options if "$ref" in each)
    if shapes:
        kind: Kind = "shape" if len(shapes) == 1 else "shapes"
        return Field(name, kind, {"type": "null"} in options, optional, (), shapes, says)
    types = rule.get("type", [])
    types = [types] if isinstance(types, str) else types
    (one,) = [each for each in types if each != "null"] or ["null" if types else "any"]
    kind = "time" if rule.get("format") == "date-time" else KINDS.get(one, "null" if types else "any")
    values = (rule["const"],) if "const" in rule else tuple(rule.get("enum", ()))
    return Field(name, kind, "null" in types and kind != "null", optional, values, (), says)


def flat(derived: Derived) -> dict[str, list[Field]]:
    """The shapes for a language whose types know neither single values nor either-or.

    Shapes of one type's data are one, and a shape that only narrows values is the one that it narrows.
    `values` stay where they are a closed list, or part of one. What is always null is left out.
    """
    kept: dict[str, list[Field]] = {}
    names: dict[str, str] = {"Envelope": "Envelope"}
    data = {shape: name for name, shapes in derived.messages.values() for shape in shapes}
    for name in derived.shapes:
        found = [
            field._replace(shapes=tuple(names[each] for each in field.shapes))
            for field in fields(derived, name)
            if field.kind != "shapes"
        ]
        base = derived.bases.get(name)
        if base == "Envelope":
            continue
        names[name] = data[name].removesuffix("Message") if name in data else name
        if name in data:
            kept[names[name]] = _either(kept.get(names[name], found), found)
        elif base and _kinds(found) == _kinds(kept[base]):
            names[name] = base
        else:
            kept[name] = found
    return {
        name: [
            field._replace(values=tuple(derived.lists.get(pascal(field.name), ())))
            for field in found
            if field.kind != "null"
        ]
        for name, found in kept.items()
    }


def _kinds(found: list[Field]) -> list[tuple[object, ...]]:
    return [(field.name, field.kind, field.nullable, field.optional, field.shapes) for field in found]


def _either(one: list[Field], other: list[Field]) -> list[Field]:
    """Fields that are as in one or as in the other of two shapes."""
    both = []
    for a, b in zip(one, other, strict=True):
        known = b if a.kind == "null" else a
        both.append(known._replace(nullable=a.nullable or b.nullable or a.kind != b.kind))
    return both


def words(text: str, width: int, prefix: str) -> list[str]:
    """A description as lines of a comment."""
    return [f"{prefix}{line}" for line in textwrap.wrap(text, width - len(prefix), break_long_words=False)]


MADE = "Made from events/message.schema.json by `make docs`: change that, not this."
TAKES = (
    "livepair's webhook messages, version 1. Within it a message may gain fields, codes and regions, so take "
    "what you do not know. The lists of types, outcomes, categories and advice stay as they are."
)
