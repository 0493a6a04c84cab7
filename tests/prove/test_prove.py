"""All schedules of the scenes within small bounds, and that they would show what is not protected."""

from __future__ import annotations

import pytest

from tests.prove.explore import (
    SMALL,
    TO_SHOW,
    USUAL,
    Found,
    look_at,
    look_for_protection,
    play,
    schedule_of,
    text_of,
)
from tests.prove.scenes import BY_NAME, NOT_SHOWN, SHOWN
from tests.simulation.protections import COUNTED, EVERY, switched_off


@pytest.mark.parametrize("name", BY_NAME)
def test_no_schedule_breaks_a_promise(name: str) -> None:
    """Whatever the order of operations, and wherever an instance dies or an answer is lost."""
    found = look_at(name, SMALL)
    assert {text: text_of(schedule) for text, schedule in found.violations.items()} == {}


@pytest.mark.parametrize("name", SHOWN)
def test_a_schedule_shows_what_is_not_protected(name: str) -> None:
    """Without a protection some schedule of its scene breaks a promise."""
    assert look_for_protection(name).violations


def test_what_is_looked_at_once_hides_nothing() -> None:
    """Fewer schedules are run for it, and the same promises are seen to be broken."""
    (broken,) = (each for each in EVERY if each.name == "record-once")
    with switched_off(broken):
        fewer, each_one = (look_at("unfit", TO_SHOW, merging=merging) for merging in (True, False))
    assert fewer.schedules < each_one.schedules
    assert _kinds(fewer) == _kinds(each_one) != set()


def _kinds(found: Found) -> set[str]:
    return {" ".join(text.split()[:1] + text.split()[2:7]) for text in found.violations}


def test_each_protection_is_shown_or_said_not_to_be() -> None:
    """Every protection of the simulation has its scene here, or the reason why it has none."""
    assert sorted([*SHOWN, *NOT_SHOWN]) == sorted(each.name for each in (*EVERY, *COUNTED))


def test_a_schedule_replays_exactly() -> None:
    """A schedule that is written down is the same each time it is run, operation by operation."""
    scene = BY_NAME["winners"]
    usual = play(scene, USUAL, tracing=True)
    (step, *_) = (number for number, options in enumerate(usual.steps) if options[-1].name == "t")
    schedule = schedule_of(f"{step}-t")
    first, again = (play(scene, USUAL._replace(schedule=schedule), tracing=True).trace for _ in range(2))
    assert first == again
    assert first != usual.trace
    assert text_of(schedule) == f"{step}-t"
    assert schedule_of(text_of(())) == ()


def test_two_can_win_a_create_only_put() -> None:
    """The schedules reach what claims are read back for: two instances were both told that they had won."""
    assert look_at("winners", SMALL).faults["two writers won a create-only PUT"]
