"""What commands print can be read in a terminal of any width, copied, and read by other programs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from handler.cli.output import Output

ID, KEY = "8f633646549d0750a13c8cff166fe815", "uploads/a1f4c0de-a1f4-4e0c-a6d5-5a0f2ef4a5d9/live.gz"
NAMES = ("when (UTC)", "what", "more", "verification")
ROWS = [
    ("2026-11-22 12:00:00Z", "uploaded", f'{KEY}, 183204 bytes, ETag "{ID}"', ""),
    ("2026-11-22 12:00:01Z", "decided: matched", f"run 1, Success, 1 call, API request {ID}", ID),
]


def printed(width: int, rows: Sequence[Sequence[str]], names: Sequence[str], *, terminal: bool) -> list[str]:
    """The lines of a table, on a terminal of this width or in a pipe."""
    output, file = Output(as_json=False), StringIO()
    output.out = Console(
        width=width, force_terminal=terminal, color_system=None, highlight=False, soft_wrap=True, file=file
    )
    output.table(names, rows)
    return [line.rstrip() for line in re.sub(r"\x1b\[\d*m", "", file.getvalue()).splitlines()]


@pytest.mark.parametrize("width", [40, 80, 100, 120, 200])
def test_ids_and_keys_can_be_copied_at_any_width(width: int) -> None:
    """Each stands whole in a line; no line is wider than the terminal but for what cannot be shorter."""
    lines = printed(width, ROWS, NAMES, terminal=True)
    text = "\n".join(lines)
    assert text.count(ID) == 3
    assert text.count(KEY) == 1
    assert all(len(line) <= max(width, len("    verification  ") + len(KEY) + 1) for line in lines), text


def test_a_story_is_a_table_at_80_columns_where_its_words_allow() -> None:
    """A moment and what happened stand in one line."""
    rows = [row[:3] for row in ROWS if KEY not in row[2]]
    lines = printed(80, rows, NAMES[:3], terminal=True)
    assert lines[0].split() == ["when", "(UTC)", "what", "more"]
    assert lines[2].startswith("2026-11-22 12:00:01Z  decided: matched  run 1, Success")


def test_what_is_piped_has_a_line_for_each_row() -> None:
    """Whatever is said to be its width: whoever reads it is a program, or a file."""
    lines = printed(80, ROWS, NAMES, terminal=False)
    assert len(lines) == 2 + len(ROWS)
    for row, line in zip(ROWS, lines[2:], strict=True):
        assert re.split(" {2,}", line) == [cell for cell in row if cell]


words = st.text(st.sampled_from("ab1-/張"), min_size=1, max_size=60)
texts = st.lists(words, max_size=5).map(" ".join)


@given(st.integers(20, 200), st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=4))
def test_no_word_is_broken(width: int, rows: list[tuple[str, str, str]]) -> None:
    """Of any cell, in a terminal of any width, also of a script whose characters are two columns wide."""
    lines = printed(width, rows, ("one", "two", "three"), terminal=True)
    found = sorted(word for line in lines for word in line.split())
    for word in {word for row in rows for cell in row for word in cell.split()}:
        assert word in found, (word, lines)
