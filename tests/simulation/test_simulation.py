"""The reconciler in a simulated world: random histories, and that they would show what is not protected."""

from __future__ import annotations

from functools import partial

import pytest

from tests.simulation import profiles
from tests.simulation.assumptions import ASSUMPTIONS, Assumption
from tests.simulation.protections import (
    BACK_OFF,
    EVERY,
    GOES_FIRST,
    Protection,
    switched_off,
)
from tests.simulation.run import Result, commit, run, run_many, told


def test_no_history_breaks_a_promise() -> None:
    """Every upload ends in one outcome, every pair is judged once, whatever goes wrong."""
    assert told(run_many(range(500))) == []


def test_a_seed_replays_exactly() -> None:
    """The same seed is the same history, request by request; another seed is another history."""
    first, again, other = (run(seed, tracing=True).trace for seed in (11, 11, 12))
    assert first == again
    assert first != other
    assert first


def test_what_goes_wrong_comes_with_the_command_that_replays_it() -> None:
    """The commit and the command line: with both, anybody sees the same history."""
    (protection,) = (each for each in EVERY if each.name == "waiting-marks")
    with switched_off(protection):
        found = _first_violation(protection)
    assert found is not None
    *_, last = told([found])
    assert last == f"    on commit {commit()}: python -m tests.simulation --profile image_seen_late --seed 0"


def test_a_trace_tells_what_the_api_and_the_consumer_answered() -> None:
    """Whoever reads a trace sees each answer as it was."""
    trace = run(42, tracing=True).trace
    assert trace
    assert any(" compare " in line and "→ Answer('Success'" in line for line in trace)
    assert any(" post msg_" in line and "→ Delivery(ok=True" in line for line in trace)


def test_a_trace_changes_nothing() -> None:
    """A history that is replayed with its trace is the one that was run without."""
    for seed in range(20):
        once, replayed = run(seed), run(seed, tracing=True)
        assert replayed.violations == []
        assert (replayed.calls, replayed.faults) == (once.calls, once.faults)


def _first_violation(protection: Protection) -> Result | None:
    seeds = range(protection.first, protection.first + protection.seeds)
    for result in run_many(seeds, partial(run, profile=protection.profile)):
        if any(protection.finds in text for text in result.violations):
            return result
    return None


@pytest.mark.parametrize("protection", EVERY, ids=lambda protection: protection.name)
def test_what_is_not_protected_is_found(protection: Protection) -> None:
    """Without a protection the violation it is there for is found; with it the same history is fine."""
    with switched_off(protection):
        found = _first_violation(protection)
    assert found is not None, f"nothing found in {protection.seeds} histories without: {protection.why}"
    assert told([run(found.seed, profile=protection.profile)], protection.costs) == []


CHOSEN = {
    protection.profile: protection
    for protection in EVERY
    if protection.profile is not None and not protection.costs
}


@pytest.mark.parametrize("protection", CHOSEN.values(), ids=lambda each: each.profile.__name__)
def test_no_chosen_history_breaks_a_promise(protection: Protection) -> None:
    """Also where what makes one protection matter is drawn into every history."""
    play = partial(run, profile=protection.profile)
    assert told(run_many(range(40), play)) == []


def test_outages_of_days_lose_nothing() -> None:
    """Neither of the webhook nor of the API: what has its day to be tried is told, and the rest as failed."""
    play = partial(run, profile=profiles.down_for_days)
    assert told(run_many(range(20), play)) == []


def test_one_half_goes_first() -> None:
    """Where the settle is too short, the rule of who goes first keeps many pairs from being judged twice."""

    def twice() -> int:
        play = partial(run, profile=GOES_FIRST.profile)
        return sum(any("judged" in text for text in r.violations) for r in run_many(range(200), play))

    with_rule = twice()
    with switched_off(GOES_FIRST):
        assert twice() > 1.3 * with_rule


def test_repeated_events_skip_no_back_off() -> None:
    """While the API throttles, what an event and a sweep wait for are all the calls: back-offs hold."""

    def calls() -> int:
        return sum(result.calls for result in run_many(range(20), partial(run, profile=BACK_OFF.profile)))

    with_back_off = calls()
    with switched_off(BACK_OFF):
        assert calls() > 1.5 * with_back_off


@pytest.mark.parametrize("assumption", ASSUMPTIONS, ids=lambda assumption: assumption.name)
def test_what_is_assumed_may_be_wrong(assumption: Assumption) -> None:
    """It can cost what is said of it, most often a verdict, and nothing worse."""
    options = f"--break {assumption.name}"
    play = partial(run, profile=assumption.broken, skew=assumption.skew, options=options)
    assert told(run_many(range(100), play), assumption.costs) == []


def test_the_wide_window_is_seen_to_cost_a_second_body() -> None:
    """What handler/README.md says of it is so; once it is not, that is to be said, and its costs go down."""
    (window,) = (each for each in ASSUMPTIONS if each.name == "window")
    results = run_many(range(100, 140), partial(run, profile=window.broken, skew=window.skew))
    assert "message" in {text.split(":")[0] for result in results for text in result.violations}
