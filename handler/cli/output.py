"""What commands print: tables for people, JSON for programs, and text that others chose made safe to show."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from handler.rules.pairing import plain


def when(at: datetime | None) -> str:
    """A moment in UTC, to the second."""
    return at.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ") if at else ""


def count(number: int, noun: str) -> str:
    """`1 message`, `2 messages`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A length of time in its two largest units: `2 d 3 h`, `5 min 10 s`."""
    left = int(abs(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if left >= length or (unit == "s" and not parts):
            parts.append(f"{left // length} {unit}")
            left %= length
        elif parts:
            break
    return " ".join(parts[:2])


class Output:
    """Where one command prints. With `as_json` it prints one JSON value to stdout and nothing else there."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.out = Console(highlight=False, soft_wrap=True)
        self.err = Console(highlight=False, soft_wrap=True, stderr=True)

    def say(self, text: str) -> None:
        """A line for people; with JSON it goes to stderr."""
        (self.err if self.as_json else self.out).print(Text(plain(text)))

    def warn(self, text: str) -> None:
        """A line about what is wrong, on stderr."""
        self.err.print(Text(plain(text)))

    def value(self, value: Any) -> None:
        """The command's result, where JSON is wanted: in ASCII, since a terminal may show it too."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, default=_simple) + "\n")
            sys.stdout.flush()  # so that a reader who is gone is noticed here

    def table(self, names: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "nothing") -> None:
        """A table for people, in which no word is ever broken, so that ids and keys can be copied.

        Where a terminal is too narrow for its words, each row is a block of lines. What is piped is as wide
        as it needs to be. Cells that are Text keep their colours.
        """
        if self.as_json:
            return
        cells = [[cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row] for row in rows]
        if not cells:
            self.say(empty)
            return
        console = self.out
        widths = _widths(
            [[Text(name) for name in names], *cells], console.width if console.is_terminal else None
        )
        if widths is None:
            _print_blocks(console, names, cells)
            return
        table = Table(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), show_header=any(names)
        )
        for name, width in zip(names, widths, strict=True):
            table.add_column(name, width=width, no_wrap=True, overflow="ignore")
        for row in cells:
            wrapped = map(_wrapped, row, widths)
            table.add_row(*(Text("\n").join(lines) for lines in wrapped))
        whole = sum(widths) + GAP * (len(widths) - 1)
        terminal, file = console.is_terminal, console.file
        Console(highlight=False, width=max(whole, 1), force_terminal=terminal, file=file).print(table)

    @contextmanager
    def counting(self, what: str) -> Generator[Callable[[], None], None, None]:
        """A line on stderr that counts, where that is a terminal: call what is given for each of them."""
        with self.progress() as progress:
            bar = progress.add_task(what, total=None)
            yield partial(progress.advance, bar)

    def progress(self) -> Progress:
        """A bar on stderr, shown where that is a terminal."""
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self.err,
            transient=True,
            disable=not self.err.is_terminal,
        )


GAP = 2
"""Columns between two cells of a table."""


SHORT = 24
"""A column that is no wider is not wrapped: a moment, a state."""


def _widths(rows: Sequence[Sequence[Text]], most: int | None) -> list[int] | None:
    """How wide each column is in `most` columns, so that no word is broken; None where that cannot be.

    What is left after each column's longest word goes to those with the longest texts.
    """
    columns = list(zip(*rows, strict=True))
    wanted = [max(cell.cell_len for cell in column) for column in columns]
    if most is None:
        return wanted
    words = [max(_longest_word(cell) for cell in column) for column in columns]
    least = [full if full <= SHORT else word for full, word in zip(wanted, words, strict=True)]
    left = most - sum(least) - GAP * (len(columns) - 1)
    if left < 0:
        return None
    short = [full - word for full, word in zip(wanted, least, strict=True)]
    share = min(1.0, left / (sum(short) or 1))
    return [word + int(missing * share) for word, missing in zip(least, short, strict=True)]


def _longest_word(cell: Text) -> int:
    return max((Text(word).cell_len for word in cell.plain.split()), default=0)


def _print_blocks(console: Console, names: Sequence[str], rows: Iterable[Sequence[Text]]) -> None:
    """Each row as lines: its first two cells, then each other with its name, wrapped between words only."""
    named = max(map(len, names[2:]), default=0)
    for row in rows:
        console.print(Text("  ").join(cell for cell in row[:2] if cell))
        for name, cell in zip(names[2:], row[2:], strict=True):
            begin = f"    {name:<{named}}  "
            lines = _wrapped(cell, console.width - len(begin))
            for number, line in enumerate(lines):
                console.print(Text(begin if number == 0 else " " * len(begin)) + line)


def _wrapped(cell: Text, width: int) -> list[Text]:
    """A cell in lines, broken between words only: a word that is longer has a line of its own."""
    lines: list[Text] = []
    for word in cell.split(" ") if cell else []:
        if lines and lines[-1].cell_len + 1 + word.cell_len <= width:
            lines[-1] = lines[-1] + Text(" ") + word
        else:
            lines.append(word)
    return lines


def _simple(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
