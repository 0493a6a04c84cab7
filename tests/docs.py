"""The parts of the README that are made from the code: `make docs` writes them, a test compares them."""

from __future__ import annotations

from handler.rules.codes import CODES, FAMILIES, UNKNOWN, Code
from tests.support.project import PROJECT

README = PROJECT / "README.md"
BEGIN, END = "<!-- codes: begin (made by `make docs`) -->\n", "<!-- codes: end -->\n"

AGAIN = {
    "busy": "again, up to 24 h; then ",
    "trouble": "again, 7 times in about an hour; then ",
    "ours": "again, up to 24 h; then ",
}
EXCEPTIONS = {"Livepair.NoSimilarity": "again, once; then ", "Livepair.AnswerLost": ""}
ORDER = ("matched", "mismatched", "rejected", "incomplete", "failed")


def codes_table() -> str:
    """Every code with what it means, alike ones in one row."""
    rows: dict[tuple[Code, ...], list[str]] = {}
    named = [*CODES.items(), *((f"{family}\\*", row) for family, row in FAMILIES), ("any other", UNKNOWN)]
    for code, row in named:
        rows.setdefault((row,), []).append(code if code == "any other" else f"`{code}`".replace("\\*`", "`…"))
    lines = [
        "| code | says | outcome | category | advice | billed |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (row,), codes in sorted(rows.items(), key=lambda item: ORDER.index(item[0][0].outcome)):
        again = next((EXCEPTIONS[c.strip("`")] for c in codes if c.strip("`") in EXCEPTIONS), None)
        outcome = f"{AGAIN.get(row.klass, '') if again is None else again}`{row.outcome}`"
        cells = (
            ", ".join(codes),
            row.says,
            outcome,
            row.category or "–",
            f"`{row.advice}`" if row.advice else "–",
            "yes" if row.billed else "",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_table(readme: str) -> str:
    """The README with the table as it has to be."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return before + BEGIN + codes_table() + END + after


if __name__ == "__main__":
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8")
