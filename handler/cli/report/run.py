"""Reading, counting and writing, together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from handler.cli.deployment import Deployment, Problem
from handler.cli.output import Output
from handler.cli.private import private_text
from handler.cli.report.cache import Cache, cache_path
from handler.cli.report.export import Chain, Csv, columns
from handler.cli.report.facts import Price, Report, Seen
from handler.cli.report.page import page
from handler.cli.report.read import Period, Reader
from handler.cli.report.reckon import BY, Reckoning, day_of, hour_of
from handler.cli.report.row import Row

SHORT = timedelta(days=3)
"""Up to so much time the chart has a bar for each hour, above it for each day."""


class Asked(NamedTuple):
    """What a report is asked for. `placeholder` is the one whose values are the groups of `pair-value`."""

    period: Period
    by: str = "day"
    placeholder: str | None = None
    thresholds: tuple[float, ...] = ()
    price: Price | None = None
    limit: int | None = None
    with_pair: bool = False
    use_cache: bool = True
    html: Path | None = None
    csv: Path | None = None
    ndjson: Path | None = None


class Made(NamedTuple):
    """A report, and the hash of the last line of its NDJSON, where one was written."""

    report: Report
    last: str | None


def make(deployment: Deployment, output: Output, asked: Asked) -> Made:
    """Read the records of the time, count them, and write the files that were asked for.

    Raises Problem and CosError; files are whole or as they were.
    """
    now = deployment.clock.now()
    placeholder = _placeholder(deployment, asked)
    period = asked.period
    until = period.until or max(now, period.since)
    reckoning = Reckoning(BY[asked.by], _time_of(until - period.since), asked.thresholds)
    with ExitStack() as open_files:
        cache = open_files.enter_context(Cache(cache_path(deployment) if asked.use_cache else None))
        chained, sheet, drawn = (
            open_files.enter_context(private_text(path)) for path in (asked.ndjson, asked.csv, asked.html)
        )
        names = columns(deployment.settings.templates.live[0].names, with_pair=asked.with_pair)
        lines = Csv(sheet, names) if sheet else None
        chain = Chain(chained, period, now, with_pair=asked.with_pair) if chained else None
        reader = Reader(deployment, cache, with_pair=asked.with_pair)
        advance = open_files.enter_context(output.counting("reading records"))
        for pair in reader.pairs(period, asked.limit, advance):
            value = reader.value(pair[0], placeholder) if asked.by == "pair-value" else ""
            reckoning.add([entry.row for entry in pair], value)
            for entry in pair:
                if lines:
                    lines.add(entry)
                if chain:
                    chain.add(entry)
        seen = Seen(reader.read, reader.from_cache, reader.left_out, reader.unreadable, tuple(reader.why))
        bucket = deployment.settings.bucket
        report = Report(bucket, period.since, until, now, asked.by, reckoning, asked.price, seen)
        if chain:
            chain.end(seen.left_out, seen.unreadable)
        if drawn:
            drawn.write(page(report))
    return Made(report, chain.previous if chain else None)


def _time_of(span: timedelta) -> Callable[[Row, str], str]:
    return hour_of if span <= SHORT else day_of


def _placeholder(deployment: Deployment, asked: Asked) -> str:
    """The placeholder whose values are grouped: LIVE_KEY's first, or the one that was asked for."""
    names = deployment.settings.templates.live[0].names
    chosen = asked.placeholder or names[0]
    if chosen not in names:
        raise Problem(f"LIVE_KEY has no placeholder {chosen!r}; it has {', '.join(names)}")
    return chosen
