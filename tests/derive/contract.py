"""The contract by type: each kind of message as one shape, for code generators and our own templates.

events/message.schema.json says what holds for every message and adds, by conditions, what holds for each
type. People read that well, and generators make nothing of it. Here the conditions are worked out. Both take
the same messages; tests/contract compares them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tests.support.project import EVENTS

Schema = dict[str, Any]

CONTRACT: Schema = json.loads((EVENTS / "message.schema.json").read_text(encoding="utf-8"))

BASE, NAME = "x-base", "x-name"
"""Marks while shapes are made: the definition that a part began as, and the name that it is to get."""

ADDITIVE = {"title", "$comment", "allOf", "oneOf", BASE, NAME}


class Derived(NamedTuple):
    """The shapes of the messages, by name.

    `messages` names the shapes of the message and of its data for each type; data can have several. `bases`
    has the shape that a shape narrows; `shapes` holds that one too. `lists` are the closed lists of texts.
    """

    shapes: dict[str, Schema]
    bases: dict[str, str]
    messages: dict[str, tuple[str, tuple[str, ...]]]
    lists: dict[str, list[str]]


def pascal(name: str) -> str:
    """`best_frame` as BestFrame."""
    return "".join(part.title() for part in name.split("_"))


def derive(contract: Schema = CONTRACT) -> Derived:
    """Work out the contract. Raises ValueError where it says something in a way that is not known here."""
    return _Deriving(contract).all()


class _Deriving:
    def __init__(self, contract: Schema) -> None:
        self._contract = contract
        self._defs: Mapping[str, Schema] = contract["$defs"]
        self._found = Derived({}, {}, {}, dict(self._closed_lists()))

    def all(self) -> Derived:
        text = {"type": "string"}
        envelope = {
            "description": "What every message has, also one of a type that comes later.",
            "type": "object",
            "required": self._contract["required"],
            "properties": {
                name: {"description": part["description"], **kind}
                for (name, part), kind in zip(
                    self._contract["properties"].items(),
                    (text, text, {**text, "format": "date-time"}, {"type": "integer"}, {}),
                    strict=True,
                )
            },
        }
        self._found.shapes["Envelope"] = envelope
        for type_ in self._contract["properties"]["type"]["enum"]:
            self._message(type_)
        return self._found

    def _closed_lists(self) -> Iterator[tuple[str, list[str]]]:
        for part in self._defs.values():
            for name, rule in part["properties"].items() if "required" in part else ():
                if "enum" in rule:
                    yield pascal(name), rule["enum"]

    def _message(self, type_: str) -> None:
        """The shapes of one type of message."""
        refs = [self._data(rule, type_) for rule in self._contract["allOf"]]
        names = [ref["$ref"].rpartition("/")[2] for ref in refs if ref]
        data: Schema = {}
        for name in names:
            data = self._merged(data, self._resolved(self._defs[name]))
        own = pascal(names[-1])
        if len(names) > 1:
            self._keep(pascal(names[0]), self._resolved(self._defs[names[0]]), None)
        shapes = []
        for branch in data.pop("oneOf", [{}]):
            whole = self._merged(data, self._resolved(branch))
            self._judge(whole)
            name = branch.get("title", own)
            for field, rule in whole["properties"].items():
                narrowed_by = name if field in branch.get("properties", {}) else own
                rule.setdefault(NAME, f"{narrowed_by}{pascal(field)}")
            shapes.append(self._keep(name, whole, pascal(names[0]) if len(names) > 1 else None))
        envelope = self._contract["properties"]
        refs_to = [{"$ref": f"#/$defs/{name}"} for name in shapes]
        message = {
            "description": data["description"],
            "type": "object",
            "required": self._contract["required"],
            "properties": {
                **{name: self._resolved(part) for name, part in envelope.items()},
                "type": {"const": type_},
                "data": refs_to[0] if len(refs_to) == 1 else {"anyOf": refs_to},
            },
        }
        for part in message["properties"].values():
            part.pop(BASE, None)
        self._found.shapes[f"{own}Message"] = _typed(message)
        self._found.bases[f"{own}Message"] = "Envelope"
        self._found.messages[type_] = (f"{own}Message", tuple(shapes))

    def _data(self, rule: Schema, type_: str) -> Schema | None:
        """What one condition of the contract says of a type's data, if anything."""
        (kind,) = rule["if"]["properties"].values()
        then = rule.get("then" if kind["const"] == type_ else "else")
        return then and then["properties"]["data"]

    def _judge(self, data: Schema) -> None:
        """Work out the rules that hold where an outcome is told: then their conditions are not met."""
        for rule in data.pop("allOf", []):
            allowed = rule["then"]["properties"]["outcome"]["enum"]
            if data["properties"]["outcome"]["const"] in allowed:
                continue
            for each in rule["if"]["anyOf"]:
                for field, ref in each["properties"].items():
                    part = data["properties"][field]
                    for name, refused in self._resolved(ref)["properties"].items():
                        kinds = _types(part["properties"][name])
                        part["properties"][name]["type"] = [k for k in kinds if k != refused["type"]]
                    part[NAME] = rule["title"]

    def _resolved(self, part: Any) -> Any:
        """The same without references; a part that was one says of which definition."""
        if isinstance(part, list):
            return [self._resolved(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part and isinstance(part["$ref"], str):
            name = part["$ref"].removeprefix("#/$defs/")
            target = {**self._resolved(self._defs[name]), BASE: name}
            return {**target, **{key: value for key, value in part.items() if key != "$ref"}}
        return {
            key: value if key in ("allOf", "const", "enum", "examples", "required") else self._resolved(value)
            for key, value in part.items()
        }

    def _merged(self, one: Any, other: Any) -> Any:
        """What holds where both hold."""
        found = {**one}
        for key, value in other.items():
            if key == "properties":
                both = {**found.get(key, {})}
                for name, rule in value.items():
                    both[name] = self._merged(both.get(name, {}), rule)
                found[key] = both
            elif key == "type":
                kinds = _types(found)
                found[key] = [k for k in kinds if k in _types(other)] if kinds else value
            elif key in ("const", "enum"):
                narrowed = {k: v for k, v in found.items() if k not in ("const", "enum")}
                found = {**narrowed, key: value}
            elif key in ("description", "minimum") or key in ADDITIVE or key not in found:
                found[key] = value
            elif found[key] != value:
                raise ValueError(f"{key} is said twice: {found[key]!r} and {value!r}")
        return found

    def _keep(self, name: str, part: Schema, base: str | None) -> str:
        """Keep an object as a shape, and the objects in it; returns its name."""
        shape = self._shape(name, part)
        if self._found.shapes.setdefault(name, shape) != shape:
            raise ValueError(f"two shapes are called {name}")
        if base is not None:
            self._found.bases[name] = base
        return name

    def _shape(self, name: str, part: Schema) -> Schema:
        return {
            "description": part["description"],
            "type": "object",
            "required": part["required"],
            "properties": {
                field: self._reference(name, field, _typed(rule))
                for field, rule in part["properties"].items()
            },
        }

    def _reference(self, owner: str, field: str, part: Schema) -> Schema:
        """A field as it stands in its shape: objects with fields of their own by reference."""
        base, name = part.pop(BASE, None), part.pop(NAME, None)
        kinds = _types(part)
        if "object" not in kinds or "properties" not in part:
            if kinds == ["null"]:
                return {"description": part["description"], "type": "null"}
            return part
        plain = self._resolved(self._defs[base])
        kept = self._keep(pascal(base), plain, None)
        if self._shape(owner, part)["properties"] != self._found.shapes[kept]["properties"]:
            whole = {**part, "description": plain["description"]}
            kept = self._keep(name or f"{owner}{pascal(field)}", whole, kept)
        ref = {"$ref": f"#/$defs/{kept}"}
        if "null" in kinds:
            return {"description": part["description"], "anyOf": [ref, {"type": "null"}]}
        return {"description": part["description"], **ref}


def _types(part: Schema) -> list[str]:
    kinds = part.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _typed(part: Schema) -> Schema:
    """With a type where a constant or a list says it, and one type not as a list, at any depth."""
    found = {key: value for key, value in part.items() if key not in ("$comment", "title")}
    if "properties" in found:
        found["properties"] = {name: _typed(rule) for name, rule in found["properties"].items()}
    for value in (found["const"],) if "const" in found else tuple(found.get("enum", ()))[:1]:
        found = {"type": "integer" if isinstance(value, int) else "string", **found}
    kinds = _types(found)
    return {**found, "type": kinds[0]} if len(kinds) == 1 else found


def by_type(derived: Derived, root: str = "#/$defs/") -> Schema:
    """The shapes that messages hold, referring to each other under `root`."""
    reached: dict[str, Schema] = {}

    def reach(name: str) -> None:
        if name not in reached:
            reached[name] = derived.shapes[name]
            for ref in _refs(derived.shapes[name]):
                reach(ref.rpartition("/")[2])

    for message, _ in derived.messages.values():
        reach(message)
    text = json.dumps(reached, ensure_ascii=False).replace('"#/$defs/', f'"{root}')
    found: Schema = json.loads(text)
    return found


def _refs(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for each in part.values():
            yield from _refs(each)
    elif isinstance(part, list):
        for each in part:
            yield from _refs(each)


def message_schema() -> str:
    """events/types/message.schema.json: for code generators."""
    derived = derive()
    schema = {
        "$schema": CONTRACT["$schema"],
        "$id": f"{CONTRACT['$id']}:by-type",
        "title": "Message",
        "description": "What events/message.schema.json says, by type, for code generators. "
        "`make docs` makes it from that. Both take the same messages. "
        "Properties that are not named here may be added: ignore what you do not know.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name, _ in derived.messages.values()],
        "$defs": by_type(derived),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
