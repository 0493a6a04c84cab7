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
        """A table for people. Cells that are Text keep their colours."""
        if self.as_json:
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(names))
        for name in names:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row))
        if table.row_count:
            Console(highlight=False).print(table)
        else:
            self.say(empty)

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


def _simple(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)
