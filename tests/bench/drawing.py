"""Plots and the waterfall, drawn as SVG by hand: no picture needs more than lines, boxes and text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from tests.bench.figures import Series
from tests.bench.warm import Bar

INK, SOFT, GRID = "#1f2937", "#6b7280", "#e5e7eb"
COLOURS = {
    "cos": "#2563eb",
    "faceid": "#d97706",
    "faceid-files": "#0891b2",
    "webhook": "#16a34a",
    "wait": "#d1d5db",
}
NAMES = {
    "cos": "COS",
    "faceid": "the API",
    "faceid-files": "the API's storage",
    "webhook": "webhook",
    "wait": "waiting",
}
FONT = 'font-family="ui-sans-serif,system-ui,sans-serif" font-size="12"'


def waterfall(bars: Sequence[Bar]) -> str:
    """The requests of one verification, top to bottom as they began.

    The API's long bar is cut, so that what is around it can be seen: its middle is left out of the axis.
    """
    left, width, row = 130, 640, 20
    call = max(bars, key=lambda bar: bar.took)
    cut = max(0.0, call.took - 100)
    middle = call.begin + call.took / 2
    end = max(bar.begin + bar.took for bar in bars) - cut

    def x(at: float) -> float:
        shown = at if at <= middle - cut / 2 else max(middle - cut / 2, at - cut)
        return left + width * shown / end

    height = 34 + row * len(bars) + 40
    out = [_head(left + width + 90, height)]
    for at in range(0, 10_000, 50):
        if abs(at - middle) >= cut / 2 and x(at) <= left + width:
            out.append(
                f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="24" y2="{height - 36}" stroke="{GRID}"/>'
            )
            out.append(_text(x(at), 18, f"{at}", SOFT, "middle"))
    out.append(_text(left - 8, 18, "ms", SOFT, "end"))
    for number, bar in enumerate(bars):
        y = 30 + row * number
        wide = max(1.5, x(bar.begin + bar.took) - x(bar.begin))
        out.append(_text(left - 8, y + 12, bar.label, INK, "end"))
        box = f'x="{x(bar.begin):.1f}" y="{y}" width="{wide:.1f}" height="14"'
        out.append(f'<rect {box} rx="2" fill="{COLOURS[bar.kind]}"/>')
        if bar is call and cut:
            gap = x(middle)
            out.append(
                f'<path d="M{gap - 5:.1f} {y - 2} l4 9 l-4 9 M{gap + 1:.1f} {y - 2} l4 9 l-4 9" '
                'stroke="#fff" stroke-width="2" fill="none"/>'
            )
        out.append(_text(x(bar.begin) + wide + 5, y + 12, f"{bar.took:.0f}", SOFT))
    place = float(left)
    for kind in dict.fromkeys(bar.kind for bar in bars):
        out.append(
            f'<rect x="{place}" y="{height - 24}" width="12" height="12" rx="2" fill="{COLOURS[kind]}"/>'
        )
        out.append(_text(place + 18, height - 14, NAMES[kind], INK))
        place += 34 + 8 * len(NAMES[kind])
    return "\n".join([*out, "</svg>\n"])


def growth(every: Sequence[Series]) -> str:
    """One small plot for each series, their x axes by powers of ten."""
    wide, high, across = 270, 190, 3
    rows = math.ceil(len(every) / across)
    out = [_head(wide * across + 20, high * rows + 10)]
    for number, series in enumerate(every):
        left, top = 10 + wide * (number % across), 5 + high * (number // across)
        out += _plot(series, left, top, wide - 20, high - 20)
    return "\n".join([*out, "</svg>\n"])


def _plot(series: Series, left: float, top: float, wide: float, high: float) -> list[str]:
    x0, y0, w, h = left + 44, top + 26, wide - 60, high - 66
    places = [math.log10(max(1.0, at)) for at, _ in series.points]
    first, last = min(places), max(places)
    most = _round_up(max(y for _, y in series.points))
    spots = [
        (x0 + w * (place - first) / ((last - first) or 1), y0 + h - h * y / most)
        for place, (_, y) in zip(places, series.points, strict=True)
    ]
    out = [_text(left + 4, top + 14, series.name, INK)]
    for part in (0.0, 0.5, 1.0):
        y = y0 + h - h * part
        out.append(f'<line x1="{x0}" x2="{x0 + w}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>')
        out.append(_text(x0 - 6, y + 4, f"{most * part:,g}", SOFT, "end"))
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS["cos"]}" stroke-width="2"/>')
    for (x, y), (at, _) in zip(spots, series.points, strict=True):
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{COLOURS["cos"]}"/>')
        if at in (0, 1) or math.log10(at).is_integer() or len(series.points) < 5:
            out.append(_text(x, y0 + h + 16, _short(at), SOFT, "middle"))
    out.append(_text(x0 + w / 2, y0 + h + 32, series.x, SOFT, "middle"))
    return out


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 5, 10) if value <= step * power)


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _head(wide: float, high: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" {FONT}>\n'
        '<rect width="100%" height="100%" fill="#fff"/>'
    )


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
