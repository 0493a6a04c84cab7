"""events/types/livepair.py: the messages as TypedDicts, told apart by `message["type"]`."""

from __future__ import annotations

from tests.derive.contract import Derived, derive
from tests.derive.fields import MADE, TAKES, Field, fields, words

HEAD = '''\
"""%s

%s
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict, TypeGuard
'''

AFTER = '''
TYPES = (
%s
)
"""All types of message."""


def is_message(envelope: Envelope) -> TypeGuard[Message]:
    """Whether a message is one of these; if not, it came after this file: answer 2xx, and leave it."""
    return envelope["version"] == 1 and envelope["type"] in TYPES
'''


def module() -> str:
    derived = derive()
    parts = [HEAD % ("\n".join(words(TAKES, 104, "")), MADE), "\n"]
    parts += [_alias(name, f"Literal[{_values(values)}]") for name, values in derived.lists.items()]
    for name in derived.shapes:
        if _used(derived, name) != name:
            continue
        described = name not in derived.bases
        base, says = "TypedDict", derived.shapes[name]["description"]
        found = fields(derived, name)
        optional = [line for field in found if field.optional for line in _lines(derived, field, described)]
        if optional:
            base = f"_{name}"
            parts.append(f"\n\nclass {base}(TypedDict, total=False):\n" + "\n".join(optional) + "\n")
        lines = [line for field in found if not field.optional for line in _lines(derived, field, described)]
        parts.append(f'\n\nclass {name}({base}):\n    """{says}"""\n\n' + "\n".join(lines) + "\n")
    messages = [name for name, _ in derived.messages.values()]
    one, many = " | ".join(messages), "\n    | ".join(messages)
    parts.append(f"\n\nMessage = (\n    {one if len(one) <= 106 else many}\n)\n")
    parts.append('"""Every message: `if message["type"] == …` tells them apart."""\n')
    parts.append(AFTER % "\n".join(f'    "{type_}",' for type_ in derived.messages))
    return "".join(parts)


def _alias(name: str, kind: str) -> str:
    line = f"{name} = {kind}\n"
    if len(line) <= 111:
        return line
    head, _, inner = kind.partition("[")
    items = inner.removesuffix("]").split(", ")
    joined = f"    {', '.join(items)}\n"
    if len(joined) > 111:
        joined = "".join(f"    {item},\n" for item in items)
    return f"{name} = {head}[\n{joined}]\n"


def _values(values: tuple[object, ...] | list[str]) -> str:
    return ", ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in values)


def _lines(derived: Derived, field: Field, described: bool) -> list[str]:
    comment = words(field.says, 108, "    # ") if described else []
    return [*comment, f"    {field.name}: {_kind(derived, field)}"]


def _kind(derived: Derived, field: Field) -> str:
    kind = {
        "text": "str",
        "time": "str",
        "whole": "int",
        "number": "float",
        "texts": "dict[str, str]",
        "null": "None",
        "any": "Any",
    }.get(field.kind) or " | ".join(_used(derived, name) for name in field.shapes)
    if field.values:
        named = [name for name, values in derived.lists.items() if tuple(values) == field.values]
        kind = named[0] if named else f"Literal[{_values(field.values)}]"
    return f"{kind} | None" if field.nullable else kind


def _used(derived: Derived, name: str) -> str:
    """The shape to name: its base where this language says no more of it than of that."""
    base = derived.bases.get(name)
    if base is None or base in ("Verification", "Envelope"):
        return name
    own, general = ([_kind(derived, field) for field in fields(derived, each)] for each in (name, base))
    return base if own == general else name
