"""events/types/livepair.ts: the messages as a union that `switch (message.type)` narrows."""

from __future__ import annotations

import json

from tests.derive.contract import Derived, derive
from tests.derive.fields import MADE, TAKES, Field, fields, words

AFTER = """
/** All types of message. */
export const TYPES: readonly Message["type"][] = [
%s
];

/** Whether a message is one of these; if not, it came after this file: answer 2xx, and leave it. */
export function isMessage(envelope: Envelope): envelope is Message {
  return envelope.version === 1 && (TYPES as readonly string[]).includes(envelope.type);
}
"""


def module() -> str:
    derived = derive()
    head = [*words(TAKES, 110, " * "), *words(MADE, 110, " * ")]
    parts = ["/**\n" + "\n".join(head) + "\n */\n"]
    parts += [f"\nexport type {name} = {_union(values)};\n" for name, values in derived.lists.items()]
    done: dict[str, list[str]] = {}
    for name in derived.shapes:
        own = [line for field in fields(derived, name) for line in _lines(derived, field)]
        base = derived.bases.get(name)
        lines = [line for line in own if base is None or line not in done[base]]
        done[name] = own
        if base is None:
            lines = [line for field in fields(derived, name) for line in _described(derived, field)]
        elif not lines:
            continue
        extends = f" extends {base}" if base else ""
        body = "".join(f"{line}\n" for line in lines)
        says = "\n".join(words(derived.shapes[name]["description"], 106, "")).replace("\n", "\n * ")
        parts.append(f"\n/** {says} */\nexport interface {name}{extends} {{\n{body}}}\n")
    names = "\n".join(f"  | {name}" for name, _ in derived.messages.values())
    parts.append("\n/** Every message: `switch (message.type)` tells them apart. */\n")
    parts.append(f"export type Message =\n{names};\n")
    parts.append(AFTER % "\n".join(f"  {json.dumps(type_)}," for type_ in derived.messages))
    return "".join(parts)


def _union(values: tuple[object, ...] | list[str]) -> str:
    return " | ".join(json.dumps(value) for value in values)


def _described(derived: Derived, field: Field) -> list[str]:
    comment = words(field.says, 106, "   * ")
    opened = ["  /**", *comment, "   */"] if len(comment) > 1 else [f"  /** {field.says} */"]
    return [*(opened if field.says else []), *_lines(derived, field)]


def _lines(derived: Derived, field: Field) -> list[str]:
    kind = {
        "text": "string",
        "time": "string",
        "whole": "number",
        "number": "number",
        "texts": "Record<string, string>",
        "null": "null",
        "any": "unknown",
    }.get(field.kind) or " | ".join(_used(derived, name) for name in field.shapes)
    if field.values:
        named = [name for name, values in derived.lists.items() if tuple(values) == field.values]
        kind = named[0] if named else _union(field.values)
    return [f"  {field.name}{'?' if field.optional else ''}: {kind}{' | null' if field.nullable else ''};"]


def _used(derived: Derived, name: str) -> str:
    """The shape to name: its base where this language says no more of it than of that."""
    base = derived.bases.get(name)
    if base is None or base in ("Verification", "Envelope"):
        return name
    own, general = ([_lines(derived, field) for field in fields(derived, each)] for each in (name, base))
    return base if own == general else name
