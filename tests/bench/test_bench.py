"""What `make bench` counts, and how it reckons. What it times is asserted nowhere: machines differ."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import cost, drawing, warm
from tests.bench.figures import Figure, Series, counted, ratio
from tests.bench.stage import Stage
from tests.bench.warm import Bar
from tests.support.project import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def test_what_is_counted_meets_its_target(code: Path, tmp_path: Path) -> None:
    """One call, one message, 13 requests to COS a pair; three for half of one, four for a repetition."""
    with Stage(code, sys.executable, tmp_path) as stage:
        figures, operations = warm.requests(stage)
    assert [figure.name for figure in figures if not figure.ok] == []
    assert operations.total() == next(each.value for each in figures if "both events" in each.name)


def test_a_waterfall_shows_every_request_of_the_last_event(code: Path, tmp_path: Path) -> None:
    """From both look-ups to the agenda being cleared, in the order in which they began."""
    with Stage(code, sys.executable, tmp_path) as stage:
        stage.verify("livepair")
        labels = [bar.label for bar in warm.waterfall(stage)]
    assert sorted(labels[:2]) == ["HEAD image.jpg", "HEAD live.gz"]
    assert labels[2] == "PUT claims"
    assert labels[-8:] == [
        "GET claims",
        "the API's call",
        "GET the best frame",
        "PUT best-frames",
        "PUT records",
        "webhook",
        "PUT records",
        "DELETE agenda",
    ]


def test_a_ratio_is_the_median_of_each_repetitions_own() -> None:
    """A moment in which the machine is slow slows both sides, and does not count."""
    figure = ratio("x", [11.0, 110.0, 11.0, 11.0], "floor", [10.0, 100.0, 10.0, 10.0], 1.10)
    assert (figure.value, figure.floor, round(figure.measured, 9)) == (11.0, 10.0, 1.1)


@pytest.mark.parametrize(("value", "ok"), [(3, True), (4, True), (5, False)])
def test_a_target_is_met_up_to_its_bound(value: int, ok: bool) -> None:
    """And missed above it."""
    assert counted("x", value, "", 4).ok is ok


def test_a_month_is_its_verifications_and_its_days() -> None:
    """What may not be billed is left out, and thirty days are paid for also where hardly anything comes."""
    costs = cost.thousand(13, 1.0, 0.05)
    lines = {each.what: each.usd or 0.0 for each in costs}
    thousand = sum(usd for what, usd in lines.items() if what[:6] == "1,000 " and "if billed" not in what)
    day = sum(usd for what, usd in lines.items() if what[:6] != "1,000 ")
    assert cost.months(costs, 0).usd == pytest.approx(30 * day)
    assert cost.months(costs, 5000).usd == pytest.approx(5 * thousand + 30 * day)


def test_what_has_no_known_price_is_not_free() -> None:
    """It is said to be unknown, and counted all the same; with a price it is reckoned."""
    prices = cost.Prices(2.0, 1.0, None, 0.5, 0.25, None)
    found = {each.what: each for each in cost.thousand(12, 1, 0.1, prices)}
    line = found["1,000 verifications: COS requests"]
    assert (line.amount, line.usd) == (12_000, None)
    assert cost.text(line)[2] == "price not known"
    assert found["1,000 verifications: function"].usd == 1000 * cost.MEMORY_MB / 1024 * 2.0
    assert found["1,000 verifications: invocations"].usd == 0.2
    assert found["1,000 verifications: the API's downloads, if billed"].usd == 1.25


@pytest.mark.parametrize("region", cost.PRICES)
def test_the_readme_tells_what_a_thousand_verifications_cost(region: str) -> None:
    """Its one line holds in each region: what is sure to a cent, and what may come on top."""
    told = re.search(r"1,000 verifications cost about ([\d.]+) USD.*?up to ([\d.]+) USD", README, re.DOTALL)
    assert told is not None
    lines = [each.usd or 0 for each in cost.thousand(13, 1.092, 0.02, cost.PRICES[region])]
    assert sum(lines[:4]) == pytest.approx(float(told[1]), abs=0.005)
    assert lines[4] <= float(told[2]) <= lines[4] * 1.1


def test_pictures_are_well_formed() -> None:
    """Also with names that mean something in XML."""
    bars = [
        Bar("<a> & b", "cos", 0.0, 10.0),
        Bar("call", "faceid", 12.0, 800.0),
        Bar("c", "webhook", 815.0, 40.0),
    ]
    series = [Series("<s>", "x", "y", ((0, 1), (1000, 1))), Series("t", "x", "y", ((10, 0.2), (5000, 700)))]
    for picture in (drawing.waterfall(bars), drawing.growth(series)):
        root = ElementTree.fromstring(picture)  # noqa: S314 # our own picture
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert Figure("x", 1, "ms", "", None, 1, 1, "").told()["ok"] is True
