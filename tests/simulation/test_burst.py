"""Five hundred pairs at the same moment, against an API that takes five calls a second; in virtual time."""

from __future__ import annotations

import pytest

from tests.simulation.burst import burst
from tests.simulation.store import Mood

PAIRS = 500
DRAINED = PAIRS / 5
"""Seconds that the API itself needs for them."""


@pytest.mark.parametrize("seed", range(3))
def test_a_burst_drains_at_the_rate_of_the_api_without_a_storm(seed: int) -> None:
    """All end; the last within 1.15 times what the API needs and the minute until the next sweep.

    The API refuses at most two calls for each pair: the first, and the one that is made a moment later.
    """
    came = burst(PAIRS, seed)
    assert came.violations == []
    assert came.told == PAIRS
    assert came.last_s <= 1.15 * DRAINED + 60
    assert came.refused <= 2 * PAIRS
    assert came.calls - came.refused == PAIRS


def test_a_burst_that_the_platform_itself_throttles_loses_nothing() -> None:
    """64 GB a region run 250 instances of 256 MB; what finds none free is tried again each minute."""
    came = burst(PAIRS, 7, most_instances=250)
    assert came.violations == []
    assert came.told == PAIRS
    assert came.last_s <= 1.15 * DRAINED + 60 + 60
    assert came.calls - came.refused == PAIRS


def test_a_burst_in_bad_weather_loses_nothing() -> None:
    """Instances die, COS and the API stumble, the webhook hangs at first: all end, each pair judged once."""
    mood = Mood(
        die=0.0005,
        slow=0.05,
        refused=0.02,
        committed=0.01,
        wide_window=0.5,
        trouble=0.02,
        list_lag=0.2,
        hook_refuses=0.2,
        hook_down=(0.0, 300.0, "hangs"),
    )
    came = burst(PAIRS, 8, mood=mood)
    assert came.violations == []
    assert came.told == PAIRS
