"""Look at every schedule of a scene within bounds, with few preemptions first."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple

from tests.prove.scenes import Scene
from tests.prove.stage import LOST, Schedule, Stage
from tests.simulation.checks import check
from tests.simulation.history import History


class Spent(NamedTuple):
    """What a schedule has of each kind."""

    preemptions: int = 0
    crashes: int = 0
    lost: int = 0


class Bounds(NamedTuple):
    """How many preemptions schedules have at the most: without a fault, with one, and with one of each kind.

    -1: there are no such schedules.
    """

    faultless: int = 2
    one_fault: int = 2
    both_faults: int = 0

    def allow(self, spent: Spent) -> bool:
        """Whether a schedule is looked at."""
        if spent.crashes > 1 or spent.lost > 1:
            return False
        return spent.preemptions <= self[spent.crashes + spent.lost]


SMALL = Bounds(1, 0, -1)


class Next(NamedTuple):
    """A schedule that is to be looked at."""

    schedule: Schedule
    spent: Spent


@dataclass(slots=True)
class Found:
    """What came of looking at schedules. `violations` holds the first schedule for each text."""

    schedules: int = 0
    steps: int = 0
    violations: dict[str, Schedule] = field(default_factory=dict)

    def add(self, other: Found) -> None:
        """Add what another has found."""
        self.schedules += other.schedules
        self.steps = max(self.steps, other.steps)
        for text, schedule in other.violations.items():
            self.violations.setdefault(text, schedule)


def play(scene: Scene, schedule: Schedule, *, spent: Spent | None = None, tracing: bool = False) -> Stage:
    """Run one schedule of a scene, then turn the world kind, and check it."""
    stage = Stage(schedule, scene.first, scene.last, tracing=tracing)
    history = History(0, scene.plan, world=stage, skew=scene.skew)
    scene.add(history, stage)
    history.run(check)
    for text in scene.check(history, faultless=spent is None or not (spent.crashes or spent.lost)):
        stage.violation(text)
    return stage


def _further(this: Next, stage: Stage, bounds: Bounds) -> Iterator[Next]:
    """The schedules that differ from one that was played at one step more, later than the others."""
    schedule, spent = this
    begin = schedule[-1][0] + 1 if schedule else 0
    for number in range(begin, len(stage.steps)):
        for option in stage.steps[number][1:]:
            lost = option.fault == LOST
            more = Spent(
                spent.preemptions + option.preempts,
                spent.crashes + bool(option.fault and not lost),
                spent.lost + lost,
            )
            if bounds.allow(more):
                yield Next((*schedule, (number, option.name)), more)


def look_below(scene: Scene, bounds: Bounds, start: Next, *, stop_at: str | None = None) -> Found:
    """Look at a schedule and all that go on from it. `stop_at`: until a violation holds that text."""
    found = Found()
    todo = [start]
    was_on = gc.isenabled()
    gc.disable()
    try:
        while todo:
            this = todo.pop()
            stage = play(scene, this.schedule, spent=this.spent)
            found.schedules += 1
            found.steps = max(found.steps, len(stage.steps))
            for text in stage.violations:
                found.violations.setdefault(text, this.schedule)
            if stop_at is not None and any(stop_at in text for text in stage.violations):
                break
            todo += _further(this, stage, bounds)
            if found.schedules % 200 == 0:
                gc.collect()
    finally:
        if was_on:
            gc.enable()
    return found


def look_at_all(scene: Scene, bounds: Bounds, jobs: int, *, stop_at: str | None = None) -> Found:
    """Look at every schedule within the bounds, on so many cores.

    Workers are forks, so that a protection that was switched off is off in them too.
    """
    start = Next((), Spent())
    if jobs < 2:
        return look_below(scene, bounds, start, stop_at=stop_at)
    found = look_below(scene, Bounds(-1, -1, -1), start)
    first = list(_further(start, play(scene, ()), bounds))
    look = partial(look_below, scene, bounds, stop_at=stop_at)
    with get_context("fork").Pool(jobs, _hold, (look,)) as pool:
        for more in pool.imap_unordered(_look, first):
            found.add(more)
            if stop_at is not None and any(stop_at in text for text in found.violations):
                break
    return found


_looking: partial[Found]


def _hold(look: partial[Found]) -> None:
    global _looking
    _looking = look


def _look(start: Next) -> Found:
    return _looking(start)


def text_of(schedule: Schedule) -> str:
    """A schedule as it is written: `14-1c.22-t`; the usual one is `usual`."""
    return ".".join(f"{number}-{name}" for number, name in schedule) or "usual"


def schedule_of(text: str) -> Schedule:
    """What `text_of` has written. Raises ValueError for anything else."""
    if text == "usual":
        return ()
    steps = (step.partition("-") for step in text.split("."))
    return tuple((int(number), name) for number, _, name in steps)
