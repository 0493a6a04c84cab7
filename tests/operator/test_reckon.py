"""The arithmetic of `report`, by vectors that were computed by hand."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from handler.cli.report import reckon
from handler.cli.report.reckon import BY, THRESHOLDS, Reckoning, Spread, WhatIf, money
from handler.cli.report.row import Row, dump_row, load_row
from tests.support.month import pairs

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)


def row(outcome: str = "matched", **changes: Any) -> Row:
    """A verification that took 2 s to decide and another half to deliver, at the first attempt."""
    plain = Row(
        id="0" * 32,
        run=1,
        outcome=outcome,
        code=None,
        api_code="Success",
        similarity=None,
        min_similarity=70.0,
        uploaded_at=NOON,
        decided_at=NOON + timedelta(seconds=2),
        told_from=NOON + timedelta(seconds=2),
        delivered_at=NOON + timedelta(seconds=2.5),
        dead_at=None,
        attempts=1,
        calls=1,
    )
    return plain._replace(**changes)


def reckoned(*pairs: list[Row], by: str = "day", thresholds: tuple[float, ...] = THRESHOLDS) -> Reckoning:
    reckoning = Reckoning(BY[by], BY["hour"], thresholds)
    for rows in pairs:
        reckoning.add(rows, "ada")
    return reckoning


def test_the_pass_rate_is_that_of_what_says_something_about_a_person() -> None:
    """3 matched, 1 mismatched, 2 rejected: 3 of 6. Neither `incomplete` nor `failed` counts."""
    outcomes = ["matched"] * 3 + ["mismatched"] + ["rejected"] * 2 + ["incomplete"] * 4 + ["failed"] * 5
    total = reckoned(*([row(each)] for each in outcomes)).total
    assert (total.count, total.judged, total.pass_rate) == (15, 6, 0.5)


def test_without_a_judgement_there_is_no_pass_rate() -> None:
    """Not 0, and no division by it."""
    assert reckoned([row("failed")], [row("incomplete")]).total.pass_rate is None
    assert reckoned().pairs.pass_rate is None


def test_retakes_are_counted_by_pair() -> None:
    """Four pairs: at once; at the third; never, in two; never judged. 2 of 3 pass, with 3 retakes."""
    found = reckoned(
        [row("matched")],
        [row("rejected"), row("failed"), row("rejected"), row("matched")],
        [row("mismatched"), row("rejected")],
        [row("incomplete")],
    ).pairs
    assert (found.count, found.judged, found.passed, found.retakes) == (4, 3, 2, 3)
    assert found.pass_rate == 0.6667


@pytest.mark.parametrize(
    ("similarity", "bin_"),
    [(0.0, 0), (4.9, 0), (5.0, 1), (69.999, 13), (70.0, 14), (99.9, 19), (100.0, 19)],
)
def test_similarities_fall_into_bins_of_five(similarity: float, bin_: int) -> None:
    """Each holds its lower bound, and the last one 100 as well."""
    bins = reckoned([row(similarity=similarity)]).similarities.bins
    assert [number for number, count in enumerate(bins) if count] == [bin_]


def test_another_threshold_decides_about_the_same_answers() -> None:
    """Of 59.9, 60, 69.9, 70, 80 two match at 70. At 60 two more would, at 80 one fewer."""
    values = (59.9, 60.0, 69.9, 70.0, 80.0)
    rows = [row("matched" if each >= 70 else "mismatched", similarity=each) for each in values]
    found = reckoned(*([each] for each in rows), thresholds=(60.0, 70.0, 80.0)).similarities
    assert found.what_if() == [
        WhatIf(60.0, 4, 2, None),
        WhatIf(70.0, 2, 0, 0.001),
        WhatIf(80.0, 1, -1, 0.0001),
    ]
    assert (found.count, found.used) == (5, {70.0})


def test_what_the_api_refused_matches_at_no_threshold() -> None:
    """CompareLowSimilarity is a mismatch whatever MIN_SIMILARITY is, so no threshold is asked about it."""
    low = "InternalError.CompareLowSimilarity"
    refused = row("mismatched", code=low, api_code=low, similarity=65.0)
    found = reckoned([refused], [row("rejected", code="FailedOperation.ImageBlur")]).similarities
    assert found.count == 0
    assert not any(found.bins)
    assert {each.would_match for each in found.what_if()} == {0}


def test_false_accept_rates_are_tencents_own() -> None:
    """0.1 % at 70 and 0.01 % at 80; for no other threshold one is made up."""
    stated = {each.threshold: each.false_accept for each in reckoned().similarities.what_if()}
    assert stated == {60.0: None, 65.0: None, 70.0: 0.001, 75.0: None, 80.0: 0.0001}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7.0], (7.0, 7.0, 7.0)),
        ([1.0, 2.0], (1.0, 2.0, 2.0)),
        ([3.0, 1.0, 2.0], (2.0, 3.0, 3.0)),
        ([float(each) for each in range(1, 101)], (50.0, 95.0, 99.0)),
        ([0.0, 0.0004, 0.0006], (0.0, 0.001, 0.001)),
        ([12.3456, 12.3444, 4567.0], (12.3, 4570.0, 4570.0)),
    ],
)
def test_percentiles_are_of_the_nearest_rank(values: list[float], expected: tuple[float, ...]) -> None:
    """The least value that so many percent do not exceed; to three digits and whole milliseconds."""
    spread = Spread()
    for value in values:
        spread.add(value)
    assert tuple(map(spread.percentile, (50, 95, 99))) == expected


def test_no_value_has_no_percentile() -> None:
    """Neither counts what never ended."""
    spread = Spread()
    spread.add(None)
    assert (spread.count, spread.percentile(50)) == (0, None)


def test_durations_run_from_upload_to_decision_to_delivery() -> None:
    """2 s, then half a second, 2.5 s in all."""
    found = reckoned([row()])
    assert [each.percentile(50) for each in (found.to_decide, found.to_deliver, found.in_all)] == [
        2,
        0.5,
        2.5,
    ]


def test_who_waited_for_a_half_is_not_slow() -> None:
    """An outcome without a call was decided when its time came: only its delivery is timed."""
    found = reckoned([row("incomplete", calls=0, api_code=None)])
    assert (found.to_decide.count, found.to_deliver.count, found.in_all.count) == (0, 1, 0)


def test_what_was_asked_for_again_is_timed_from_then_on() -> None:
    """`redeliver` three days later says nothing of how long people wait."""
    later = NOON + timedelta(days=3)
    found = reckoned([row(told_from=later, delivered_at=later + timedelta(seconds=1))])
    assert (found.to_deliver.percentile(50), found.in_all.count) == (1.0, 0)


def test_clocks_that_differ_make_no_time_negative() -> None:
    """COS may say that an upload came after the decision."""
    found = reckoned([row(uploaded_at=NOON + timedelta(seconds=3))])
    assert found.to_decide.percentile(99) == 0.0


def test_deliveries_are_told_apart() -> None:
    """Two at once, one at the third attempt, one given up, one still to come."""
    found = reckoned(
        [row()],
        [row()],
        [row(attempts=3)],
        [row(delivered_at=None, dead_at=NOON, attempts=10)],
        [row(delivered_at=None, attempts=2)],
    ).deliveries
    assert (found.delivered, found.first_attempt, found.dead, found.waiting) == (3, 2, 1, 1)


@pytest.mark.parametrize(
    ("api_code", "calls", "billed", "at_most"),
    [
        ("Success", 1, 1, 1),
        ("Success", 3, 1, 3),
        ("InternalError.CompareLowSimilarity", 1, 1, 1),
        ("FailedOperation.ActionLightDark", 1, 0, 0),
        ("FailedOperation.LivessSystemError", 8, 0, 7),
        ("Livepair.NoSimilarity", 2, 1, 2),
        (None, 0, 0, 0),
    ],
)
def test_calls_are_billed_by_what_they_answered(
    api_code: str | None, calls: int, billed: int, at_most: int
) -> None:
    """The answer that decided tells for certain; what was answered before it no record says."""
    found = reckoned([row("failed", code=api_code, api_code=api_code, calls=calls)]).total
    assert (found.calls, found.billed, found.billed_at_most) == (calls, billed, at_most)


@pytest.mark.parametrize(
    ("calls", "price", "expected"),
    [
        (0, "0.15", "0.00"),
        (3, "0.15", "0.45"),
        (1, "0.005", "0.00"),
        (3, "0.005", "0.02"),
        (7, "1e1", "70.00"),
    ],
)
def test_money_is_reckoned_in_decimals(calls: int, price: str, expected: str) -> None:
    """To the cent, halves to the even one; 0.1 is a tenth."""
    assert money(calls, Decimal(price)) == expected


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("day", ["2026-11-22", "2026-11-23"]),
        ("hour", ["2026-11-22 12:00", "2026-11-23 00:00"]),
        ("code", ["FailedOperation.ImageBlur", "Success"]),
        ("pair-value", ["ada"]),
    ],
)
def test_groups_are_by_what_was_asked(by: str, expected: list[str]) -> None:
    """Days and hours are of the decision, in UTC; what matched has the API's code."""
    blurred = row("rejected", code="FailedOperation.ImageBlur", decided_at=NOON + timedelta(hours=12))
    found = reckoned([row()], [blurred], by=by).by.tallies
    assert sorted(found) == expected
    assert sum(tally.count for tally in found.values()) == 2


def test_memory_does_not_grow_with_the_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes after the most groups, or codes, is counted together; nothing is lost."""
    monkeypatch.setattr(reckon, "MOST_GROUPS", 2)
    monkeypatch.setattr(reckon, "MOST_CODES", 2)
    reckoning = Reckoning(BY["pair-value"], BY["day"], ())
    for value in "abcde":
        reckoning.add([row("failed", code=f"New.{value}")], value)
    assert {name: tally.count for name, tally in reckoning.by.tallies.items()} == {
        "a": 1,
        "b": 1,
        "(others)": 3,
    }
    assert reckoning.codes == {("New.a", "failed"): 1, ("New.b", "failed"): 1, ("(others)", "failed"): 3}


def test_a_row_comes_back_from_the_cache_as_it_was() -> None:
    """All of it, to the millisecond."""
    for rows in list(pairs(random.Random(3)))[:50]:
        for each in rows:
            before, after = each._asdict(), load_row(dump_row(each))._asdict()
            for name, value in before.items():
                if isinstance(value, datetime):
                    assert abs((value - after[name]).total_seconds()) < 0.001
                else:
                    assert value == after[name]
