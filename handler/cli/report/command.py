"""The command `report` and its options."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from handler.cli.command import Options, command
from handler.cli.deployment import Problem
from handler.cli.find import moment
from handler.cli.output import Output, count
from handler.cli.report import export, text
from handler.cli.report.facts import Price, Report, facts
from handler.cli.report.read import Period
from handler.cli.report.reckon import BY, THRESHOLDS
from handler.cli.report.run import Asked, make

MOST_THRESHOLDS = 20

_FILE = click.Path(path_type=Path, dir_okay=False)
_PRICE = re.compile(r"(?P<before>[A-Za-z]{3})?\s*(?P<amount>\d{1,7}(\.\d{1,9})?)\s*(?P<after>[A-Za-z]{3})?")


def _thresholds(_: click.Context, __: click.Parameter, text: str) -> tuple[float, ...]:
    """Values of MIN_SIMILARITY, separated by commas."""
    found = [float(each) for each in text.split(",") if re.fullmatch(r"\s*\d{1,3}(\.\d{1,6})?\s*", each)]
    if not len(found) == text.count(",") + 1 <= MOST_THRESHOLDS or max(found) > 100:
        raise click.BadParameter(
            f"{text!r} is no list of up to {MOST_THRESHOLDS} numbers from 0 to 100, like 60,70"
        )
    return tuple(sorted(set(found)))


def _price(_: click.Context, __: click.Parameter, text: str | None) -> Price | None:
    """What one billed call costs: a number, with a currency or without."""
    if text is None:
        return None
    found = _PRICE.fullmatch(text.strip())
    if found is None or (found["before"] and found["after"]):
        raise click.BadParameter(f"{text!r} is no price; write 0.12, or 0.12 USD")
    return Price(Decimal(found["amount"]), (found["before"] or found["after"] or "").upper())


@click.command(short_help="What happened, what it cost, and what another threshold would have done.")
@click.option(
    "--since", default="30d", show_default=True, metavar="WHEN", help="Decided since: 2026-11-22, 6h, 30d."
)
@click.option("--until", metavar="WHEN", help="Decided before.")
@click.option("--by", type=click.Choice(list(BY)), default="day", show_default=True, help="What is grouped.")
@click.option(
    "--placeholder", metavar="NAME", help="Whose values `--by pair-value` groups; LIVE_KEY's first."
)
@click.option(
    "--thresholds",
    callback=_thresholds,
    default=",".join(f"{each:g}" for each in THRESHOLDS),
    show_default=True,
    metavar="LIST",
    help="Values of MIN_SIMILARITY to compare.",
)
@click.option(
    "--price",
    callback=_price,
    metavar="PRICE",
    help="What one billed call costs, like 0.12 USD: it is in your contract.",
)
@click.option("--limit", type=click.IntRange(1), help="Look at the newest so many records only.")
@click.option(
    "--with-pair", is_flag=True, help="Export keys and values of pairs too; reads all records anew."
)
@click.option("--html", type=_FILE, help="Write one HTML file, with charts.")
@click.option("--csv", type=_FILE, help="Write each verification as CSV.")
@click.option(
    "--ndjson", type=_FILE, help="Write each verification as a line of JSON that holds the hash of the last."
)
@click.option("--no-cache", is_flag=True, help="Read all records, and keep nothing on this machine.")
@click.option("--verify", type=_FILE, help="Look whether a file of --ndjson is whole; nothing else is done.")
@command
def report(chosen: Options, output: Output, **options: Any) -> bool:
    """What happened, what it cost, and what another threshold would have done.

    Pass rate: matched of matched, mismatched and rejected. Billed: what Tencent bills for certain.
    """
    if options["verify"] is not None:
        return _verify(output, options["verify"])
    deployment = chosen.deployment()
    now = deployment.clock.now()
    until = options["until"]
    period = Period(moment(options["since"], now), moment(until, now) if until else None)
    if period.until is not None and period.until <= period.since:
        raise Problem("--until is not later than --since")
    made = make(
        deployment,
        output,
        Asked(
            period=period,
            use_cache=not options["no_cache"],
            **{name: options[name] for name in _ASKED},
        ),
    )
    output.value({**facts(made.report), "ndjson": made.last and {"last": made.last}})
    text.show(made.report, output)
    _say_the_rest(output, made.report, options)
    if made.last:
        output.say(f"The hash of the last line is {made.last}: keep it elsewhere.")
    return not made.report.seen.unreadable


_ASKED = ("by", "placeholder", "thresholds", "price", "limit", "with_pair", "html", "csv", "ndjson")


def _say_the_rest(output: Output, made: Report, options: dict[str, Any]) -> None:
    seen = made.seen
    output.say(f"{count(seen.read, 'record')} read, {seen.from_cache} known from before.")
    for name in ("html", "csv", "ndjson"):
        if options[name]:
            output.say(f"Written: {options[name]}")
    for why in seen.why:
        output.warn(why)
    if seen.unreadable:
        output.warn(f"{count(seen.unreadable, 'record')} could not be read, and count nowhere.")
    if seen.left_out:
        output.warn(f"{count(seen.left_out, 'older record')} left out by --limit.")


def _verify(output: Output, path: Path) -> bool:
    context = click.get_current_context()
    given = [
        name
        for name in context.params
        if name not in ("verify", "as_json")
        and context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError("Give --verify FILE alone.")
    found = export.verify(path)
    output.value({"rows": found.rows, "last": found.last})
    output.say(
        f"{path} is whole: {count(found.rows, 'verification')}. The hash of its last line is {found.last}."
    )
    return True
