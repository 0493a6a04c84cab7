"""The parts of the documents that are made from the code: `make docs` writes them, a test compares them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from handler.rules.claiming import TABLE
from handler.rules.codes import CODES, FAMILIES, UNKNOWN, Class, Code
from handler.rules.schedule import (
    DELIVERIES,
    SPREAD,
    TRIES,
    deliveries_in_words,
    looks_in_words,
    tries_in_words,
)
from tests.derive import contract, go, java, openapi, python, samples, typescript
from tests.support.project import PROJECT

# --- events/codes.md --------------------------------------------------------------------------------

CODES_HEAD = """\
# Codes

`data.reason.code` and `data.api.code` of a [message](README.md) hold one of these codes. `make docs` makes
this page from the function's own table.

A code that ends in … stands for every code of that family. Some codes come with `FailedOperation.` and with
`InternalError.`; livepair treats both alike.

The last column says which answers Tencent bills, as of 2023-06 (the error code page of product 1061). From
2026-03-10 announcement 100989 makes failed liveness checks of sibling products billable. It does not
name this action; your bill has the last word.
"""

EXCEPTIONS = {
    "Livepair.NoSimilarity": "livepair asks again once only",
    "Livepair.AnswerLost": "livepair has asked often enough",
}
"""Where livepair tries otherwise than the class says."""


def _sections() -> dict[str, tuple[str, str]]:
    """For each class, in the page's order: its heading, and what livepair does about its codes."""

    def then_failed(klass: Class) -> str:
        return f"livepair asks {tries_in_words(klass)}; if no try brings a verdict, the outcome is `failed`."

    return {
        "verdict": ("The API judged", "livepair tells the outcome at once."),
        "person": (
            "The recording or the image does not do",
            "livepair tells the outcome at once. It does not ask again: the same bytes get the same answer.",
        ),
        "missing": ("The other half is missing", "livepair makes no call."),
        "throttled": ("Throttled", f"The API did not look at the pair. {then_failed('throttled')}"),
        "transient": ("Transient trouble of the service", then_failed("transient")),
        "configuration": (
            "Configuration",
            f"Somebody has to mend settings, permissions or the account. {then_failed('configuration')} "
            "Within that time livepair finds out by itself what is mended.",
        ),
        "unknown": ("Codes that livepair does not know", "livepair passes the code through as it came."),
    }


def codes_page() -> str:
    """Every code with what it means, by class, alike ones in one row."""
    named = [*CODES.items(), *((f"{family}…", row) for family, row in FAMILIES), ("any other", UNKNOWN)]
    found: dict[str, dict[Code, list[str]]] = {}
    for code, row in named:
        found.setdefault(_section(row), {}).setdefault(row, []).append(code)
    parts = [CODES_HEAD]
    for section, (heading, does) in _sections().items():
        parts.append(f"\n## {heading}\n\n{does}\n\n")
        parts.append("| code | says | outcome | category | advice | billed |\n")
        parts.append("| --- | --- | --- | --- | --- | --- |\n")
        parts += [_line(codes, row) for row, codes in found.pop(section).items()]
    if found:
        raise ValueError(f"no section of codes.md is for {', '.join(found)}")
    return "".join(parts)


def _section(row: Code) -> str:
    return "missing" if row.outcome == "incomplete" else row.klass


def _line(codes: Iterable[str], row: Code) -> str:
    also = [EXCEPTIONS[code] for code in codes if code in EXCEPTIONS]
    cells = (
        ", ".join(code if code == "any other" else f"`{code}`" for code in codes),
        "; ".join([row.says, *also]),
        f"`{row.outcome}`",
        row.category or "–",
        f"`{row.advice}`" if row.advice else "–",
        "yes" if row.billed else "",
    )
    return "| " + " | ".join(cells) + " |\n"


# --- blocks in pages that people write ----------------------------------------------------------------


def deliveries() -> str:
    """The schedule of a message's attempts."""
    days = round(sum(DELIVERIES, timedelta()) / timedelta(days=1))
    return (
        f"livepair posts a message {deliveries_in_words()} (each wait ± {SPREAD * 100:.0f} %).\n"
        f"These are {len(DELIVERIES) + 1} attempts in about {days} days. If all fail, livepair gives "
        "up, and the message goes to `dead/`.\n"
    )


def states() -> str:
    """The states of a verification, and what is done in each."""
    lines = [
        "| state | what lies in the bucket | an upload's event | a sweep or a walk |",
        "| --- | --- | --- | --- |",
    ]
    for state, row in TABLE.items():
        lines.append(f"| **{state}** | {row.lies} | {row.event.__doc__} | {row.sweep.__doc__} |")
    return "\n".join(lines) + "\n"


def schedule() -> str:
    """Every wait, in words."""
    rows = [
        ("a pair that waits for its other half", f"livepair looks again {looks_in_words()} after the upload"),
        *((f"a call that fails: {klass}", f"livepair asks {tries_in_words(klass)}") for klass in TRIES),
        ("a message that is not taken", f"livepair posts it {deliveries_in_words()}"),
    ]
    return "| what | when again |\n| --- | --- |\n" + "".join(f"| {what} | {when} |\n" for what, when in rows)


def alarms() -> str:
    """What to watch: each alarm of deploy/alarms.json, when it goes off, and what to do then."""
    found = json.loads((PROJECT / "deploy" / "alarms.json").read_text(encoding="utf-8"))["alarms"]
    rows = [f"| {each['name']} | {_goes_off(each)} | {each['means']}. {each['do']} |\n" for each in found]
    return "| alarm | goes off at | what it means, and what to do |\n| --- | --- | --- |\n" + "".join(rows)


def _goes_off(alarm: Mapping[str, Any]) -> str:
    search, value = f"`{alarm['search']}`", str(alarm["value"])
    if "of" in alarm:
        return f"{search}, above {alarm['threshold']} % of `{alarm['of']}` in {alarm['window']} min"
    if value != "count(*)":
        return f"{search}, {value.replace('(', ' of `').replace(')', '`')} above {alarm['threshold']}"
    if alarm["fires"] == "<":
        return f"no {search} in {alarm['window']} min"
    often = "" if alarm["threshold"] == 1 else f", {alarm['threshold']} in {alarm['window']} min"
    return f"{search}{often}"


PAGES: Mapping[str, Callable[[], str]] = {
    "events/codes.md": codes_page,
    **samples.SAMPLES,
    "events/openapi.yaml": openapi.page,
    "events/types/message.schema.json": contract.message_schema,
    "events/types/livepair.ts": typescript.module,
    "events/types/livepair.py": python.module,
    "events/types/livepair.go": go.module,
    "events/types/Livepair.java": java.module,
}
"""Pages that are made as a whole."""

BLOCKS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"example": samples.example},
    "events/README.md": {"deliveries": deliveries},
    "handler/README.md": {"states": states, "schedule": schedule},
    "handler/cli/README.md": {"alarms": alarms},
}
"""Blocks in pages that people write, by page and by the name in the block's marks."""


def with_block(page: str, name: str, made: str) -> str:
    """The page with what was made between the block's marks.

    Raises ValueError where the marks do not stand in it exactly once.
    """
    begin, end = f"<!-- {name}: begin (made by `make docs`) -->\n", f"<!-- {name}: end -->\n"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the marks of the block {name} must stand in the page once")
    before, rest = page.split(begin)
    return before + begin + made + end + rest.split(end)[1]


def documents() -> dict[Path, str]:
    """Every document that has made parts, as it has to be."""
    found = {PROJECT / name: make() for name, make in PAGES.items()}
    for name, blocks in BLOCKS.items():
        page = (PROJECT / name).read_text(encoding="utf-8")
        for block, make in blocks.items():
            page = with_block(page, block, make())
        found[PROJECT / name] = page
    return found


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
