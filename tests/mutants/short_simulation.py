"""A short simulation, in steps small enough that the first one that sees a mutant ends its run.

`make test` runs more of the same in tests/simulation, so pytest does not find this file by itself.
"""

from __future__ import annotations

from functools import partial

import pytest

from tests.simulation import profiles
from tests.simulation.profiles import Profile
from tests.simulation.protections import EVERY
from tests.simulation.run import run, run_many

PROFILES: list[Profile | None] = [
    None,
    profiles.down_for_days,
    *dict.fromkeys(each.profile for each in EVERY if each.profile and not each.costs),
]
STEP = 10


@pytest.mark.parametrize(
    ("profile", "first"),
    [
        *((None, first) for first in range(0, 150, STEP)),
        *((profile, 0) for profile in PROFILES if profile),
    ],
)
def test_no_history_breaks_a_promise(profile: Profile | None, first: int) -> None:
    """Whatever is drawn: a few plain histories at a time, then a few of each kind that shows one thing."""
    results = run_many(range(first, first + STEP), partial(run, profile=profile))
    assert [f"seed {r.seed}: {text}" for r in results for text in r.violations] == []
