"""The report's pictures: inline SVG without scripts, coloured by the page's style. Pure.

Every text is escaped here, since codes and the values of pairs come from outside.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from handler.cli.report.reckon import BIN, OUTCOMES, PERCENTS, Spread, Tally
from handler.cli.report.text import percent, seconds
from handler.rules.pairing import plain

WIDTH = 960
MOST_BARS = 400
LEFT = 52  # where the plots begin: room for the axis's words


def safe(text: object) -> str:
    """A text as HTML and SVG show it, also within an attribute."""
    return html.escape(plain(text), quote=True)


def picture(height: int, label: str, parts: Iterable[str]) -> str:
    """An SVG of the page's width; `label` says in words what it shows."""
    said = f'role="img" aria-label="{safe(label)}"'
    return f'<div class="wide"><svg viewBox="0 0 {WIDTH} {height}" {said}>{"".join(parts)}</svg></div>'


def _text(x: float, y: float, said: object, classes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}">{safe(said)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, classes: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"/>'


def _bar(box: tuple[float, float, float, float], classes: str, says: str) -> str:
    """A bar at x, y, of a width and a height; `says` is shown while the pointer is on it."""
    x, y, width, height = box
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(0.5, width):.1f}" height="{max(0.0, height):.1f}" '
        f'class="{classes}"><title>{safe(says)}</title></rect>'
    )


def steps(most: int) -> list[int]:
    """Values for an axis from 0 to at least `most`, three to six of them where there are, round ones."""
    most = max(1, most)
    size = 10 ** max(0, math.floor(math.log10(most)) - 1)
    step = next(each * size for each in (1, 2, 5, 10, 20, 50, 100) if most / (each * size) <= 5)
    return list(range(0, step * (-(-most // step)) + 1, step))


# --- over time --------------------------------------------------------------------------------------------


def every_step(names: Iterable[str]) -> list[str]:
    """All days or hours from the first to the last of these, the last `MOST_BARS` of them."""
    known = sorted(names)
    if not known:
        return []
    pattern, step = ("%Y-%m-%d", timedelta(days=1))
    if ":" in known[0]:
        pattern, step = ("%Y-%m-%d %H:00", timedelta(hours=1))
    last = datetime.strptime(known[-1], pattern)  # only a name that is counted on
    first = max(datetime.strptime(known[0], pattern), last - step * (MOST_BARS - 1))
    return [(first + step * n).strftime(pattern) for n in range((last - first) // step + 1)]


def over_time(tallies: Mapping[str, Tally]) -> str:
    """Outcomes by day or hour, stacked, and below them the pass rate."""
    names = every_step(name for name in tallies if name[:1].isdigit())
    shown = [tallies.get(name) or Tally() for name in names]
    axis = steps(max((tally.count for tally in shown), default=0))
    top, bottom = 12.0, 232.0
    scale, slot = (bottom - top) / axis[-1], (WIDTH - LEFT - 8) / max(1, len(names))
    parts = list(_rules(axis, top, bottom))
    for number, (name, tally) in enumerate(zip(names, shown, strict=True)):
        x, y = LEFT + slot * number, bottom
        for outcome in OUTCOMES:
            height = tally.outcomes[outcome] * scale
            y -= height
            if height:
                says = f"{name}: {tally.outcomes[outcome]} {outcome}"
                parts.append(_bar((x + slot * 0.1, y, slot * 0.8, height), outcome, says))
    every = max(1, -(-len(names) // 8))
    for number in range(0, len(names), every):
        parts.append(_text(LEFT + slot * (number + 0.5), bottom + 16, names[number], "tick middle"))
    parts += _pass_rate(names, shown, slot)
    return picture(356, "Outcomes over time, and the pass rate below them", parts)


def _rules(axis: Sequence[int], top: float, bottom: float) -> Iterator[str]:
    for value in axis:
        y = bottom - (bottom - top) * value / axis[-1]
        yield _line(LEFT, y, WIDTH - 8, y, "rule")
        yield _text(LEFT - 8, y + 4, f"{value:,}", "tick end")


def _pass_rate(names: list[str], shown: list[Tally], slot: float) -> Iterator[str]:
    top, bottom = 280.0, 344.0
    yield _text(WIDTH - 8, top - 8, "pass rate", "tick end")
    for part in (0.0, 0.5, 1.0):
        y = bottom - (bottom - top) * part
        yield _line(LEFT, y, WIDTH - 8, y, "rule")
        yield _text(LEFT - 8, y + 4, f"{part:.0%}", "tick end")
    points: list[tuple[float, float, str]] = []
    for number, (name, tally) in enumerate(zip(names, shown, strict=True)):
        rate = tally.pass_rate
        if rate is not None:
            at = (LEFT + slot * (number + 0.5), bottom - (bottom - top) * rate)
            points.append((*at, f"{name}: {percent(rate)} of {tally.judged}"))
    if points:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        yield f'<polyline points="{way}" class="way"/>'
    for x, y, says in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="dot"><title>{safe(says)}</title></circle>'


# --- similarities -----------------------------------------------------------------------------------------


def similarities(bins: Sequence[int], used: Iterable[float]) -> str:
    """How many comparisons fell into each bin, and where MIN_SIMILARITY stood."""
    axis = steps(max(bins, default=0))
    top, bottom = 24.0, 216.0
    slot = (WIDTH - LEFT - 8) / len(bins)
    least = min(used, default=0.0)
    parts = list(_rules(axis, top, bottom))
    for number, held in enumerate(bins):
        low, high = BIN * number, BIN * (number + 1)
        height = (bottom - top) * held / axis[-1]
        outcome = "matched" if low >= least else "mismatched"
        says = f"{low}–{high}: {held}"
        x = LEFT + slot * number
        if held:
            parts.append(_bar((x + 2, bottom - height, slot - 4, height), outcome, says))
        if number % 2 == 0:
            parts.append(_text(x, bottom + 16, low, "tick middle"))
    parts.append(_text(LEFT + slot * len(bins), bottom + 16, 100, "tick end"))
    for each in used:
        x = LEFT + slot * each / BIN
        parts.append(_line(x, top - 8, x, bottom, "mark"))
        side, shift = ("end", -6) if each > 50 else ("", 6)
        parts.append(_text(x + shift, top, f"MIN_SIMILARITY {each:g}", f"tick strong {side}"))
    return picture(240, "Similarities in bins of five, and MIN_SIMILARITY", parts)


# --- durations --------------------------------------------------------------------------------------------


def durations(rows: Sequence[tuple[str, Spread]]) -> str:
    """For each stage a line from p50 to p99, on a scale where each step is ten times the one before."""
    values = [each for _, spread in rows for each in map(spread.percentile, PERCENTS) if each]
    low = math.floor(math.log10(min(values, default=0.1)))
    high = max(low + 1, math.ceil(math.log10(max(values, default=10.0))))
    left, height = 190.0, 46.0 * len(rows) + 34

    def x_of(value: float) -> float:
        place = (math.log10(max(value, 10.0**low)) - low) / (high - low)
        return left + (WIDTH - left - 70) * place

    parts: list[str] = []
    for power in range(low, high + 1):
        x = x_of(10.0**power)
        parts.append(_line(x, 8, x, height - 26, "rule"))
        parts.append(_text(x, height - 8, seconds(10.0**power), "tick middle"))
    for number, (name, spread) in enumerate(rows):
        y = 34 + 46.0 * number
        parts.append(_text(0, y + 4, name, "name"))
        found = [(each, spread.percentile(each)) for each in PERCENTS]
        parts += _span([(each, x_of(value), value) for each, value in found if value is not None], y)
    return picture(int(height), "Durations: p50, p95 and p99 of each stage", parts)


def _span(found: Sequence[tuple[int, float, float]], y: float) -> Iterator[str]:
    if not found:
        return
    yield _line(found[0][1], y, found[-1][1], y, "span")
    for each, x, value in found:
        says = f"p{each}: {seconds(value)}"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" class="p{each}"><title>{safe(says)}</title></circle>'
    yield _text(found[0][1], y - 12, seconds(found[0][2]), "tick middle")
    if found[-1][1] - found[0][1] > 60:
        yield _text(found[-1][1], y - 12, seconds(found[-1][2]), "tick middle")


# --- bars in a table --------------------------------------------------------------------------------------


def small_bar(part: float, classes: str) -> str:
    """A bar within a cell, `part` of it long."""
    width = 100 * min(1.0, max(0.0, part))
    return (
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" class="small" aria-hidden="true">'
        f'<rect width="{width:.2f}" height="10" class="{safe(classes)}"/></svg>'
    )
