"""A report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from handler.cli.output import Output, count, when
from handler.cli.report.facts import Report, codes, first_attempt, groups, spreads
from handler.cli.report.reckon import BIN, OUTCOMES, PERCENTS, Spread

MOST_LINES = 40
"""Groups that are shown; `--json` and `--html` tell all."""

WIDTH = 40  # characters of the longest bar

STAGES = {
    "upload_to_decided": "upload → decided",
    "decided_to_delivered": "decided → delivered",
    "upload_to_delivered": "upload → delivered",
}


def percent(part: float | None) -> str:
    return "–" if part is None else f"{100 * part:.1f} %"


def seconds(value: float | None) -> str:
    """A duration to three digits: `0.84 s`, `31 s`, `5 min`, `2.5 h`."""
    if value is None:
        return "–"
    for least, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if value >= 2 * least:
            return f"{value / least:.3g} {unit}"
    return f"{value:.3g} s"


def change(number: int) -> str:
    return f"{number:+d}".replace("-", "−") if number else "0"


def false_accept(part: float | None) -> str:
    return "not stated" if part is None else f"{100 * part:g} %"


def show(report: Report, output: Output) -> None:
    """Print all of it."""
    output.say(f"{report.bucket}, decided from {when(report.since)} to {when(report.until)}")
    show_short(report, output)
    if not report.reckoning.total.count:
        return
    output.table(("code", "outcome", "count"), codes(report.reckoning)[:MOST_LINES])
    output.table(("similarity", "count", ""), list(_bins(report)), empty="no similarity")
    _thresholds(report, output)
    rows = groups(report)
    names = (report.by, *OUTCOMES, "pass rate", "calls")
    output.table(
        names,
        [
            (name, *(tally.outcomes[each] for each in OUTCOMES), percent(tally.pass_rate), tally.calls)
            for name, tally in rows[:MOST_LINES]
        ],
    )
    if len(rows) > MOST_LINES:
        output.say(f"{count(len(rows) - MOST_LINES, 'group')} more: --json and --html show all.")


def show_short(report: Report, output: Output) -> None:
    """Print what fits on one screen."""
    output.table(("", ""), list(headlines(report)))


def headlines(report: Report) -> Iterator[tuple[str, str]]:
    """Names and figures of what matters most."""
    reckoning = report.reckoning
    total, pairs, deliveries = reckoning.total, reckoning.pairs, reckoning.deliveries
    outcomes = ", ".join(f"{total.outcomes[each]} {each}" for each in OUTCOMES if total.outcomes[each])
    yield "verifications", f"{total.count}: {outcomes}" if outcomes else "none"
    if not total.count:
        return
    passed = f"{total.outcomes['matched']} of {total.judged} judged"
    yield "pass rate", f"{percent(total.pass_rate)} ({passed})"
    retakes = count(pairs.retakes, "retake")
    yield "of pairs", f"{percent(pairs.pass_rate)} ({pairs.passed} of {pairs.judged} pairs, {retakes})"
    for name, spread in spreads(reckoning):
        yield STAGES[name], _percentiles(spread)
    first = f"{percent(first_attempt(reckoning))} at the first attempt"
    yield (
        "messages",
        f"{deliveries.delivered} delivered ({first}), {deliveries.waiting} waiting, {deliveries.dead} dead",
    )
    yield "calls", f"{total.calls}, billed {_range(total.billed, total.billed_at_most)}"
    if report.price:
        costs = (report.price.of(total.billed), report.price.of(total.billed_at_most))
        yield "money", _range(*costs)


def _range(least: object, most: object) -> str:
    return str(least) if least == most else f"{least}, at most {most}"


def _percentiles(spread: Spread) -> str:
    if not spread.count:
        return "–"
    shown = ", ".join(f"p{each} {seconds(spread.percentile(each))}" for each in PERCENTS)
    return f"{shown} (of {spread.count})"


def _bins(report: Report) -> Iterator[Sequence[object]]:
    """The bins that hold something, and those between them."""
    bins = report.reckoning.similarities.bins
    filled = [number for number, held in enumerate(bins) if held]
    for number in range(min(filled, default=0), max(filled, default=-1) + 1):
        bar = "█" * max(bins[number] > 0, round(WIDTH * bins[number] / max(bins)))
        yield f"{BIN * number}–{BIN * number + BIN}", bins[number], bar


def _thresholds(report: Report, output: Output) -> None:
    similarities = report.reckoning.similarities
    if not similarities.count:
        return
    used = ", ".join(f"{each:g}" for each in sorted(similarities.used))
    output.table(
        ("MIN_SIMILARITY", "would match", "change", "others let pass (Tencent)"),
        [
            (f"{each.threshold:g}", each.would_match, change(each.change), false_accept(each.false_accept))
            for each in similarities.what_if()
        ],
    )
    rests = (
        f"This rests on {count(similarities.count, 'comparison')}, decided with MIN_SIMILARITY {used or '–'}."
    )
    output.say(f"{rests} What the API itself refused matches at no threshold.")
