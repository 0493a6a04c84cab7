"""Look at every schedule of a scene within bounds, with few preemptions first."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import NamedTuple

from tests.prove.scene import Scene
from tests.prove.scenes import BY_NAME, SHOWN
from tests.prove.stage import LOST, Known, Schedule, Stage, has_fault
from tests.simulation.checks import check
from tests.simulation.history import History
from tests.simulation.protections import COUNTED, EVERY, switched_off


class Spent(NamedTuple):
    """What a schedule has of each kind."""

    preemptions: int = 0
    crashes: int = 0
    lost: int = 0


class Bounds(NamedTuple):
    """How many preemptions schedules have at the most: without a fault, with one, and with one of each kind.

    -1: there are no such schedules.
    """

    faultless: int
    one_fault: int
    both_faults: int = -1

    def __str__(self) -> str:
        kinds = ("no fault", "one crash or one lost answer", "one of each")
        told = (f"{kind}: {most} preemptions" for kind, most in zip(kinds, self, strict=True) if most >= 0)
        return "; ".join(told)

    def allow(self, spent: Spent) -> bool:
        """Whether a schedule is looked at."""
        if spent.crashes > 1 or spent.lost > 1:
            return False
        return spent.preemptions <= self[spent.crashes + spent.lost]


SMALL, FULL, BOTH = Bounds(1, 0), Bounds(2, 2), Bounds(2, 2, 0)
TO_SHOW = Bounds(2, 0)
"""In these bounds every protection shows that is switched off."""


class Next(NamedTuple):
    """A schedule that is to be looked at."""

    schedule: Schedule
    spent: Spent


USUAL = Next((), Spent())


@dataclass(slots=True)
class Found:
    """What came of looking at schedules. `violations` holds the first schedule for each text."""

    scene: str
    schedules: int = 0
    steps: int = 0
    violations: dict[str, Schedule] = field(default_factory=dict)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, this: Next, stage: Stage) -> None:
        """Note what came of one."""
        self.schedules += 1
        self.faults += stage.faults
        self.steps = max(self.steps, len(stage.steps))
        for text in stage.violations:
            self.violations.setdefault(text, this.schedule)


def play(
    scene: Scene,
    this: Next,
    *,
    is_known: Callable[[Hashable], bool] | None = None,
    tracing: bool = False,
) -> Stage:
    """Run one schedule of a scene, then turn the world kind, and check it.

    It ends early, and without checks, where it comes to a situation that is known. Raises ValueError where
    the schedule asks for what a step has not.
    """
    stage = Stage(this.schedule, scene.first, scene.last, is_known=is_known, tracing=tracing)
    stage.draw = lambda: scene.draw
    faulty = has_fault(this.schedule)
    history = History(0, scene.planned(faulty), world=stage, skew=scene.skew)
    scene.set(history, stage)
    try:
        history.run(check)
    except Known:
        stage.leave()
        return stage
    for text in scene.check(history, faultless=not faulty):
        stage.violation(text)
    return stage


def _further(this: Next, stage: Stage) -> Iterator[Next]:
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
            yield Next((*schedule, (number, option.name)), more)


def look_at(name: str, bounds: Bounds, *, stop_at: str | None = None, merging: bool = True) -> Found:
    """Look at every schedule of a scene within the bounds, those with the fewest preemptions first.

    `stop_at`: only until a violation holds that text. Without `merging` each schedule is run to its end, also
    where it comes to a situation that was met before.
    """
    scene = BY_NAME[name]
    bounds = bounds._replace(one_fault=min(bounds.one_fault, scene.beside_a_fault))
    found = Found(scene.name)
    known: set[Hashable] = set()

    def is_known(situation: Hashable) -> bool:
        if merging and situation in known:
            return True
        known.add(situation)
        return False

    was_on = gc.isenabled()
    gc.disable()  # worlds are full of cycles: they are collected now and then
    try:
        _look(scene, bounds, is_known, found, stop_at)
    finally:
        if was_on:
            gc.enable()
    return found


def _look(
    scene: Scene,
    bounds: Bounds,
    is_known: Callable[[Hashable], bool],
    found: Found,
    stop_at: str | None,
) -> None:
    levels: list[list[Next]] = [[USUAL]]
    for level in levels:
        for this in level:  # which grows meanwhile
            stage = play(scene, this, is_known=is_known)
            found.add(this, stage)
            if stop_at is not None and any(stop_at in text for text in stage.violations):
                return
            if found.schedules % 200 == 0:
                gc.collect()
            for more in _further(this, stage):
                if bounds.allow(more.spent):
                    while len(levels) <= more.spent.preemptions:
                        levels.append([])
                    levels[more.spent.preemptions].append(more)


def look_for_protection(name: str) -> Found:
    """Switch off a protection and look for that in its scene; what is found names both."""
    (protection,) = (each for each in (*EVERY, *COUNTED) if each.name == name)
    with switched_off(protection):
        found = look_at(SHOWN[name], TO_SHOW, stop_at="")
    found.scene = f"{name}@{found.scene}"
    return found


def side_by_side(work: Callable[[str], Found], each: Sequence[str], jobs: int) -> Iterator[Found]:
    """Do the work for each, on so many cores; the results come as they are ready.

    Workers are forks, so that a protection that was switched off is off in them too.
    """
    if jobs < 2 or len(each) < 2:
        yield from map(work, each)
        return
    with get_context("fork").Pool(jobs) as pool:
        yield from pool.imap_unordered(work, each)


def largest_first(names: Sequence[str]) -> list[str]:
    """Scenes with the most ways to go on first, so that no core waits long for the last."""

    def ways(name: str) -> int:
        return sum(map(len, play(BY_NAME[name], USUAL).steps))

    return sorted(names, key=ways, reverse=True)


def text_of(schedule: Schedule) -> str:
    """A schedule as it is written: `14-1c.22-t`; the usual one is `usual`."""
    return ".".join(f"{number}-{name}" for number, name in schedule) or "usual"


def schedule_of(text: str) -> Schedule:
    """The schedule that was written so. Raises ValueError for anything else."""
    if text == "usual":
        return ()
    steps = (step.partition("-") for step in text.split("."))
    return tuple((int(number), name) for number, _, name in steps)
