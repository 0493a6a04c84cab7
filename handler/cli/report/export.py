"""Verifications line by line: CSV for spreadsheets, and NDJSON whose lines are chained by their hashes.

Each NDJSON line carries the SHA-256 of the one before it, the first that of nothing; the last says how many
there are. So a line that was cut out, put in, changed or moved shows, and so does a cut end. Whoever can
write the file can make a whole new chain: note the last line's hash elsewhere.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from handler import __version__
from handler.cli.deployment import Problem
from handler.cli.report.read import Entry, Period
from handler.rules.agenda import time_text
from handler.rules.pairing import plain

FORMAT = "livepair.report.1"
START: Final = "0" * 64
"""What the first line carries."""

LONGEST_LINE = 1_000_000  # characters

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What a spreadsheet may take for the begin of a formula; the wide ones some of them read as the others."""

COLUMNS = (
    "verification", "run", "outcome", "code", "category", "api_code", "similarity", "min_similarity",
    "uploaded_at", "decided_at", "delivered_at", "dead_at", "attempts", "calls", "billed",
)  # fmt: skip
"""What is exported of each verification, in this order."""


def columns(placeholders: tuple[str, ...], *, with_pair: bool) -> tuple[str, ...]:
    """The names of all columns."""
    more = ("live_key", "image_key", *(f"pair.{name}" for name in placeholders))
    return (*COLUMNS, *more) if with_pair else COLUMNS


def exported(entry: Entry) -> dict[str, Any]:
    """A verification's columns; what names its pair is among them only where it was asked for."""
    row = entry.row
    fields: dict[str, Any] = {"verification": row.id, "billed": row.billed, "category": row.category}
    for name in COLUMNS:
        if name not in fields:
            value = getattr(row, name)
            fields[name] = time_text(value) if isinstance(value, datetime) else value
    fields = {name: fields[name] for name in COLUMNS}
    if entry.named is not None:
        fields.update(live_key=entry.named.live_key, image_key=entry.named.image_key)
        fields.update({f"pair.{name}": value for name, value in entry.named.values.items()})
    return fields


class Csv:
    """Writes CSV as RFC 4180 has it. No cell is a formula: what looks like one begins with `'`."""

    def __init__(self, file: TextIO, names: tuple[str, ...]) -> None:
        self._names = names
        self._writer = csv.writer(file, lineterminator="\r\n")
        self._writer.writerow(names)

    def add(self, entry: Entry) -> None:
        fields = exported(entry)
        self._writer.writerow(cell(fields.get(name)) for name in self._names)


def cell(value: object) -> str:
    """A value as a CSV cell shows it; a text that a spreadsheet would compute begins with `'`."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    text = "'" + value if value.lstrip(" ").startswith(_FORMULA) else value
    return plain(text)


class Chain:
    """Writes NDJSON whose lines are chained."""

    def __init__(self, file: TextIO, period: Period, made_at: datetime, *, with_pair: bool) -> None:
        self._file = file
        self.previous: str = START
        """The SHA-256 of the line that was written last."""
        self.count = 0
        since, until = time_text(period.since), time_text(period.until)
        self._write(
            {
                "format": FORMAT,
                "livepair": __version__,
                "made_at": time_text(made_at),
                "since": since,
                "until": until,
                "with_pair": with_pair,
            }
        )

    def add(self, entry: Entry) -> None:
        self.count += 1
        self._write(exported(entry))

    def end(self, left_out: int, unreadable: int) -> None:
        self._write({"end": True, "rows": self.count, "left_out": left_out, "unreadable": unreadable})

    def _write(self, fields: Mapping[str, Any]) -> None:
        line = json.dumps({"previous": self.previous, **fields})
        self._file.write(line + "\n")
        self.previous = _hash(line)


def _hash(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()


# --- looking at a chain -----------------------------------------------------------------------------------


class Chained(NamedTuple):
    """A whole chain: its verifications, and the hash of its last line."""

    rows: int
    last: str


def verify(path: Path) -> Chained:
    """Follow a chain from its first line to its last. Raises Problem that names the line where it breaks."""
    previous, rows, ended = START, -1, False
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(_lines(file), 1):
                found = _found(path, number, line)
                if ended:
                    raise Problem(f"{path}: line {number} comes after the end: it was put in")
                if found.get("previous") != previous:
                    raise Problem(
                        f"{path}: line {number} does not follow the one before it: lines were changed, "
                        "moved, put in or cut out there"
                    )
                previous, rows = _hash(line.removesuffix("\n")), rows + 1
                ended = found.get("end") is True
                if ended and found.get("rows") != rows - 1:
                    raise Problem(
                        f"{path}: the last line tells {found.get('rows')} rows, {rows - 1} are there"
                    )
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeError:
        raise Problem(f"{path} is no UTF-8 text") from None
    if not ended:
        raise Problem(f"{path}: its end is cut off: the last line is not there")
    return Chained(rows - 1, previous)


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        yield line


def _found(path: Path, number: int, line: str) -> dict[str, Any]:
    """A line's fields. Raises Problem where it is none of a chain."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not line.endswith("\n"):
        raise Problem(f"{path}: line {number} is no whole line of JSON: it was changed or cut")
    if number == 1 and found.get("format") != FORMAT:
        raise Problem(f"{path} is no {FORMAT}; `report --ndjson FILE` writes one")
    return found
