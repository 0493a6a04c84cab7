"""A report as one HTML file: no scripts, no outside links, light and dark as the reader's system is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from handler import __version__
from handler.cli.output import when
from handler.cli.report import charts
from handler.cli.report.charts import safe
from handler.cli.report.facts import Report, codes, first_attempt, groups, spreads
from handler.cli.report.reckon import OUTCOMES, PERCENTS
from handler.cli.report.text import STAGES, change, false_accept, percent, seconds

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What a browser lets the page do, should a text ever get through as more than text: nothing."""

MOST_GROUPS = 1_000
MOST_CODES = 30


def page(report: Report) -> str:
    """The whole file."""
    title = f"livepair: {report.bucket}"
    style = files("handler.cli.report").joinpath("page.css").read_text(encoding="utf-8")
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n',
            f"<title>{safe(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n",
            *_body(report),
            "</body>\n</html>\n",
        )
    )


def _body(report: Report) -> Iterator[str]:
    reckoning = report.reckoning
    yield f"<header><h1>Verifications in {safe(report.bucket)}</h1><p>decided from "
    yield f"{when(report.since)} to {when(report.until)}</p></header>\n<main>\n"
    yield from _missing(report)
    if not reckoning.total.count:
        yield "<p>Nothing was decided in this time.</p></main>\n"
        return
    yield _tiles(report)
    yield _card("Outcomes over time", _legend(), charts.over_time(reckoning.over_time.tallies))
    similarities = reckoning.similarities
    if similarities.count:
        drawn = charts.similarities(similarities.bins, sorted(similarities.used))
        yield _card("Similarity", _said(_RESTS.format(count=f"{similarities.count:,}")), drawn)
        yield _card("Had MIN_SIMILARITY been another", _thresholds(report), _said(_STATED))
    named = [(STAGES[name], spread) for name, spread in spreads(reckoning)]
    yield _card("How long it took", _said(_DURATIONS), charts.durations(named), _durations(report))
    yield _card("Codes", _codes(report))
    yield _card(f"By {report.by.replace('pair-value', 'value of the pair')}", _groups(report))
    made = f"Made {when(report.made_at)} by livepair {__version__}"
    yield f"</main>\n<footer>{safe(made)}, from {_number(reckoning.total.count)} records.</footer>\n"


_RESTS = "Of {count} comparisons that MIN_SIMILARITY decided about. What the API refused has none."
_STATED = (
    "The false-accept rates are Tencent's own words for 70 and 80: of so many comparisons with another "
    "person's face that share passes. It states none for others. What the API itself refused matches at no "
    "threshold."
)
_DURATIONS = (
    "From the newest upload to the decision, from then to the delivery, and both: p50, p95 and p99. COS "
    "tells the time of an upload in whole seconds, so up to one second is too much."
)


def _missing(report: Report) -> Iterator[str]:
    seen = report.seen
    for number, says in (
        (seen.left_out, "older records were left out: --limit was given."),
        (seen.unreadable, "records could not be read, and count nowhere."),
    ):
        if number:
            yield f'<p class="warning">{_number(number)} {safe(says)}</p>\n'


def _number(value: int) -> str:
    return f"{value:,}"


def _said(text: str) -> str:
    return f"<p>{safe(text)}</p>"


def _card(title: str, *parts: str) -> str:
    return f"<section><h2>{safe(title)}</h2>{''.join(parts)}</section>\n"


def _tiles(report: Report) -> str:
    return f'<div class="tiles">{"".join(_tile(*each) for each in _headlines(report))}</div>\n'


def _tile(name: str, value: str, more: str) -> str:
    return f"<div><h2>{safe(name)}</h2><strong>{safe(value)}</strong><small>{safe(more)}</small></div>"


def _headlines(report: Report) -> Iterator[tuple[str, str, str]]:
    """Name, figure, and what stands below it."""
    reckoning = report.reckoning
    total, pairs, deliveries = reckoning.total, reckoning.pairs, reckoning.deliveries
    yield "Pass rate", percent(total.pass_rate), f"{total.outcomes['matched']:,} of {total.judged:,} judged"
    retakes = f"{pairs.passed:,} of {pairs.judged:,} pairs, {pairs.retakes:,} retakes"
    yield "Of pairs", percent(pairs.pass_rate), retakes
    p50, p95 = (reckoning.in_all.percentile(each) for each in (50, 95))
    yield "Upload to delivery", seconds(p50), f"p50; p95 is {seconds(p95)}"
    undelivered = f"{deliveries.waiting:,} waiting, {deliveries.dead:,} dead"
    yield "First attempts", percent(first_attempt(reckoning)), f"of {deliveries.delivered:,}; {undelivered}"
    most = "" if total.billed == total.billed_at_most else f", at most {total.billed_at_most:,}"
    if report.price:
        yield "Cost", report.price.of(total.billed), f"{total.billed:,} billed calls{most}"
    else:
        yield "Billed calls", f"{total.billed:,}", f"of {total.calls:,} calls{most}"


def _legend() -> str:
    items = "".join(f'<li class="{each}">{each}</li>' for each in OUTCOMES)
    return f'<ul class="legend">{items}</ul>'


# --- tables ---------------------------------------------------------------------------------------------


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are HTML already; the first of each row is its head."""
    head = "".join(f'<th scope="col">{safe(name)}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{each}</td>" for each in row[1:])}</tr>'
        for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _thresholds(report: Report) -> str:
    found = report.reckoning.similarities
    rows = [
        (
            f"{each.threshold:g}",
            _number(each.would_match),
            safe(change(each.change)),
            charts.small_bar(each.would_match / found.count, "matched"),
            safe(false_accept(each.false_accept)),
        )
        for each in found.what_if()
    ]
    names = ("threshold", "would match", "change", f"of {found.count:,}", "false-accept rate")
    return _table(names, rows)


def _durations(report: Report) -> str:
    rows = [
        (
            safe(STAGES[name]),
            *(safe(seconds(spread.percentile(each))) for each in PERCENTS),
            _number(spread.count),
        )
        for name, spread in spreads(report.reckoning)
    ]
    return _table(("", *(f"p{each}" for each in PERCENTS), "of"), rows)


def _codes(report: Report) -> str:
    found = codes(report.reckoning)
    rows = [
        (
            f"<code>{safe(code)}</code>",
            f'<span class="badge {safe(outcome)}">{safe(outcome)}</span>',
            _number(number),
            charts.small_bar(number / found[0][2], outcome),
        )
        for code, outcome, number in found[:MOST_CODES]
    ]
    return _table(("code", "outcome", "count", ""), rows) + _more(len(found) - MOST_CODES, "codes")


def _groups(report: Report) -> str:
    found = groups(report)
    rows = [
        (
            safe(name),
            *(_number(tally.outcomes[each]) for each in OUTCOMES),
            safe(percent(tally.pass_rate)),
            _number(tally.calls),
            _number(tally.billed),
        )
        for name, tally in found[:MOST_GROUPS]
    ]
    names = (report.by, *OUTCOMES, "pass rate", "calls", "billed")
    return _table(names, rows) + _more(len(found) - MOST_GROUPS, "groups")


def _more(number: int, noun: str) -> str:
    return _said(f"{number:,} {noun} more: --json tells all.") if number > 0 else ""
