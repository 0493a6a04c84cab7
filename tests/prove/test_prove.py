"""All schedules of the scenes within small bounds, and that they would show what is not protected."""

from __future__ import annotations

import pytest

from tests.prove.explore import (
    SMALL,
    USUAL,
    look_at,
    look_for_protection,
    play,
    schedule_of,
    text_of,
)
from tests.prove.scenes import BY_NAME, NOT_SHOWN, SHOWN
from tests.simulation.protections import COUNTED, EVERY


@pytest.mark.parametrize("name", BY_NAME)
def test_no_schedule_breaks_a_promise(name: str) -> None:
    """Whatever the order of operations, and wherever an instance dies or an answer is lost."""
    found = look_at(name, SMALL)
    assert {text: text_of(schedule) for text, schedule in found.violations.items()} == {}


@pytest.mark.parametrize("name", SHOWN)
def test_a_schedule_shows_what_is_not_protected(name: str) -> None:
    """Without a protection some schedule of its scene breaks a promise."""
    assert look_for_protection(name).violations


def test_each_protection_is_shown_or_said_not_to_be() -> None:
    """Every protection of the simulation has its scene here, or the reason why it has none."""
    assert sorted([*SHOWN, *NOT_SHOWN]) == sorted(each.name for each in (*EVERY, *COUNTED))


def test_a_schedule_replays_exactly() -> None:
    """A schedule that is written down is the same one, operation by operation, each time it is run."""
    first, again = (play(BY_NAME["winners"], USUAL._replace(schedule=schedule_of(SOME))) for _ in "ab")
    assert [[option.name for option in step] for step in first.steps] == [
        [option.name for option in step] for step in again.steps
    ]
    assert text_of(schedule_of(SOME)) == SOME
    assert text_of(schedule_of("usual")) == "usual"


SOME = "0-1.3-1.9-t"


def test_two_can_win_a_create_only_put() -> None:
    """The schedules reach what claims are read back for: two instances were both told that they had won."""
    assert look_at("winners", SMALL).faults["two writers won a create-only PUT"]
