"""What the bench prints: figures, each with its floor or peer, and series that show what stays flat."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table


class Figure(NamedTuple):
    """One row. `value` and `floor` are in `unit`; `measured` is what is held against `most`.

    `floor` is None where something is counted and not compared. `spread` is how far apart the quartiles of
    its repetitions lie, as a share of their median; None for what does not vary.
    """

    name: str
    value: float
    unit: str
    against: str
    floor: float | None
    measured: float
    most: float
    target: str
    spread: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the target is met."""
        return self.measured <= self.most

    def told(self) -> dict[str, Any]:
        """For machines."""
        return {**self._asdict(), "ok": self.ok}


class Series(NamedTuple):
    """How a cost grows: `points` of (size, cost)."""

    name: str
    x: str
    y: str
    points: tuple[tuple[float, float], ...]


def ratio(name: str, values: Sequence[float], against: str, floors: Sequence[float], most: float) -> Figure:
    """A figure in milliseconds held against its floor, from repetitions made in turns.

    The ratio is the median of each repetition's own, so that a slow moment of the machine slows both sides.
    """
    each = [value / floor for value, floor in zip(values, floors, strict=True)]
    return Figure(
        name,
        statistics.median(values),
        "ms",
        against,
        statistics.median(floors),
        statistics.median(each),
        most,
        f"≤ {most:.2f} ×",
        _spread(each),
    )


def counted(name: str, value: float, unit: str, most: float, against: str = "counted") -> Figure:
    """A figure that is a number of things."""
    return Figure(name, value, unit, against, None, value, most, f"≤ {most:g}")


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 4:
        return None
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / middle


def table(figures: Sequence[Figure]) -> Table:
    """The figures for people."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("figure", "measured", "floor or peer", "", "ratio", "target", ""):
        made.add_column(name, justify="right" if name in ("measured", "ratio") else "left", overflow="fold")
    for each in figures:
        spread = "" if each.spread is None else f" ± {each.spread / 2:.0%}"
        made.add_row(
            each.name,
            _number(each.value, each.unit),
            "" if each.floor is None else _number(each.floor, each.unit),
            each.against,
            _measured(each) + spread,
            each.target,
            "[green]ok[/]" if each.ok else "[red]missed[/]",
        )
    return made


def series_table(every: Sequence[Series]) -> Table:
    """What grows with what, for people."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("what", "of", "grows like this"):
        made.add_column(name, overflow="fold")
    for each in every:
        made.add_row(each.name, each.x, "  ".join(f"{x:,.0f}: {y:,.3g}" for x, y in each.points))
    return made


def _measured(each: Figure) -> str:
    """What is held against the target, where that is not the value itself."""
    if each.floor is None:
        return ""
    return f"{each.measured:+.1f} MB" if each.unit == "MB" else f"{each.measured:.2f}"


def _number(value: float, unit: str) -> str:
    return f"{value:,.1f} {unit}" if unit in ("ms", "MB", "s") else f"{value:,g} {unit}".strip()


Say = Callable[[str], None]
"""Tells of progress."""
